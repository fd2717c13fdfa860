"""The register of who leads a shard, who stands by, and when recovery was last proved.

Rule of this file: statements only, each short and by the clock of the database, so that no two machines' clocks are
ever compared. What to do about the answers is for `heartbeat` and `standby`.
"""

from datetime import datetime
from typing import Final, Literal, NamedTuple

import psycopg

from callmarket.persistence.errors import Unavailable
from callmarket.persistence.journal import lease
from callmarket.persistence.leadership.market_time import DATABASE_US, Evidence

# A standby signs in every second; one that has been silent for this long is gone.
STANDBY_SILENT_S_MAX: Final = 5
# A batch of a living leader takes a second at most; what holds the fence for longer hangs, and is cut off.
CLAIM_WAIT_S: Final = 1
_CLAIM_ATTEMPTS_MAX: Final = 15

Sign = Literal["alive", "released", "expired", "disconnected"]
"""Of a leader: renews its lease; let go by itself; did not renew in time; its session with the database is gone."""


class Leader(NamedTuple):
    """What the register says of a shard's leader at one moment. `epoch` is the writer's, of which a claim goes out."""

    epoch: int
    address: str
    process: str
    sign: Sign
    renewed_s_ago: float
    handover_requested: bool
    clock_fault: str = ""

    def __str__(self) -> str:
        """The leader in one line."""
        return f"{self.address} ({self.process}, epoch {self.epoch}, lease renewed {self.renewed_s_ago:.1f} s ago)"


class StandbyRow(NamedTuple):
    """A process that stands by, and how old that news is."""

    address: str
    applied_seq: int
    seen_s_ago: float
    clock_fault: str
    loss: str


class Renewal(NamedTuple):
    """What a leader hears when it renews: the time of the database, and the latest word of operators (0: none).

    `last_seq` and `last_digest` are where the journal ends. `fsync` and `full_page_writes` are settings of the server
    that a reload may change, and no connection can set for itself.
    """

    handover_requested: bool
    database_us: int
    word_id: int
    last_seq: int
    last_digest: bytes
    fsync: str
    full_page_writes: str


class Proof(NamedTuple):
    """The last time that a stored state was restored and compared."""

    seq: int
    seconds: float
    proven_at: datetime
    proven_by: str
    age_s: float


def session_name(shard_id: int) -> str:
    """The name of the session that renews a lease, as `pg_stat_activity` shows it."""
    return f"callmarket leader {shard_id}"


def look(connection: psycopg.Connection, shard_id: int) -> Leader | None:
    """The leader; None if there never was one. Raises `psycopg.Error`."""
    row = connection.execute(
        """
        SELECT writer.epoch, leader.address, writer.claimed_by,
               CASE
                   WHEN leader.released_at IS NOT NULL THEN 'released'
                   WHEN clock_timestamp() > leader.renewed_at + leader.lease_s * interval '1 second' THEN 'expired'
                   WHEN NOT EXISTS (SELECT FROM pg_stat_activity AS activity WHERE activity.pid = leader.backend_pid
                                      AND activity.application_name = %s) THEN 'disconnected'
                   ELSE 'alive'
               END,
               extract(epoch FROM clock_timestamp() - leader.renewed_at)::float8,
               leader.handover_requested_at IS NOT NULL, leader.clock_fault
        FROM engine_leader AS leader JOIN engine_writer AS writer USING (shard_id) WHERE shard_id = %s
        """,
        (session_name(shard_id), shard_id),
    ).fetchone()
    return None if row is None else Leader(*row)


def take(
    connection: psycopg.Connection, shard_id: int, *, address: str, lease_s: float, after_epoch: int | None = None
) -> int | None:
    """Become the leader: raise the epoch and sign in, by the session that will renew. The new epoch.

    With `after_epoch`, only if that is still the shard's: None if another was faster. A batch that is being committed
    is waited for; a writer that hangs in the middle of one is cut off. Raises `psycopg.Error`, or `Unavailable` if the
    fence stays locked.
    """
    for _ in range(_CLAIM_ATTEMPTS_MAX):
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{CLAIM_WAIT_S}s'")
                epoch = lease.claim(connection, shard_id, after_epoch)
                if epoch is not None:
                    _sign_in(connection, shard_id, epoch, address, lease_s)
        except psycopg.errors.LockNotAvailable:
            _cut_off_writer(connection, shard_id)
            continue
        return epoch
    raise Unavailable(f"The fence of shard {shard_id} stays locked: see pg_locks for who holds engine_writer.")


