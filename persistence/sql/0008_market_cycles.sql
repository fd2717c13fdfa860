-- When each market is called. Rule: operations, not history. No rule of the market depends on these rows, so they are not
-- in the journal; each call that they lead to is. All rows may be deleted: then every market is called when asked.

CREATE TABLE market_cycles (
    shard_id    int          NOT NULL,
    market_id   text         NOT NULL,
    mode        text         NOT NULL CHECK (mode IN ('every', 'on_offer', 'asked')),
    period_us   bigint       CHECK (period_us BETWEEN 100000 AND 604800000000),
    updated_at  timestamptz  NOT NULL,
    updated_by  text         NOT NULL,
    PRIMARY KEY (shard_id, market_id),
    CHECK ((mode = 'every') = (period_us IS NOT NULL))
);
COMMENT ON TABLE market_cycles IS 'When each market is called; one without a row is called when somebody asks.';
COMMENT ON COLUMN market_cycles.mode IS
    'every: at the multiples of period_us since 1970 UTC; on_offer: at once when a slot is offered; asked: only then.';
COMMENT ON COLUMN market_cycles.period_us IS 'A tenth of a second to a week; null unless the mode is every.';
COMMENT ON COLUMN market_cycles.updated_at IS 'By the clock of the database.';
COMMENT ON COLUMN market_cycles.updated_by IS 'Who set it, for people.';

-- As for the tables before it, where the role is there.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT ON %I.market_cycles TO callmarket_reader', current_schema());
    END IF;
END
$$;
