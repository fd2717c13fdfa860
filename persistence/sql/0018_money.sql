-- Rules 3: from whose tokens impact is rewarded, and how much of it an account may get in a day. Rule: a market that was
-- opened before names neither, and rewards nothing any more: what it paid was made from nothing.

ALTER TABLE compute_auction_markets
    ADD COLUMN reward_account_id text NOT NULL DEFAULT 'treasury',
    ADD COLUMN reward_day_cap_tokens bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN compute_auction_markets.reward_account_id IS
    'From whose available tokens impact is rewarded; what it does not have is not paid.';
COMMENT ON COLUMN compute_auction_markets.reward_day_cap_tokens IS
    'The most that one account is rewarded with in a day (UTC); 0: nothing is rewarded.';

-- What idles (bridge/earning). Of a provider's tokens those from slots do not, so they are told apart.

ALTER TABLE token_accounts ADD COLUMN total_sold numeric NOT NULL DEFAULT 0 CHECK (total_sold >= 0);
COMMENT ON COLUMN token_accounts.total_sold IS 'All it was ever paid for slots: what of total_earned came from awards.';
UPDATE token_accounts AS account SET total_sold = sold.tokens
FROM (SELECT shard_id, to_account, sum(amount) AS tokens FROM token_ledger
      WHERE reason IN ('settle:slot', 'lapse:slot') GROUP BY shard_id, to_account) AS sold
WHERE sold.shard_id = account.shard_id AND sold.to_account = account.account_id;

-- One entry for each charge, so that it costs one look whether an account has paid for a period.
CREATE INDEX token_ledger_demurrage ON token_ledger (shard_id, from_account, reference_id) WHERE reason = 'demurrage';

CREATE TABLE demurrage_debts (
    shard_id      int          NOT NULL,
    account_id    text         NOT NULL,
    period        bigint       NOT NULL,
    reference_id  text         NOT NULL,
    tokens        bigint       NOT NULL CHECK (tokens BETWEEN 1 AND 9007199254740991),
    attempts      int          NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    assessed_at   timestamptz  NOT NULL,
    PRIMARY KEY (shard_id, account_id, period)
);
COMMENT ON TABLE demurrage_debts IS
    'What accounts owe for idle tokens and did not have available when it was asked. A row ends when it is paid.';
COMMENT ON COLUMN demurrage_debts.period IS 'Counted from 1970, in the periods of the settings of then.';
COMMENT ON COLUMN demurrage_debts.reference_id IS 'The period as its charge names it: when it began, and its length.';
COMMENT ON COLUMN demurrage_debts.attempts IS 'How often its charge was refused: each try has an id of its own.';

-- As for the tables before them, where the role is there.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT ON %I.demurrage_debts TO callmarket_reader', current_schema());
    END IF;
END
$$;