def renew(
    connection: psycopg.Connection, shard_id: int, epoch: int, evidence: Evidence | None = None
) -> Renewal | None:
    """Renew the lease of this epoch; None if the shard is another's by now. `evidence` is the leader's of the time.

    It does not wait for the disk: a renewal that is lost with the server's machine was none.
    """
    row = connection.execute(
        f"""
        WITH quick AS (SELECT set_config('synchronous_commit', 'off', true))
        UPDATE engine_leader AS leader SET renewed_at = clock_timestamp(), backend_pid = pg_backend_pid(),
            machine = %(machine)s, uptime_us = %(uptime_us)s, time_us = %(time_us)s, clock_fault = %(fault)s
        FROM engine_writer AS writer, quick
        WHERE leader.shard_id = %(shard)s AND writer.shard_id = %(shard)s
          AND leader.epoch = %(epoch)s AND writer.epoch = %(epoch)s
        RETURNING handover_requested_at IS NOT NULL, {DATABASE_US},
            coalesce((SELECT max(word_id) FROM market_time_words WHERE shard_id = %(shard)s), 0),
            writer.last_seq, writer.last_digest, current_setting('fsync'), current_setting('full_page_writes')
        """,  # noqa: S608 -- it is a constant
        {"shard": shard_id, "epoch": epoch, **_columns(evidence)},
    ).fetchone()
    return None if row is None else Renewal(*row)


def release(connection: psycopg.Connection, shard_id: int, epoch: int) -> None:
    """Release the lease, so that a standby need not wait for it to run out. Another's lease is left alone."""
    connection.execute(
        "UPDATE engine_leader SET released_at = clock_timestamp() WHERE shard_id = %s AND epoch = %s",
        (shard_id, epoch),
    )


def request_handover(connection: psycopg.Connection, shard_id: int, epoch: int | None = None) -> bool:
    """Ask the leader to hand over, or only the one of this epoch. Whether somebody stands by; else nothing is asked."""
    asked = connection.execute(
        """
        UPDATE engine_leader AS leader SET handover_requested_at = clock_timestamp()
        WHERE shard_id = %(shard)s AND released_at IS NULL AND (%(epoch)s::bigint IS NULL OR epoch = %(epoch)s)
          AND EXISTS (SELECT FROM engine_standbys AS standby WHERE standby.shard_id = leader.shard_id
                        AND seen_at > clock_timestamp() - %(silent)s * interval '1 second')
        """,
        {"shard": shard_id, "epoch": epoch, "silent": STANDBY_SILENT_S_MAX},
    )
    return asked.rowcount == 1


def stand_by(
    connection: psycopg.Connection, shard_id: int, address: str, applied_seq: int, clock_fault: str = "", loss: str = ""
) -> None:
    """Say that this process follows, how far it has come, the fault of its clock, and what the journal lacks.

    Forgets those that have been silent for an hour.
    """
    connection.execute(
        """
        WITH silent AS (
            DELETE FROM engine_standbys WHERE shard_id = %(shard)s AND address <> %(address)s
              AND seen_at < clock_timestamp() - interval '1 hour'
        )
        INSERT INTO engine_standbys (shard_id, address, applied_seq, seen_at, clock_fault, loss)
        VALUES (%(shard)s, %(address)s, %(seq)s, clock_timestamp(), %(fault)s, %(loss)s)
        ON CONFLICT (shard_id, address) DO UPDATE SET applied_seq = excluded.applied_seq, seen_at = excluded.seen_at,
            clock_fault = excluded.clock_fault, loss = excluded.loss
        """,
        {"shard": shard_id, "address": address, "seq": applied_seq, "fault": clock_fault, "loss": loss},
    )


def stand_down(connection: psycopg.Connection, shard_id: int, address: str) -> None:
    """Say that this process follows no longer."""
    connection.execute("DELETE FROM engine_standbys WHERE shard_id = %s AND address = %s", (shard_id, address))


