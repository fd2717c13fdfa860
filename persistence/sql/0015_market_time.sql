-- What is known of time beside the clocks: what the last leader held for right, and what operators have said. Rule: rows
-- of the journal keep their stamps, whatever was wrong with the clock that gave them; what is said here is for what comes.

ALTER TABLE engine_leader
    ADD COLUMN machine     text    NOT NULL DEFAULT '',
    ADD COLUMN uptime_us   bigint,
    ADD COLUMN time_us     bigint,
    ADD COLUMN clock_fault text    NOT NULL DEFAULT '';
COMMENT ON COLUMN engine_leader.machine IS
    'The machine of the leader since its last start; empty where the system does not say. Uptimes of one are comparable.';
COMMENT ON COLUMN engine_leader.uptime_us IS 'How long that machine had been up, suspended or not, when the lease was renewed.';
COMMENT ON COLUMN engine_leader.time_us IS
    'The time, in microseconds since 1970, that the leader held for right at that moment: a successor on the same machine '
    'sees by the two whether the clock has leapt meanwhile.';
COMMENT ON COLUMN engine_leader.clock_fault IS 'Why the leader takes nothing: what is wrong with its time. Empty if nothing is.';

ALTER TABLE engine_standbys ADD COLUMN clock_fault text NOT NULL DEFAULT '';
COMMENT ON COLUMN engine_standbys.clock_fault IS 'Why it would not lead: what is wrong with its time. Empty if nothing is.';

CREATE TABLE market_time_words (
    shard_id  int          NOT NULL,
    word_id   bigint       GENERATED ALWAYS AS IDENTITY,
    said_at   timestamptz  NOT NULL,
    time_us   bigint       NOT NULL CHECK (time_us >= 0),
    lead_us   bigint       NOT NULL CHECK (lead_us >= 0),
    said_by   text         NOT NULL,
    reason    text         NOT NULL,
    PRIMARY KEY (shard_id, word_id)
);
COMMENT ON TABLE market_time_words IS 'What operators have said of the time, by `callmarket clock --accept`; kept for ever.';
COMMENT ON COLUMN market_time_words.word_id IS 'Grows: the latest word is the one in force.';
COMMENT ON COLUMN market_time_words.said_at IS 'When it was said, by the clock of the database.';
COMMENT ON COLUMN market_time_words.time_us IS 'What time it was then, in microseconds since 1970: the word itself.';
COMMENT ON COLUMN market_time_words.lead_us IS
    'How far the market''s time is ahead of the clocks from then on; 0 where its last row was not ahead of them.';
COMMENT ON COLUMN market_time_words.said_by IS 'By whom, or by which process.';

-- As for the tables before it, where the role is there.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT ON %1$I.market_time_words TO callmarket_reader', current_schema());
    END IF;
END
$$;
