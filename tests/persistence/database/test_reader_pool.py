"""The pool of readers beside a database that ends its sessions, freezes, and is away.

Goal: a question is answered or refused in bounded time, what is dead is noticed, nothing is left inside a transaction,
and when the database is back so are the answers, by themselves. Method: a real server that is really hurt.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from callmarket.bridge.api.contract.queries import TableQuery, Tables
from callmarket.bridge.api.errors import Unavailable
from callmarket.bridge.market.table_reader import TableReader
from callmarket.persistence import errors
from callmarket.persistence.database import reader_pool
from callmarket.persistence.database.reader_pool import (
    CHECKOUT_S_MAX,
    CONNECTIONS_MAX,
    GREETING_S_MAX,
    WAITING_MAX,
    ReaderPool,
)
from callmarket.persistence.errors import ReadOnly
from callmarket.persistence.queries import market_ids
from tests.support.own_server import OwnServer, open_own_server
from tests.support.small_market import WAIT_S_MAX, in_threads, until

# What a question may take where nobody answers, and some room for a busy machine.
REFUSED_S_MAX = CHECKOUT_S_MAX + GREETING_S_MAX + 30.0


@pytest.fixture
def pool(own_url: str) -> Iterator[ReaderPool]:
    """A pool on a database that may be hurt."""
    pool = ReaderPool(own_url, 0)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    """A server that tests may stop and freeze."""
    with open_own_server() as server:
        yield server


@pytest.fixture
def own_url(own_server: OwnServer) -> Iterator[str]:
    """A fresh database on it."""
    with own_server.market_database() as url:
        yield url


def ask(pool: ReaderPool) -> int:
    with pool.snapshot() as snapshot:
        assert market_ids(snapshot.connection, 0) == []
        return snapshot.connection.info.backend_pid


def sessions(url: str) -> list[tuple[int, str]]:
    """The pool's sessions: process and state."""
    with psycopg.connect(url, autocommit=True) as connection:
        query = "SELECT pid, state FROM pg_stat_activity WHERE application_name = 'callmarket tables'"
        return connection.execute(query).fetchall()


def all_at_once(pool: ReaderPool) -> None:
    """Use all connections, so that all are open."""
    meeting = threading.Barrier(CONNECTIONS_MAX)

    def use() -> None:
        with pool.snapshot():
            meeting.wait(WAIT_S_MAX)

    assert in_threads([use] * CONNECTIONS_MAX) == []


def test_nothing_is_opened_before_a_question_and_nothing_is_left_in_a_transaction(
    pool: ReaderPool, own_url: str
) -> None:
    assert sessions(own_url) == []
    ask(pool)
    assert [state for _, state in sessions(own_url)] == ["idle"]
    with pytest.raises(ZeroDivisionError), pool.snapshot():
        raise ZeroDivisionError
    with pytest.raises(psycopg.ProgrammingError), pool.snapshot() as snapshot:
        snapshot.connection.execute("SELECT nothing")
    all_at_once(pool)
    until(lambda: {state for _, state in sessions(own_url)} == {"idle"})
    assert len(sessions(own_url)) <= CONNECTIONS_MAX


def test_a_question_cannot_write_and_sees_one_moment(pool: ReaderPool, own_url: str) -> None:
    with pytest.raises(ReadOnly, match="only read"), pool.snapshot() as snapshot:
        snapshot.connection.execute("DELETE FROM engine_writer")
    with pool.snapshot() as snapshot, psycopg.connect(own_url, autocommit=True) as other:
        assert snapshot.seq == 0
        other.execute("INSERT INTO compute_auction_rounds VALUES (0, 'm', 1, now(), 0, 0, 0, NULL, NULL, 0, 0, 1)")
        count = "SELECT count(*) FROM compute_auction_rounds"
        assert snapshot.connection.execute(count).fetchone() == (0,)
    with pool.snapshot() as snapshot:
        assert snapshot.connection.execute(count).fetchone() == (1,)


