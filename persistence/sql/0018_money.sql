-- Rules 3: from whose tokens impact is rewarded, and how much of it an account may get in a day. Rule: a market that was
-- opened before names neither, and rewards nothing any more: what it paid was made from nothing.

ALTER TABLE compute_auction_markets
    ADD COLUMN reward_account_id text NOT NULL DEFAULT 'treasury',
    ADD COLUMN reward_day_cap_tokens bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN compute_auction_markets.reward_account_id IS
    'From whose available tokens impact is rewarded; what it does not have is not paid.';
COMMENT ON COLUMN compute_auction_markets.reward_day_cap_tokens IS
    'The most that one account is rewarded with in a day (UTC); 0: nothing is rewarded.';
