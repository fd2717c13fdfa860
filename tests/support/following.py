"""Tables that follow the journal, for tests that ask them by SQL of their own.

Rule: wait for where the tables stand, never for a time; where nobody leads, bring them along here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from callmarket.persistence.journal.postgres import read_position, wait_for_tables
from callmarket.persistence.tables.table_writer import bring_level

# Far more than it takes on a busy machine: a test that waits so long has failed.
WITHIN_S = 60.0


def projected(url: str, shard_id: int = 0) -> str:
    """Wait until the tables of a market that somebody leads have all that is durable now; the URL, to be asked."""
    assert do_follow(url, WITHIN_S, shard_id), "the tables do not follow"
    return url


def do_follow(url: str, within_s: float, shard_id: int = 0) -> bool:
    """Whether the tables come to have all that is durable now."""
    with psycopg.connect(url, autocommit=True) as connection:
        last_seq = read_position(connection, shard_id).last_seq
        return wait_for_tables(connection, shard_id, last_seq, within_s) >= last_seq


def level(url: str, shard_id: int = 0, batch_rows_max: int = 20_000) -> str:
    """Bring the tables of a market that nobody leads along all that its journal has; the URL, to be asked."""
    bring_level(url, shard_id, batch_rows_max)
    return url


@contextmanager
def held_back(url: str, shard_id: int = 0) -> Iterator[psycopg.Connection]:
    """Keep everybody from bringing the tables along, until the end of the block or a rollback of what is yielded."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT FROM projections WHERE shard_id = %s FOR UPDATE", (shard_id,))
        yield connection
        connection.rollback()
