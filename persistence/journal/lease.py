"""Who may write a shard: the epoch of its writer.

Rule of this file: an epoch is taken by raising it, never by waiting for somebody to give it up. The process that raised
it last is the writer; the batches of all others fail at the fence from that moment on, so safety never depends on a
clock.
"""

import os
import socket

import psycopg

from callmarket.engine.codec import GENESIS_DIGEST


def claim(connection: psycopg.Connection, shard_id: int, after_epoch: int | None = None) -> int | None:
    """Become the writer of a shard, new or old, and return the epoch that all batches must carry from now on.

    With `after_epoch`, only if that is the present one: None, and nothing is changed, if somebody else was faster.
    Waits for a batch that is being committed at this moment, so what the position says afterwards is the end of what
    the writer before could write. A new shard gets the mark of its tables. One statement; raises `psycopg.Error` only.
    """
    row = connection.execute(
        """
        WITH mark AS (
            INSERT INTO projections (shard_id, seq, projected_at)
            SELECT %(shard)s, 0, now() WHERE NOT EXISTS (SELECT FROM engine_writer WHERE shard_id = %(shard)s)
            ON CONFLICT (shard_id) DO NOTHING
        )
        INSERT INTO engine_writer AS writer (shard_id, epoch, last_seq, last_digest, claimed_at, claimed_by)
        VALUES (%(shard)s, 1, 0, %(genesis)b, now(), %(process)s)
        ON CONFLICT (shard_id) DO UPDATE
        SET epoch = writer.epoch + 1, claimed_at = excluded.claimed_at, claimed_by = excluded.claimed_by
        WHERE %(after)s::bigint IS NULL OR writer.epoch = %(after)s
        RETURNING epoch
        """,
        {"shard": shard_id, "genesis": GENESIS_DIGEST, "process": this_process(), "after": after_epoch},
    ).fetchone()
    return None if row is None else row[0]


def epoch_of(connection: psycopg.Connection, shard_id: int) -> int:
    """The epoch of a shard's writer, 0 before the first. Raises `psycopg.Error`."""
    row = connection.execute("SELECT epoch FROM engine_writer WHERE shard_id = %s", (shard_id,)).fetchone()
    return 0 if row is None else row[0]


def writer_name(shard_id: int) -> str:
    """The name under which a shard's journal connects, as `pg_stat_activity` shows it."""
    return f"callmarket journal {shard_id}"


def this_process() -> str:
    """What a person needs to find this process."""
    return f"process {os.getpid()} on {socket.gethostname()}"
