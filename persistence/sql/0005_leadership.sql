-- Who leads each shard, who stands by, and when recovery was last proved. Rule: for liveness and for people. Nothing here
-- keeps anybody from writing: that is engine_writer.epoch alone. All rows may be deleted; the leader writes its own anew.

CREATE TABLE engine_leader (
    shard_id               int               PRIMARY KEY,
    epoch                  bigint            NOT NULL CHECK (epoch >= 1),
    address                text              NOT NULL,
    backend_pid            int               NOT NULL,
    lease_s                double precision  NOT NULL CHECK (lease_s > 0),
    renewed_at             timestamptz       NOT NULL,
    released_at            timestamptz,
    handover_requested_at  timestamptz
) WITH (
    -- One row per shard, written five times a second: room on its page for its versions, so that no index entry is made.
    fillfactor = 10
);
COMMENT ON TABLE engine_leader IS
    'Who leads a shard, and until when others believe so. A courtesy: what is written is guarded by engine_writer.epoch.';
COMMENT ON COLUMN engine_leader.epoch IS 'The epoch with which it leads.';
COMMENT ON COLUMN engine_leader.address IS 'The way to it, for clients that ask another.';
COMMENT ON COLUMN engine_leader.backend_pid IS 'The session that renews the lease: when it is gone, the leader probably is.';
COMMENT ON COLUMN engine_leader.lease_s IS 'Not renewed for so many seconds, it is taken for dead.';
COMMENT ON COLUMN engine_leader.renewed_at IS 'By the clock of the database, as everything here.';
COMMENT ON COLUMN engine_leader.released_at IS 'When it let go by itself: closed, or handed over.';
COMMENT ON COLUMN engine_leader.handover_requested_at IS 'When it was asked to hand over; it does so at its next renewal.';

CREATE TABLE engine_standbys (
    shard_id     int          NOT NULL,
    address      text         NOT NULL,
    applied_seq  bigint       NOT NULL CHECK (applied_seq >= 0),
    seen_at      timestamptz  NOT NULL,
    PRIMARY KEY (shard_id, address)
) WITH (fillfactor = 10);
COMMENT ON TABLE engine_standbys IS 'Processes that follow the journal with an engine of their own, ready to lead.';
COMMENT ON COLUMN engine_standbys.address IS 'The way to it, once it leads.';
COMMENT ON COLUMN engine_standbys.applied_seq IS 'The journal row up to which its engine has come.';
COMMENT ON COLUMN engine_standbys.seen_at IS 'When it last said so: a standby that is silent for seconds is none.';

CREATE TABLE proven_restores (
    shard_id   int               PRIMARY KEY,
    seq        bigint            NOT NULL CHECK (seq >= 1),
    seconds    double precision  NOT NULL,
    proven_at  timestamptz       NOT NULL,
    proven_by  text              NOT NULL
);
COMMENT ON TABLE proven_restores IS
    'The last time that the state was recovered from what is stored and compared: how old is the proof that it works?';
COMMENT ON COLUMN proven_restores.seq IS 'The journal row whose state was restored.';
COMMENT ON COLUMN proven_restores.seconds IS 'How long that took, with the writing of its snapshot.';

-- As for the tables before it, where the role is there.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT ON %1$I.engine_leader, %1$I.engine_standbys, %1$I.proven_restores '
                       'TO callmarket_reader', current_schema());
    END IF;
END
$$;
