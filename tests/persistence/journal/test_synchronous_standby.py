"""Commits that have to wait for a synchronous standby: none counts that nobody waited for.

Method: a server of its own that waits for a standby which is not there, so every commit waits until the demand is taken
back. Of a wait that was cancelled PostgreSQL says so in a warning, and the commit is seen by everybody.
"""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from callmarket.engine.codec import GENESIS_DIGEST
from callmarket.persistence.database.connections import connect
from callmarket.persistence.errors import Unavailable
from callmarket.persistence.journal import lease
from callmarket.persistence.journal.db_writes import execute_journaled
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Position
from callmarket.persistence.stores.work.pool import WorkPool
from callmarket.persistence.tables.statements import COPY_ROWS_MIN
from callmarket.persistence.writer.limits import Limits
from callmarket.persistence.writer.write_behind import WriteBehind
from tests.support.own_server import OwnServer, open_own_server
from tests.support.sealed import bids
from tests.support.small_market import until
from tests.support.writers import assert_whole

WAIT_S = 60.0
ENDED = ["pg_cancel_backend", "pg_terminate_backend"]


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    with open_own_server() as server:
        yield server


@pytest.fixture
def url(own_server: OwnServer) -> Iterator[str]:
    """A database whose commits wait for a standby that is not there; shard 0 is claimed."""
    with own_server.market_database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            assert lease.claim(connection, 0) == 1
        own_server.configure(synchronous_standby_names="nobody")
        try:
            yield url
        finally:
            demand_nothing(own_server)


def demand_nothing(own_server: OwnServer) -> None:
    """Whoever waits is let go, and was not lied to: nothing is demanded any more."""
    with own_server.databases.connect("postgres", autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        connection.execute("SELECT pg_reload_conf()")


def signal_waiting(url: str, function: str) -> None:
    """End the wait of the one who waits for the standby, as soon as there is one."""
    with psycopg.connect(url, autocommit=True) as connection:
        query = f"SELECT {function}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        until(lambda: connection.execute(query).fetchall() == [(True,)])


def cancelled_soon(url: str) -> threading.Thread:
    thread = threading.Thread(target=signal_waiting, args=(url, "pg_cancel_backend"))
    thread.start()
    return thread


def test_commit_that_nobody_waited_for_is_an_error_and_the_end_of_the_connection(url: str) -> None:
    """A statement alone, a transaction, and one of the connections that workers share."""
    with connect(url, "test") as connection:
        soon = cancelled_soon(url)
        with pytest.raises(psycopg.OperationalError, match="the commit is not confirmed"):
            connection.execute("CREATE TABLE one ()")
        assert connection.closed
        soon.join()
    with connect(url, "test") as connection:
        soon = cancelled_soon(url)
        with pytest.raises(psycopg.OperationalError, match="the commit is not confirmed"), connection.transaction():
            connection.execute("CREATE TABLE two ()")
        soon.join()
    workers = WorkPool(url)
    soon = cancelled_soon(url)
    with pytest.raises(Unavailable, match="the commit is not confirmed"), workers.use() as connection:
        connection.execute("CREATE TABLE three ()")
    soon.join()
    workers.close()
    with psycopg.connect(url) as other:
        tables = other.execute("SELECT tablename FROM pg_tables WHERE tablename IN ('one', 'two', 'three')")
        assert len(tables.fetchall()) == 3, "they are seen all the same"


@pytest.mark.parametrize("count", [3, 2 * COPY_ROWS_MIN])
def test_batch_that_nobody_waited_for_is_in_doubt(url: str, count: int) -> None:
    with connect(url, "test", writer=True) as connection:
        soon = cancelled_soon(url)
        with pytest.raises(Unavailable, match=r"did not confirm .*the commit is not confirmed"):
            execute_journaled(connection, bids(count), shard_id=0, epoch=1)
        soon.join()


@pytest.mark.parametrize("ended", ENDED)
def test_rows_are_durable_when_the_standby_has_them_however_often_the_wait_is_ended(
    own_server: OwnServer, url: str, ended: str
) -> None:
    """The batch is found in the journal by whoever looks, and that is not enough."""
    rows = bids(5)
    limits = Limits(backoff_s_min=0.01, backoff_s_max=0.05)
    position = Position(1, 0, GENESIS_DIGEST)
    with (
        WriteBehind(lambda: PostgresJournal(url, 0, 1), position, limits) as writer,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        writer.enqueue(*rows)
        for _ in range(3):
            # It looks before it sends, and waits already then.
            signal_waiting(url, ended)
            assert writer.durable_seq == 0
        demand_nothing(own_server)
        writer.wait(len(rows), WAIT_S)
        assert connection.execute("SELECT count(*) FROM journal").fetchone() == (len(rows),)
    assert_whole(url, rows)


@pytest.mark.parametrize("ended", ENDED)
def test_look_of_a_writer_waits_for_what_it_finds(own_server: OwnServer, url: str, ended: str) -> None:
    """A batch whose writer died while it waited is in for everybody who reads, and not yet for who acknowledges."""
    rows = bids(5)
    with connect(url, "test", writer=True) as connection:
        soon = cancelled_soon(url)
        with pytest.raises(Unavailable):
            execute_journaled(connection, rows, shard_id=0, epoch=1)
        soon.join()
    with PostgresJournal(url, 0, reader=True) as reader, PostgresJournal(url, 0, 1) as writer:
        assert reader.position().last_seq == len(rows)
        soon = threading.Thread(target=signal_waiting, args=(url, ended))
        soon.start()
        with pytest.raises(Unavailable):
            writer.position()
        soon.join()
        demand_nothing(own_server)
        assert writer.position().last_seq == len(rows)
