"""Whether somebody seems to be writing a shard at this moment.

Rule of this file: a courtesy, not a lock. It keeps a second process from taking over by mistake; safety is the epoch's
alone (`lease`), and whoever means to take over does not ask here.
"""

import time
from typing import Final

import psycopg

# The server notices a killed process when it next reads from its connection: at once, unless it is committing.
GRACE_S: Final = 5.0
_POLL_S: Final = 0.1


def writer_name(shard_id: int) -> str:
    """The name under which a shard's journal connects, as `pg_stat_activity` shows it."""
    return f"callmarket journal {shard_id}"


def writer_that_stays(connection: psycopg.Connection, shard_id: int, grace_s: float = GRACE_S) -> str | None:
    """Who holds the journal's connection and does not let go within the grace, in words; None if nobody does."""
    deadline = time.monotonic() + grace_s
    while True:
        row = connection.execute(
            """
            SELECT format('%%s, connected since %%s', writer.claimed_by, activity.backend_start)
            FROM pg_stat_activity AS activity LEFT JOIN engine_writer AS writer ON writer.shard_id = %s
            WHERE activity.application_name = %s AND activity.datname = current_database()
              AND activity.pid <> pg_backend_pid()
            ORDER BY activity.backend_start DESC LIMIT 1
            """,
            (shard_id, writer_name(shard_id)),
        ).fetchone()
        if row is None:
            return None
        if time.monotonic() >= deadline:
            return str(row[0])
        time.sleep(_POLL_S)
