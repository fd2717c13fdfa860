"""The end of what a process has asked of the server that was killed: its backend goes on for a while, and may commit.

Rule of this file: whoever looks at a database after a kill waits for this first.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.support.small_market import until


@contextmanager
def no_session_left(url: str) -> Iterator[None]:
    """What was asked of the server within the block is done, or undone, when it ends: also by who was killed in it."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    with psycopg.connect(url, autocommit=True) as connection:
        before = connection.execute(query).fetchall()
        yield
        until(lambda: set(connection.execute(query).fetchall()) <= set(before))
