-- A history that goes on after acknowledged rows were lost, and what it takes to notice that they were. Rule: a market is
-- known by its id, which goes wherever its rows go; the row begin_history may follow one that is not its neighbour.

-- Of each shard from its first claim on: so a copy of an empty schema is another market, and a backup the same one.
ALTER TABLE engine_writer ADD COLUMN market_id uuid NOT NULL DEFAULT gen_random_uuid();
COMMENT ON COLUMN engine_writer.market_id IS
    'Which market this is, for ever: marks of what was acknowledged, which lie outside the database, are found by it.';

ALTER TABLE engine_standbys ADD COLUMN loss text NOT NULL DEFAULT '';
COMMENT ON COLUMN engine_standbys.loss IS
    'Why it does not lead: which acknowledged rows the journal lacks, and where they are. Empty if nothing is lost.';

CREATE FUNCTION journal_seq_before(seq bigint, command json) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN seq % 1099511627776 = 0 AND command->>'type' = 'begin_history'
                THEN (command->>'after_seq')::bigint ELSE seq - 1 END
$$;
COMMENT ON FUNCTION journal_seq_before IS
    'The seq of the row that a row continues: one less, but for the row with which history goes on after a loss.';

-- As before, but for the row before, which may be no neighbour.
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

CREATE OR REPLACE VIEW journal_breaks AS
SELECT shard_id, seq, previous_seq, epoch, at_us,
       previous_seq IS DISTINCT FROM seq_before AS seq_broken,
       epoch < previous_epoch AS epoch_broken,
       at_us < previous_at_us AS time_broken,
       digest <> expected_digest AS digest_broken
FROM (
    SELECT *, journal_digest(previous_digest, seq, at_us, rules, actor, command_id, command, events) AS expected_digest
    FROM (
        SELECT ordered.*,
               coalesce(ordered.lag_seq, archived.last_seq, 0) AS previous_seq,
               coalesce(ordered.lag_epoch, archived.epoch, 1) AS previous_epoch,
               coalesce(ordered.lag_at_us, archived.at_us, 0) AS previous_at_us,
               coalesce(ordered.lag_digest, archived.digest_after, decode(repeat('00', 32), 'hex')) AS previous_digest
        FROM (
            SELECT *, journal_seq_before(seq, command) AS seq_before,
                   lag(seq) OVER by_seq AS lag_seq, lag(epoch) OVER by_seq AS lag_epoch,
                   lag(at_us) OVER by_seq AS lag_at_us, lag(digest) OVER by_seq AS lag_digest
            FROM journal
            WINDOW by_seq AS (PARTITION BY shard_id ORDER BY seq)
        ) AS ordered
        LEFT JOIN journal_archives AS archived
          ON archived.shard_id = ordered.shard_id AND archived.last_seq = ordered.seq_before
         AND ordered.lag_seq IS NULL
    ) AS chained
) AS checked
WHERE previous_seq IS DISTINCT FROM seq_before OR epoch < previous_epoch OR at_us < previous_at_us
   OR digest <> expected_digest;
