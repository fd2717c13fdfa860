-- Durable is what the journal has; the tables follow it. Rule: what the rows of a batch do to the tables, and the mark of
-- how far these have come, commit together, whoever brings them along and however often he is killed.

-- A writer of an older version would write the tables itself: its epoch is over. First, because every batch of such a
-- one locks this row before the journal.
UPDATE engine_writer SET epoch = epoch + 1;

CREATE TABLE projections (
    shard_id      int          PRIMARY KEY,
    seq           bigint       NOT NULL CHECK (seq >= 0),
    projected_at  timestamptz  NOT NULL
) WITH (
    -- As of engine_writer: one hot row.
    fillfactor = 10
);
COMMENT ON TABLE projections IS
    'How far the tables of each shard follow its journal: they have what rows up to seq did, and nothing of later ones.';
COMMENT ON COLUMN projections.seq IS 'The last row of the journal that the tables have; 0 before the first.';
COMMENT ON COLUMN projections.projected_at IS 'When it was brought along, by the database''s clock.';

-- Up to now they committed together.
INSERT INTO projections (shard_id, seq, projected_at) SELECT shard_id, last_seq, clock_timestamp() FROM engine_writer;

COMMENT ON TABLE engine_writer IS
    'The fence: each batch of journal rows moves last_seq, where the epoch and last_seq are the writer''s own.';

-- A call of a hundred slots is a row of 33 kB: to compress it takes longer than to write it, and its caller waits.
ALTER TABLE journal ALTER COLUMN command SET STORAGE EXTERNAL, ALTER COLUMN events SET STORAGE EXTERNAL;

-- As before, but that nothing leaves that the tables do not have.
CREATE OR REPLACE FUNCTION journal_gives_only_to_the_archive() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    deleted  record;
    archive  journal_archives;
    fault    text;
BEGIN
    FOR deleted IN
        SELECT shard_id, min(seq) AS first_seq, max(seq) AS last_seq, count(*) AS rows FROM gone GROUP BY shard_id
    LOOP
        SELECT * INTO archive FROM journal_archives AS known
        WHERE known.shard_id = deleted.shard_id AND known.first_seq = deleted.first_seq
          AND known.last_seq = deleted.last_seq AND known.rows = deleted.rows;
        IF NOT FOUND THEN
            fault := 'these rows are no range of journal_archives';
        ELSIF EXISTS (SELECT FROM journal WHERE shard_id = archive.shard_id AND seq < archive.first_seq) THEN
            fault := 'there are older rows';
        ELSIF NOT EXISTS (
            SELECT FROM projections WHERE shard_id = archive.shard_id AND projections.seq >= archive.last_seq) THEN
            fault := 'the tables do not have them yet';
        ELSIF archive.digest_after <> (SELECT digest FROM gone WHERE shard_id = archive.shard_id AND seq = archive.last_seq)
           OR NOT EXISTS (
            SELECT FROM gone WHERE shard_id = archive.shard_id AND seq = archive.first_seq
              AND digest = journal_digest(
                archive.digest_before, seq, at_us, rules, actor, command_id, command, events)) THEN
            fault := 'the record does not have their digests';
        ELSIF NOT EXISTS (
            SELECT FROM gone WHERE gone.shard_id = archive.shard_id AND gone.seq = archive.first_seq
              AND CASE journal_seq_before(gone.seq, gone.command)
                  -- The first row of all, which is no row 1 where all that was there before it was lost.
                  WHEN 0 THEN archive.digest_before = decode(repeat('00', 32), 'hex')
                  ELSE EXISTS (
                    SELECT FROM journal_archives AS before WHERE before.shard_id = archive.shard_id
                      AND before.last_seq = journal_seq_before(gone.seq, gone.command)
                      AND before.digest_after = archive.digest_before)
                  END) THEN
            fault := 'the record does not continue the one before it';
        ELSIF NOT EXISTS (
            SELECT FROM journal WHERE shard_id = archive.shard_id AND seq = archive.snapshot_seq
              AND digest = archive.snapshot_digest) THEN
            fault := 'the row of the snapshot is not there';
        ELSIF archive.snapshot_store = 'database' THEN
            -- Locked, so that nobody deletes it meanwhile.
            PERFORM FROM snapshots WHERE shard_id = archive.shard_id AND snapshot_id::text = archive.snapshot_name
              AND seq = archive.snapshot_seq AND digest = archive.snapshot_digest FOR KEY SHARE;
            IF NOT FOUND THEN
                fault := 'the snapshot is not there';
            END IF;
        END IF;
        IF fault IS NOT NULL THEN
            RAISE EXCEPTION 'the journal is append-only: DELETE refused, %', fault
                USING HINT = 'Correct the market by a new command; old rows leave only by `callmarket prune`.';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT ON %I.projections TO callmarket_reader', current_schema());
    END IF;
END
$$;
