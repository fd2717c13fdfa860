"""Connections of the command line to its database, which must have a market.

Rule of this file: a command that only reads opens a read-only connection, so that a replica or a role that may only
read is enough for it.
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
# While there is a leader, the tables follow the journal within milliseconds.
_TABLES_S_MAX: Final = 2.0


@contextmanager
def connected(url: str, *, writes: bool = False, asks_tables: bool = True) -> Iterator[tuple[psycopg.Connection, int]]:
    """A connection to the market's database, and the shard. The connection is read-only unless `writes`.

    With `asks_tables` it first waits, for up to 2 s, until the tables have what is durable by now, and prints a line
    on stderr if they do not. Raises `Unavailable` if the database has no market or an earlier schema.
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
    """The URL of the database, a reader of its journal, with the rows of `archive` if it is given, and its snapshots.

    `writes`: the command will write through connections of its own. Raises `Unavailable` if there is no market.
    """
    with (
        market_database(config, writes=writes) as url,
        opened(url, config.shard_id, archive) as journal,
        snapshot_store(config, url) as store,
    ):
        yield url, journal, store


@contextmanager
def market_database(config: Config, *, writes: bool = False) -> Iterator[str]:
    """The URL of the database. Raises `Unavailable` if it has no market.

    The check uses the kind of connection that the command needs, so that a role without the rights is refused here.
    """
    with database_url(config) as url:
        with connect(url, CLI_NAME, read_only=not writes) as connection:
            _insist_on_market(connection)
        yield url


def wait_for_tables(connection: psycopg.Connection, shard_id: int) -> None:
    """Wait, for up to 2 s, until the tables have what is durable by now; if they do not, print a line on stderr."""
    last_seq = postgres.read_position(connection, shard_id).last_seq
    mark = postgres.wait_for_tables(connection, shard_id, last_seq, _TABLES_S_MAX)
    if mark < last_seq:
        words = f"the SQL tables stand at row {mark} of {last_seq}: the leader of the market brings them along"
        console(to_stderr=True).print(words, soft_wrap=True)


def _insist_on_market(connection: psycopg.Connection) -> None:
    missing = pending(connection)
    if len(missing) == len(load()):
        raise Unavailable(NO_MARKET)
    if missing:
        raise Unavailable("the tables are those of an earlier version: run `callmarket migrate`")
