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

-- A spent budget binds what it was spent from (BRG-3): for a week nobody but the admin ends the holds that gave it
-- (HLD-8). So only those give a budget that are there for so long. Rule: what is spent is recorded after the row that
-- binds, so by then this reckons from a time that is not before it.

-- The time of the market: that of its last row.
CREATE VIEW market_now AS
SELECT engine_writer.shard_id, timestamptz 'epoch' + journal.at_us * interval '1 microsecond' AS at
FROM engine_writer JOIN journal ON journal.shard_id = engine_writer.shard_id AND journal.seq = engine_writer.last_seq;
COMMENT ON VIEW market_now IS 'The time of the last row of each market; of one without rows there is none.';

-- As before, but that a hold that ends within a week gives no budget.
CREATE OR REPLACE VIEW resource_budgets AS
SELECT part.*, greatest(part.budget_tokens - part.spent_tokens, 0) AS left_tokens
FROM (
    SELECT
        artifact.shard_id,
        artifact.artifact_id,
        artifact.artifact_type,
        artifact.title,
        artifact.market_price,
        committed.holds AS open_holds,
        coalesce(committed.demand_tokens, 0)::bigint AS demand_tokens,
        coalesce(committed.bounty_tokens, 0)::bigint AS bounty_tokens,
        coalesce(committed.demand_tokens, 0) * 0.1 AS base_budget_tokens,
        (1000000 - 2 * abs(artifact.market_price_micros - 500000)) * 0.000001 AS uncertainty_multiplier,
        div(
            (coalesce(committed.demand_tokens, 0) + 10 * coalesce(committed.bounty_tokens, 0))
                * (1000000 - abs(artifact.market_price_micros - 500000)),
            10000000
        )::bigint AS budget_tokens,
        artifact.spent_tokens
    FROM artifacts AS artifact
    LEFT JOIN (
        SELECT
            hold.shard_id,
            hold.reference_id,
            count(*) AS holds,
            sum(hold.amount) FILTER (WHERE hold.reason = 'stake') AS demand_tokens,
            sum(hold.amount) FILTER (WHERE hold.reason = 'bounty') AS bounty_tokens
        FROM token_holds AS hold
        LEFT JOIN market_now ON market_now.shard_id = hold.shard_id
        WHERE hold.status = 'open' AND hold.reference_type = 'artifact' AND hold.reason IN ('stake', 'bounty')
            AND (hold.expires_at IS NULL OR hold.expires_at >= market_now.at + interval '7 days')
        GROUP BY hold.shard_id, hold.reference_id
    ) AS committed ON committed.shard_id = artifact.shard_id AND committed.reference_id = artifact.artifact_id
) AS part;
COMMENT ON COLUMN resource_budgets.open_holds IS 'Stakes and bounties that give it; null where there is none.';
COMMENT ON COLUMN resource_budgets.demand_tokens IS
    'Tokens on open holds for the reason stake that end in a week at the soonest.';
COMMENT ON COLUMN resource_budgets.bounty_tokens IS
    'Tokens on open holds for the reason bounty that end in a week at the soonest.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT ON %I.market_now TO callmarket_reader', current_schema());
    END IF;
END
$$;
