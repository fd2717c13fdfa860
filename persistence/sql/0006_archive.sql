-- Old rows of the journal may leave the table, into files. Rule: only what a record here covers, in order from the first
-- row, and only below a snapshot from which the rest can be recovered; all else is refused as before.

CREATE TABLE journal_archives (
    shard_id         int          NOT NULL,
    first_seq        bigint       NOT NULL CHECK (first_seq >= 1),
    last_seq         bigint       NOT NULL CHECK (last_seq >= first_seq),
    rows             bigint       NOT NULL GENERATED ALWAYS AS (last_seq - first_seq + 1) STORED,
    epoch            bigint       NOT NULL CHECK (epoch >= 1),
    at_us            bigint       NOT NULL,
    digest_before    bytea        NOT NULL CHECK (octet_length(digest_before) = 32),
    digest_after     bytea        NOT NULL CHECK (octet_length(digest_after) = 32),
    file_name        text         NOT NULL CHECK (file_name <> ''),
    file_bytes       bigint       NOT NULL CHECK (file_bytes > 0),
    sha256           bytea        NOT NULL CHECK (octet_length(sha256) = 32),
    snapshot_store   text         NOT NULL CHECK (snapshot_store IN ('database', 'folder')),
    snapshot_name    text         NOT NULL,
    snapshot_seq     bigint       NOT NULL CHECK (snapshot_seq > last_seq),
    snapshot_digest  bytea        NOT NULL CHECK (octet_length(snapshot_digest) = 32),
    archived_at      timestamptz  NOT NULL DEFAULT now(),
    PRIMARY KEY (shard_id, first_seq)
);
COMMENT ON TABLE journal_archives IS
    'Rows that have left the journal, each range with its file. No gaps from row 1 to where the journal begins now.';
COMMENT ON COLUMN journal_archives.epoch IS 'Epoch of the last row of the range.';
COMMENT ON COLUMN journal_archives.at_us IS 'Time of the last row of the range.';
COMMENT ON COLUMN journal_archives.digest_before IS 'The digest that the first row continues; 32 zero bytes before row 1.';
COMMENT ON COLUMN journal_archives.digest_after IS 'The digest of the last row, which the next one continues.';
COMMENT ON COLUMN journal_archives.file_name IS 'Its name in the folder of archives, wherever that is now.';
COMMENT ON COLUMN journal_archives.sha256 IS 'SHA-256 of the file as it lies there, compressed.';
COMMENT ON COLUMN journal_archives.snapshot_name IS
    'The snapshot that was proved before the rows were deleted: recovery can begin there.';
COMMENT ON COLUMN journal_archives.snapshot_store IS
    'Where that snapshot is. One in a folder cannot be seen from here: then only its row in the journal is insisted on.';

CREATE TRIGGER journal_archives_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_archives
    FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only();

-- After the statement, because only then is it known which rows it was about.
CREATE FUNCTION journal_gives_only_to_the_archive() RETURNS trigger LANGUAGE plpgsql AS $$
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
        ELSIF archive.digest_after <> (SELECT digest FROM gone WHERE shard_id = archive.shard_id AND seq = archive.last_seq)
           OR NOT EXISTS (
            SELECT FROM gone WHERE shard_id = archive.shard_id AND seq = archive.first_seq
              AND digest = journal_digest(
                archive.digest_before, seq, at_us, rules, actor, command_id, command, events)) THEN
            fault := 'the record does not have their digests';
        ELSIF archive.first_seq = 1 AND archive.digest_before <> decode(repeat('00', 32), 'hex')
           OR archive.first_seq > 1 AND NOT EXISTS (
            SELECT FROM journal_archives AS before WHERE before.shard_id = archive.shard_id
              AND before.last_seq = archive.first_seq - 1 AND before.digest_after = archive.digest_before) THEN
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

DROP TRIGGER journal_append_only ON journal;
CREATE TRIGGER journal_append_only BEFORE UPDATE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only();
CREATE TRIGGER journal_deletes_what_is_archived AFTER DELETE ON journal REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION journal_gives_only_to_the_archive();

-- A journal that has been cut needs a snapshot at or above the cut. Which of them are good, only a program can say.
CREATE FUNCTION snapshots_keep_a_start() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    cut  journal_archives;
BEGIN
    SELECT * INTO cut FROM journal_archives WHERE shard_id = OLD.shard_id ORDER BY first_seq DESC LIMIT 1;
    IF cut.snapshot_store = 'database' AND OLD.seq > cut.last_seq AND NOT EXISTS (
        SELECT FROM snapshots WHERE shard_id = OLD.shard_id AND seq > cut.last_seq AND snapshot_id <> OLD.snapshot_id)
    THEN
        RAISE EXCEPTION 'snapshot % is the last from which the journal can be recovered: DELETE refused', OLD.snapshot_id
            USING HINT = 'Older rows are in the archive. Take another snapshot first.';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER snapshots_keep_a_start BEFORE DELETE ON snapshots
    FOR EACH ROW EXECUTE FUNCTION snapshots_keep_a_start();

COMMENT ON TABLE snapshots IS
    'Images of the state at one place of the journal. A cache: while no rows are archived, deleting them loses time only.';

-- As before, and the first row that is left continues the archive, where there is one that ends right before it.
CREATE OR REPLACE VIEW journal_breaks AS
SELECT shard_id, seq, previous_seq, epoch, at_us,
       previous_seq IS DISTINCT FROM seq - 1 AS seq_broken,
       epoch < previous_epoch AS epoch_broken,
       at_us < previous_at_us AS time_broken,
       digest <> expected_digest AS digest_broken
FROM (
    SELECT *, journal_digest(previous_digest, seq, at_us, rules, actor, command_id, command, events) AS expected_digest
    FROM (
        SELECT ordered.*,
               coalesce(ordered.seq_before, archived.last_seq, 0) AS previous_seq,
               coalesce(ordered.epoch_before, archived.epoch, 1) AS previous_epoch,
               coalesce(ordered.at_us_before, archived.at_us, 0) AS previous_at_us,
               coalesce(ordered.digest_before, archived.digest_after, decode(repeat('00', 32), 'hex')) AS previous_digest
        FROM (
            SELECT *, lag(seq) OVER by_seq AS seq_before, lag(epoch) OVER by_seq AS epoch_before,
                   lag(at_us) OVER by_seq AS at_us_before, lag(digest) OVER by_seq AS digest_before
            FROM journal
            WINDOW by_seq AS (PARTITION BY shard_id ORDER BY seq)
        ) AS ordered
        LEFT JOIN journal_archives AS archived
          ON archived.shard_id = ordered.shard_id AND archived.last_seq = ordered.seq - 1
         AND ordered.seq_before IS NULL
    ) AS chained
) AS checked
WHERE previous_seq IS DISTINCT FROM seq - 1 OR epoch < previous_epoch OR at_us < previous_at_us
   OR digest <> expected_digest;
COMMENT ON VIEW journal_breaks IS
    'Rows that do not continue the row before them: SELECT * FROM journal_breaks WHERE shard_id = 0 ORDER BY seq. Empty '
    'in a whole journal; one whose older rows were archived continues the record of the last of them. It reads '
    'everything: about 200,000 rows a second. That the journal ends where it should is engine_writer.last_seq; that its '
    'tables and decisions are right, only verify() says.';

-- As for the tables before it, where the role is there.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT ON %I.journal_archives TO callmarket_reader', current_schema());
    END IF;
END
$$;
