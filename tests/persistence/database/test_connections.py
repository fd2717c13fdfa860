"""How connections behave when the server does not: no wait is for ever, and no commit is a mere promise.

Method: a server of its own is frozen with SIGSTOP after the connection was made, or configured to lie.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import TypeVar

import psycopg
import pytest

from callmarket import Unavailable, open_exchange
from callmarket.persistence import errors
from callmarket.persistence.database import connections
from callmarket.persistence.database.connections import connect
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.verify import verify
from tests.support.own_server import OwnServer, open_own_server

ANSWER_S = 0.4
# A pool that lost its server tries again after a second, then two, then four.
TRIES_MAX = 10

T = TypeVar("T")


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    with open_own_server() as server:
        yield server


@pytest.fixture
def url(own_server: OwnServer) -> Iterator[str]:
    with own_server.market_database() as url:
        yield url


def test_no_statement_waits_for_ever(own_server: OwnServer, url: str) -> None:
    """A frozen server answers no time-out of its own; and the connection is closed, for its state is unknown."""
    with connect(url, "test") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.answer_s_max = ANSWER_S
        with own_server.frozen(), pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.4 s"):
            connection.execute("SELECT 1")
        assert connection.closed
    with connect(url, "test") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("moment", ["copy", "commit"])
def test_no_copy_and_no_commit_waits_for_ever(own_server: OwnServer, url: str, moment: str) -> None:
    with connect(url, "test") as connection:
        connection.execute("CREATE TEMP TABLE numbers (n int)")
        with ExitStack() as thawed_at_the_end:

            def now(what: str) -> None:
                if what == moment:
                    connection.answer_s_max = ANSWER_S
                    thawed_at_the_end.enter_context(own_server.frozen())

            def write() -> None:
                with connection.transaction():
                    with connection.cursor() as cursor, cursor.copy("COPY numbers FROM STDIN") as copy:
                        copy.write_row((1,))
                        now("copy")
                    now("commit")

            with pytest.raises(psycopg.OperationalError, match="no answer"):
                write()
        assert connection.closed


def test_a_slow_answer_is_waited_for(url: str) -> None:
    """The bound is for one wait, not for what a connection does altogether; errors of the server stay as they are."""
    with connect(url, "test", answer_s_max=1.5) as connection:
        for _ in range(3):
            connection.execute("SELECT pg_sleep(0.6)")
        with suppress(psycopg.errors.QueryCanceled), connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 100")
            connection.execute("SELECT pg_sleep(1)")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_readers_of_a_frozen_server_fail_in_bounded_time(
    own_server: OwnServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever reads: the verbs of an exchange, verification, a reader of the journal. Each had been connected."""
    with open_exchange(url) as market:
        market.open_market("m")
        with (
            market.node.connect() as connection,
            PostgresJournal(url, 0, reader=True) as journal,
            monkeypatch.context() as hasty,
        ):
            assert journal.position().last_seq == 1
            # Only now: a server that answers may take longer.
            hasty.setattr(connections, "ANSWER_S_MAX", ANSWER_S)
            hasty.setattr(connections, "CONNECT_TIMEOUT_S", 1)
            for used in (connection, journal._connection._connection):
                used.answer_s_max = ANSWER_S
            with own_server.frozen():
                with pytest.raises(psycopg.OperationalError, match="no answer"):
                    connection.execute("SELECT 1")
                with pytest.raises(errors.Unavailable, match="no answer"):
                    journal.position()
                with pytest.raises(Unavailable):
                    market.get_recent_stats("m")
                with pytest.raises(errors.Unavailable):
                    verify(url, 0)
        assert answered(lambda: market.get_recent_stats("m")) is not None
        assert verify(url, 0).ok


def answered(ask: Callable[[], T]) -> T:
    """The answer, as soon as there is one: whoever asks a moment after an outage may be told to come back."""
    for _ in range(TRIES_MAX - 1):
        try:
            return ask()
        except Unavailable as error:
            time.sleep(error.retry_after_s or 0)
    return ask()


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_may_lose_commits_is_named_in_the_log(
    own_server: OwnServer, url: str, caplog: pytest.LogCaptureFixture, setting: str
) -> None:
    """A connection cannot set it for itself, so whoever opens the market is told."""
    own_server.configure(**{setting: "off"})
    try:
        with caplog.at_level(logging.WARNING):
            connect(url, "test").close()
            assert not caplog.records, "who only reads loses nothing"
            open_exchange(url).close()
        assert f"the server runs with {setting} = off" in caplog.text
    finally:
        own_server.configure(**{setting: "on"})
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        open_exchange(url).close()
    assert not caplog.records
