"""A heart that beats through what befalls the database: away, frozen, gone back, or without a right.

Goal: none of it ends a leader that leads, all of it is told to whoever compares clocks, and letting go is done in the
end. Method: a real server behind a proxy, and a role whose rights are taken and given.
"""

import itertools
import threading
from collections.abc import Iterator

import psycopg
import pytest

from callmarket.engine.codec import GENESIS_DIGEST
from callmarket.persistence.database.connections import connect
from callmarket.persistence.errors import Fenced, RowsLost
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Position
from callmarket.persistence.leadership import market_time, register
from callmarket.persistence.leadership.heartbeat import Heartbeat, News
from callmarket.persistence.leadership.market_time import Evidence, View, Word
from tests.support.proxy import Proxy
from tests.support.roles import role_on
from tests.support.sealed import bids
from tests.support.small_market import until

EVIDENCE = Evidence("here", 7, 1_800_000_000_000_000, "")


class Watching:
    """Compares no clocks; each asking is a moment of its own."""

    def __init__(self) -> None:
        self.moments = itertools.count(1_000)
        self.asked: list[int] = []
        self.told_of: list[tuple[int, int]] = []
        self.silences = 0
        self.word_id = 0

    def asking(self) -> int:
        self.asked.append(next(self.moments))
        return self.asked[-1]

    def on_database_time(self, asked_us: int, database_us: int) -> None:
        self.told_of.append((asked_us, database_us))

    def on_no_answer(self) -> None:
        self.silences += 1

    def evidence(self) -> Evidence:
        return EVIDENCE

    def on_operator_time(self, word: Word, database_us: int) -> None: ...

    def objection(self, asked_us: int, view: View) -> str:
        return ""


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, "test") as one:
        yield one


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    with Proxy(database_url) as one:
        yield one


def sign(connection: psycopg.Connection) -> str:
    found = register.look(connection, 0)
    return "nobody" if found is None else found.sign


def beating(url: str, watch: Watching | None = None, lease_s: float = 5) -> tuple[Heartbeat, list[News]]:
    """A leader that has acknowledged nothing, and what it hears."""
    leader, heard = Heartbeat(url, 0, address="one", lease_s=lease_s, watch=watch), list[News]()
    assert leader.take() is not None
    leader.listen(heard.append, lambda: True, lambda: Position(leader.epoch, 0, GENESIS_DIGEST))
    return leader, heard


def test_an_unavailable_database_ends_no_lease_and_is_reported_to_the_clocks(
    connection: psycopg.Connection, proxy: Proxy
) -> None:
    """Each answer belongs to the moment before it was asked for, and the time is left beside the lease."""
    watch = Watching()
    leader, heard = beating(proxy.url, watch)
    until(lambda: len(watch.told_of) > 2)
    proxy.refusing = True
    proxy.cut_all()
    until(lambda: watch.silences > 2)
    told = len(watch.told_of)
    proxy.refusing = False
    until(lambda: len(watch.told_of) > told + 1)
    assert heard == []
    until(lambda: sign(connection) == "alive")
    leader.close()
    assert {asked for asked, _ in watch.told_of} <= set(watch.asked)
    assert [asked for asked, _ in watch.told_of] == sorted({asked for asked, _ in watch.told_of})
    assert all(database_us > 10**15 for _, database_us in watch.told_of)
    assert market_time.look(connection, 0).evidence == EVIDENCE


def test_a_right_that_is_taken_away_ends_nothing(database_url: str, connection: psycopg.Connection) -> None:
    """The journal's writer says what that means; the lease goes on once the right is back."""
    watch = Watching()
    with role_on(database_url, "callmarket_reader", "ALL ON ALL TABLES IN SCHEMA public") as url:
        leader, heard = beating(url, watch)
        try:
            until(lambda: bool(watch.told_of))
            (role,) = connection.execute(
                "SELECT usename FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
                (register.session_name(0),),
            ).fetchone()
            connection.execute(f'REVOKE UPDATE ON engine_leader FROM "{role}"')
            silences = watch.silences
            until(lambda: watch.silences > silences + 2)
            connection.execute(f'GRANT UPDATE ON engine_leader TO "{role}"')
            told = len(watch.told_of)
            until(lambda: len(watch.told_of) > told + 1)
            assert heard == []
        finally:
            leader.close()
    assert sign(connection) == "released"


def test_the_lease_is_released_as_soon_as_the_database_is_back(connection: psycopg.Connection, proxy: Proxy) -> None:
    """Whoever stands by need not wait for the lease."""
    watch = Watching()
    leader, _ = beating(proxy.url, watch, lease_s=3_600)
    proxy.refusing = True
    proxy.cut_all()
    until(lambda: watch.silences > 0)
    leader.release()
    silences = watch.silences
    until(lambda: watch.silences > silences + 2)
    assert sign(connection) != "released"
    proxy.refusing = False
    until(lambda: sign(connection) == "released")
    leader.close()


@pytest.mark.parametrize("released", [False, True])
def test_closing_does_not_wait_for_a_frozen_database(proxy: Proxy, released: bool) -> None:
    """Nor for one that is away: then the lease runs out. Its answer may come in an hour."""
    leader, _ = beating(proxy.url, lease_s=3_600)
    proxy.flowing.clear()
    if released:
        leader.release()
    proxy.refusing = True
    leader.close()
    assert not any(thread.name == "heartbeat 0" for thread in threading.enumerate())


def test_a_former_leader_knows_its_successor(connection: psycopg.Connection, database_url: str) -> None:
    """So that callers are told the way; before that there is none."""
    leader, heard = beating(database_url)
    leader.release()
    until(lambda: sign(connection) == "released")
    assert leader.successor == ""
    register.take(connection, 0, address="http://two", lease_s=5)
    until(lambda: leader.successor == "http://two")
    leader.close()
    assert heard == [], "it let go by itself"


def test_an_epoch_that_went_back_with_no_row_is_no_successor_and_no_loss(
    connection: psycopg.Connection, database_url: str
) -> None:
    connection.execute(
        "INSERT INTO engine_writer VALUES (0, 7, 0, %s, now(), 'somebody')", (GENESIS_DIGEST,), binary=True
    )
    leader, heard = beating(database_url)
    assert leader.epoch == 8
    connection.execute("UPDATE engine_writer SET epoch = 6")
    until(lambda: bool(heard))
    leader.close()
    (news,) = heard
    assert isinstance(news, Fenced)
    assert "went back from epoch 8 of shard 0 to epoch 6, and lacks nothing that was acknowledged" in str(news)


def test_a_database_that_went_back_to_another_epoch_has_lost_what_it_lacks(
    connection: psycopg.Connection, database_url: str
) -> None:
    """Rows before leaders: whoever leads there by now leads another history."""
    rows = bids(5)
    with PostgresJournal(database_url, 0) as journal:
        leader, heard = Heartbeat(database_url, 0, address="one", lease_s=5), list[News]()
        epoch = leader.take()
        assert epoch is not None
        journal.epoch = epoch
        journal.append(rows)
        told = journal.position()
    leader.listen(heard.append, lambda: True, lambda: told)
    connection.execute("UPDATE engine_writer SET epoch = epoch + 1, last_seq = last_seq - 3")
    until(lambda: bool(heard))
    leader.close()
    assert [type(news) for news in heard] == [RowsLost]