def standbys(connection: psycopg.Connection, shard_id: int) -> list[StandbyRow]:
    """Those that stand by now, the one that is furthest first."""
    rows = connection.execute(
        """
        SELECT address, applied_seq, extract(epoch FROM clock_timestamp() - seen_at)::float8, clock_fault, loss
        FROM engine_standbys WHERE shard_id = %s AND seen_at > clock_timestamp() - %s * interval '1 second'
        ORDER BY applied_seq DESC, address LIMIT 100
        """,
        (shard_id, STANDBY_SILENT_S_MAX),
    ).fetchall()
    return [StandbyRow(*row) for row in rows]


def reported_loss(connection: psycopg.Connection, shard_id: int, but: str = "") -> str:
    """What another process that stands by knows of rows that this journal has lost, in its words; or empty.

    So that a process without a mark of its own does not lead on. `but` is the address of the asking process.
    """
    others = (one for one in standbys(connection, shard_id) if one.loss and one.address != but)
    return next((f"{one.address} says: {one.loss}" for one in others), "")


def publish_proof(connection: psycopg.Connection, shard_id: int, seq: int, seconds: float) -> None:
    """Record that the state after a row was restored from storage, and compared."""
    connection.execute(
        """
        INSERT INTO proven_restores (shard_id, seq, seconds, proven_at, proven_by)
        VALUES (%s, %s, %s, clock_timestamp(), %s)
        ON CONFLICT (shard_id) DO UPDATE SET seq = excluded.seq, seconds = excluded.seconds,
            proven_at = excluded.proven_at, proven_by = excluded.proven_by
        """,
        (shard_id, seq, seconds, lease.this_process()),
    )


def last_proof(connection: psycopg.Connection, shard_id: int) -> Proof | None:
    """When recovery was last proved, None if never."""
    row = connection.execute(
        """
        SELECT seq, seconds, proven_at, proven_by, extract(epoch FROM clock_timestamp() - proven_at)::float8
        FROM proven_restores WHERE shard_id = %s
        """,
        (shard_id,),
    ).fetchone()
    return None if row is None else Proof(*row)


def _sign_in(connection: psycopg.Connection, shard_id: int, epoch: int, address: str, lease_s: float) -> None:
    connection.execute(
        """
        INSERT INTO engine_leader (shard_id, epoch, address, backend_pid, lease_s, renewed_at)
        VALUES (%s, %s, %s, pg_backend_pid(), %s, clock_timestamp())
        ON CONFLICT (shard_id) DO UPDATE SET epoch = excluded.epoch, address = excluded.address,
            backend_pid = excluded.backend_pid, lease_s = excluded.lease_s, renewed_at = excluded.renewed_at,
            released_at = NULL, handover_requested_at = NULL, clock_fault = ''
        """,
        (shard_id, epoch, address, lease_s),
    )


def _cut_off_writer(connection: psycopg.Connection, shard_id: int) -> None:
    """End the sessions of the shard's writer: one that hangs in a transaction would hold the fence till it times out.

    The name alone may be that of another market's writer, in another schema; it holds no lock on our table. Without
    the right to end a session, its time-out is waited for.
    """
    with connection.transaction():
        found = connection.execute("SELECT 'engine_writer'::regclass::oid").fetchone()
        assert found is not None, "SELECT without FROM returns one row"
        # A session is its login's to end, whichever role both have taken since (ALTER ROLE ... SET role).
        connection.execute("SET LOCAL ROLE NONE")
        connection.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity AS activity
            WHERE application_name = %s AND datname = current_database() AND usename = session_user
              AND EXISTS (SELECT FROM pg_locks AS held WHERE held.pid = activity.pid AND held.granted
                            AND held.database = activity.datid AND held.relation = %s)
            """,
            (lease.writer_name(shard_id), found[0]),
        )


def _columns(evidence: Evidence | None) -> dict[str, str | int | None]:
    """The columns of what a leader holds for right; of one that does not say, as if nothing were known."""
    if evidence is None:
        return {"machine": "", "uptime_us": None, "time_us": None, "fault": ""}
    return evidence._asdict()