def test_a_statement_that_takes_too_long_is_ended(pool: ReaderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_pool, "STATEMENT_S_MAX", 1)
    with pytest.raises(errors.Unavailable, match="statement timeout"), pool.snapshot() as snapshot:
        snapshot.connection.execute("SELECT pg_sleep(30)")
    ask(pool)


def test_sessions_that_died_while_idle_do_not_fail_a_question(pool: ReaderPool, own_url: str) -> None:
    """pg_terminate_backend, as an administrator does: all at once, and the very next question is answered."""
    for _ in range(3):
        all_at_once(pool)
        before = {pid for pid, _ in sessions(own_url)}
        assert before
        with psycopg.connect(own_url, autocommit=True) as connection:
            for pid in before:
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        until(lambda dead=before: not dead & {pid for pid, _ in sessions(own_url)})  # type: ignore[misc]
        assert ask(pool) not in before


def test_a_frozen_server_is_reported_in_bounded_time_and_recovers(own_server: OwnServer, pool: ReaderPool) -> None:
    """SIGSTOP: connections stay open and nobody answers, neither the idle ones nor to who connects."""
    all_at_once(pool)
    with own_server.frozen():
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(errors.Unavailable):
                ask(pool)
            assert time.monotonic() - started < REFUSED_S_MAX
    until(lambda: answers(pool))


def test_a_server_that_freezes_within_a_question(
    own_server: OwnServer, pool: ReaderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_pool, "ANSWER_S_MAX", 0.5)
    with (
        pytest.raises(errors.Unavailable, match=r"no answer within 0\.5 s"),
        pool.snapshot() as snapshot,
        own_server.frozen(),
    ):
        snapshot.connection.execute("SELECT 1")
    monkeypatch.undo()
    until(lambda: answers(pool))


def test_a_server_that_is_unavailable_is_reported_and_comes_back(own_server: OwnServer, pool: ReaderPool) -> None:
    ask(pool)
    with own_server.away():
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(errors.Unavailable):
                ask(pool)
            assert time.monotonic() - started < REFUSED_S_MAX
    until(lambda: answers(pool))


def answers(pool: ReaderPool) -> bool:
    try:
        ask(pool)
    except errors.Unavailable:
        return False
    return True


def now() -> datetime:
    return datetime(2030, 1, 1, tzinfo=UTC)


def test_the_loop_goes_on_while_the_tables_are_slow_and_no_more_wait_than_may(own_url: str) -> None:
    """Slow questions fill the reader: the loop ticks on, one too many is refused at once, then all is free again."""
    table_reader = TableReader(own_url, 0, now, lambda: None)
    hold = threading.Event()

    def slow(at: Tables) -> int:
        hold.wait(WAIT_S_MAX)
        return at.seq

    async def scenario() -> None:
        asked = [asyncio.create_task(table_reader.ask_async(TableQuery(slow))) for _ in range(WAITING_MAX)]
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable, match=f"{WAITING_MAX} questions wait") as caught:
            await table_reader.ask_async(TableQuery(slow))
        assert caught.value.retry_after_s
        # One that gives up makes room.
        asked[-1].cancel()
        await asyncio.gather(asked[-1], return_exceptions=True)
        again = asyncio.create_task(table_reader.ask_async(TableQuery(slow)))
        await asyncio.sleep(0)
        hold.set()
        assert await asyncio.gather(*asked[:-1], again) == [0] * WAITING_MAX
        assert await table_reader.ask_async(TableQuery(lambda at: at.seq)) == 0

    try:
        asyncio.run(asyncio.wait_for(scenario(), WAIT_S_MAX))
    finally:
        hold.set()
        table_reader.close()


def test_a_question_that_waited_too_long_for_a_thread_fails(own_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callmarket.bridge.market.table_reader.QUEUED_S_MAX", 0.0)
    table_reader = TableReader(own_url, 0, now, lambda: None)
    try:
        with pytest.raises(Unavailable, match="took longer than 0 s"):
            asyncio.run(table_reader.ask_async(TableQuery(lambda at: at.seq)))
    finally:
        table_reader.close()
    with pytest.raises(Unavailable, match="closed"):
        asyncio.run(table_reader.ask_async(TableQuery(lambda at: at.seq)))
