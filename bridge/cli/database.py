"""The database of the command line: which one, and whether a market is in it.

Rule of this file: it opens. A command that only reads says so to PostgreSQL, so that a replica or a role without more
rights is enough for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from callmarket.bridge.api.errors import Unavailable
from callmarket.bridge.cli.output import config_of, console
from callmarket.bridge.config import Config
from callmarket.bridge.market.app import database_url, snapshot_store
from callmarket.bridge.market.history import opened
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.migrate import load, pending
from callmarket.persistence.journal import postgres
from callmarket.persistence.journal.protocol import Journal
from callmarket.persistence.snapshots.store import SnapshotStore

NO_MARKET: Final = "this database has no market yet: run `callmarket migrate`, or open an exchange on it"
CLI_NAME: Final = "callmarket cli"
# They follow within milliseconds, where somebody leads.
_TABLES_S_MAX: Final = 2.0


@contextmanager
def connected(url: str, *, writes: bool = False, asks_tables: bool = True) -> Iterator[tuple[psycopg.Connection, int]]:
    """A connection to the market's database, for reading alone unless the command writes; and the shard.

    Where the tables are asked, they are waited for, and where they do not follow that is said on stderr.
    """
    config = config_of(url)
    with database_url(config) as resolved, connect(resolved, CLI_NAME, read_only=not writes) as connection:
        _insist_on_market(connection)
        if asks_tables:
            wait_for_tables(connection, config.shard_id)
        yield connection, config.shard_id


@contextmanager
def reading(
    config: Config, archive: Path | None = None, *, writes: bool = False
) -> Iterator[tuple[str, Journal, SnapshotStore]]:
    """The database, its journal as a reader, with the rows of an archive if its folder is named, and the snapshots.

    `writes` says that the command will write by other ways. Raises `Unavailable` if there is no market.
    """
    with (
        market_database(config, writes=writes) as url,
        opened(url, config.shard_id, archive) as journal,
        snapshot_store(config, url) as store,
    ):
        yield url, journal, store


@contextmanager
def market_database(config: Config, *, writes: bool = False) -> Iterator[str]:
    """The database, which must have a market. Raises `Unavailable`.

    A role without rights is told here what the whole command needs, so this connection is of its kind.
    """
    with database_url(config) as url:
        with connect(url, CLI_NAME, read_only=not writes) as connection:
            _insist_on_market(connection)
        yield url


def wait_for_tables(connection: psycopg.Connection, shard_id: int) -> None:
    """Let the tables come along what is durable by now; where they do not, say so on stderr."""
    last_seq = postgres.read_position(connection, shard_id).last_seq
    mark = postgres.wait_for_tables(connection, shard_id, last_seq, _TABLES_S_MAX)
    if mark < last_seq:
        words = f"the SQL tables stand at row {mark} of {last_seq}: who leads the market brings them along"
        console(to_stderr=True).print(words, soft_wrap=True)


def _insist_on_market(connection: psycopg.Connection) -> None:
    missing = pending(connection)
    if len(missing) == len(load()):
        raise Unavailable(NO_MARKET)
    if missing:
        raise Unavailable("the tables are those of an earlier version: run `callmarket migrate`")
