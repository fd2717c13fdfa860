-- The journal and its fence. Rule: a row, once committed, never changes.

CREATE TABLE journal (
    shard_id    int     NOT NULL,
    seq         bigint  NOT NULL CHECK (seq >= 1),
    epoch       bigint  NOT NULL CHECK (epoch >= 1),
    at_us       bigint  NOT NULL,
    actor       text    NOT NULL,
    command_id  text    NOT NULL,
    rules       int     NOT NULL,
    command     json    NOT NULL,
    events      json    NOT NULL,
    digest      bytea   NOT NULL CHECK (octet_length(digest) = 32),
    PRIMARY KEY (shard_id, seq)
) WITH (
    -- Nothing is updated, so pages are filled to the brim, and vacuum has only freezing to do: every million rows, in
    -- small even portions, instead of after a fifth of an ever larger table.
    fillfactor = 100,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 1000000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 1000000
);

COMMENT ON TABLE journal IS
    'Every command in its one order, with what it caused. The truth: all other tables can be rebuilt from it.';
COMMENT ON COLUMN journal.shard_id IS 'The shard: one engine, one order, one writer.';
COMMENT ON COLUMN journal.seq IS 'Place in the order, given by the engine: 1, 2, 3 ... without gaps.';
COMMENT ON COLUMN journal.epoch IS 'The writer that wrote it; never falls from one row to the next.';
COMMENT ON COLUMN journal.at_us IS 'When, in microseconds since 1970 UTC; never falls from one row to the next.';
COMMENT ON COLUMN journal.actor IS 'Who asked: an account, operator or admin.';
COMMENT ON COLUMN journal.command_id IS 'The key that makes a retry safe, empty where none was given.';
COMMENT ON COLUMN journal.rules IS 'Version of the rules that decided; rows of older rules are folded, not decided again.';
COMMENT ON COLUMN journal.command IS 'The command, canonical bytes: json, not jsonb, because jsonb would not keep them.';
COMMENT ON COLUMN journal.events IS 'What it caused, canonical bytes; a refusal is an event too.';
COMMENT ON COLUMN journal.digest IS
    'SHA-256 of the previous row''s digest (32 zero bytes before the first) and of seq|at_us|rules|actor|command_id|, '
    'command and events: journal_digest() computes it, the view journal_breaks shows rows where it is not so.';

CREATE FUNCTION journal_digest(
    previous bytea, seq bigint, at_us bigint, rules int, actor text, command_id text, command json, events json
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sha256(previous || convert_to(
        format('%s|%s|%s|%s|%s|', seq, at_us, rules, actor, command_id) || command::text || events::text, 'UTF8'))
$$;
COMMENT ON FUNCTION journal_digest IS
    'The digest that a journal row must have after `previous`. The fence of every batch computes it for its first row.';

CREATE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: % refused', TG_OP
        USING HINT = 'Correct the market by a new command; history stays.';
END
$$;

-- Per statement, so that appending pays nothing. A guard against slips, not against the table's owner.
CREATE TRIGGER journal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only();

CREATE TABLE engine_writer (
    shard_id     int          PRIMARY KEY,
    epoch        bigint       NOT NULL CHECK (epoch >= 0),
    last_seq     bigint       NOT NULL CHECK (last_seq >= 0),
    last_digest  bytea        NOT NULL CHECK (octet_length(last_digest) = 32),
    claimed_at   timestamptz  NOT NULL,
    claimed_by   text         NOT NULL
) WITH (
    -- One hot row per shard: room on its page for the versions between two prunings, so that no index entry is made.
    fillfactor = 10
);

COMMENT ON TABLE engine_writer IS
    'The fence: the first statement of every batch moves last_seq where the epoch and last_seq are the writer''s own.';
COMMENT ON COLUMN engine_writer.epoch IS 'Raised by one for each new writer; batches of older ones fail.';
COMMENT ON COLUMN engine_writer.last_seq IS 'The last row in the journal, 0 before the first.';
COMMENT ON COLUMN engine_writer.last_digest IS 'The digest of that row; 32 zero bytes before the first.';
COMMENT ON COLUMN engine_writer.claimed_at IS 'When the present writer took over, by the database''s clock.';
COMMENT ON COLUMN engine_writer.claimed_by IS 'Which process that was: for a person who looks, nothing decides by it.';

CREATE VIEW journal_breaks AS
SELECT shard_id, seq, previous_seq, epoch, at_us,
       previous_seq IS DISTINCT FROM seq - 1 AS seq_broken,
       epoch < previous_epoch AS epoch_broken,
       at_us < previous_at_us AS time_broken,
       digest <> expected_digest AS digest_broken
FROM (
    SELECT *, journal_digest(previous_digest, seq, at_us, rules, actor, command_id, command, events) AS expected_digest
    FROM (
        SELECT *,
               coalesce(lag(seq) OVER ordered, 0) AS previous_seq,
               coalesce(lag(epoch) OVER ordered, 1) AS previous_epoch,
               coalesce(lag(at_us) OVER ordered, 0) AS previous_at_us,
               coalesce(lag(digest) OVER ordered, decode(repeat('00', 32), 'hex')) AS previous_digest
        FROM journal
        WINDOW ordered AS (PARTITION BY shard_id ORDER BY seq)
    ) AS chained
) AS checked
WHERE previous_seq IS DISTINCT FROM seq - 1 OR epoch < previous_epoch OR at_us < previous_at_us
   OR digest <> expected_digest;
COMMENT ON VIEW journal_breaks IS
    'Rows that do not continue the row before them: SELECT * FROM journal_breaks WHERE shard_id = 0 ORDER BY seq. Empty '
    'in a whole journal. It reads everything: about 200,000 rows a second. That the journal ends where it should is '
    'engine_writer.last_seq; that its tables and decisions are right, only verify() says.';
