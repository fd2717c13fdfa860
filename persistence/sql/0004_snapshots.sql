-- Images of the engine's state, so that recovery need not begin at the first row. Rule: a cache. All rows of both tables
-- may be deleted at any time; only time is lost.

CREATE TABLE snapshots (
    shard_id      int          NOT NULL,
    snapshot_id   bigint       GENERATED ALWAYS AS IDENTITY,
    seq           bigint       NOT NULL CHECK (seq >= 1),
    at_us         bigint       NOT NULL,
    digest        bytea        NOT NULL CHECK (octet_length(digest) = 32),
    format        int          NOT NULL,
    rules         int          NOT NULL,
    image_bytes   bigint       NOT NULL CHECK (image_bytes > 0),
    stored_bytes  bigint       NOT NULL CHECK (stored_bytes > 0),
    chunks        int          NOT NULL CHECK (chunks > 0),
    sha256        bytea        NOT NULL CHECK (octet_length(sha256) = 32),
    taken_at      timestamptz  NOT NULL DEFAULT now(),
    PRIMARY KEY (shard_id, snapshot_id)
);
COMMENT ON TABLE snapshots IS
    'Images of the state at one place of the journal. A cache of the journal: deleting them loses time only.';
COMMENT ON COLUMN snapshots.seq IS 'The journal row after which the state was this.';
COMMENT ON COLUMN snapshots.at_us IS 'The time of that row.';
COMMENT ON COLUMN snapshots.digest IS 'The digest of that row: a snapshot is used only where the journal still has it.';
COMMENT ON COLUMN snapshots.format IS 'Version of the image''s bytes; a program reads its own only.';
COMMENT ON COLUMN snapshots.rules IS 'Version of the rules of the program that took it; nothing decides by it.';
COMMENT ON COLUMN snapshots.image_bytes IS 'Size of the image.';
COMMENT ON COLUMN snapshots.stored_bytes IS 'Size of its chunks together: the image, compressed by zlib.';
COMMENT ON COLUMN snapshots.sha256 IS
    'Over shard_id|seq|at_us|format|rules|image_bytes|, the digest, and the image as it was before it was compressed.';

CREATE TABLE snapshot_chunks (
    shard_id     int     NOT NULL,
    snapshot_id  bigint  NOT NULL,
    chunk_no     int     NOT NULL CHECK (chunk_no >= 0),
    data         bytea   NOT NULL,
    PRIMARY KEY (shard_id, snapshot_id, chunk_no),
    FOREIGN KEY (shard_id, snapshot_id) REFERENCES snapshots ON DELETE CASCADE
);
-- They are compressed already.
ALTER TABLE snapshot_chunks ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE snapshot_chunks IS 'The bytes of the snapshots, in pieces that a connection can carry.';

-- As for the tables before it, where the role is there.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT ON %I.snapshots, %I.snapshot_chunks TO callmarket_reader',
                       current_schema(), current_schema());
    END IF;
END
$$;
