"""A standby by itself: what it waits for before it leads, and what it leaves behind, whatever its user does.

Goal: a lease is never kept by a process that cannot lead, and nothing that has passed keeps one from leading. Method: a
real database, and a user that fails.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import psycopg
import pytest

from callmarket.persistence.database.connections import connect
from callmarket.persistence.errors import PersistenceError, Unavailable
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.leadership import register
from callmarket.persistence.leadership.market_time import Evidence, View, Word
from callmarket.persistence.leadership.standby import Standby, Takeover
from callmarket.persistence.loss.high_water import HighWater
from callmarket.persistence.snapshots.folder import FolderSnapshots
from tests.support.sealed import bids
from tests.support.small_market import WAIT_S_MAX, until

ROWS = bids(10)


class Objecting:
    """Compares no clocks, and objects as often as it is told to."""

    def __init__(self, *objections: str) -> None:
        self.objections = list(objections)
        self.asked: list[int] = []
        self.word_id = 0

    def asking(self) -> int:
        return 17 + len(self.asked)

    def objection(self, asked_us: int, view: View) -> str:
        self.asked.append(asked_us)
        return self.objections.pop(0) if self.objections else ""

    def evidence(self) -> Evidence:
        return Evidence("here", 7, 1_800_000_000_000_000, "")

    def on_database_time(self, asked_us: int, database_us: int) -> None: ...

    def on_no_answer(self) -> None: ...

    def on_operator_time(self, word: Word, database_us: int) -> None: ...


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        journal.append(ROWS)
    with connect(database_url, "test") as one:
        yield one


@pytest.fixture
def stand_by(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Standby]]:
    begun: list[Standby] = []

    def begin(**options: Any) -> Standby:
        marks = HighWater(tmp_path / "marks", 0)
        snapshots = FolderSnapshots(tmp_path / "kept", 0)
        begun.append(Standby(database_url, 0, snapshots, address="two", lease_s=5, high_water=marks, **options))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


def never(_: object) -> None:
    raise AssertionError("nobody may be told")


@pytest.mark.parametrize("raised", [ValueError("x"), KeyboardInterrupt(), SystemExit(3), Unavailable("full"), None])
def test_a_lease_that_its_user_cannot_use_is_released(
    connection: psycopg.Connection, stand_by: Callable[..., Standby], raised: BaseException | None
) -> None:
    """By an error of any kind, also one that ends a program; the user is told once, and without an error nothing is."""
    led, failed = Queue[Takeover](), Queue[PersistenceError]()

    def lead(takeover: Takeover) -> None:
        led.put(takeover)
        if raised is not None:
            raise raised

    standby = stand_by(on_lead=lead, on_failed=failed.put)
    takeover = led.get(timeout=WAIT_S_MAX)
    assert takeover.recovered.position.last_digest == ROWS[-1].digest
    assert (takeover.recovered.report.from_seq, standby.applied_seq) == (len(ROWS) - takeover.recovered.report.rows, 31)
    if raised is None:
        leader = register.look(connection, 0)
        assert leader is not None
        assert (leader.address, leader.sign) == ("two", "alive")
        takeover.heartbeat.close()
        assert failed.empty()
    else:
        error = failed.get(timeout=WAIT_S_MAX)
        assert error is raised or str(error) == f"The standby met a bug and stopped: {raised!r}"
        assert isinstance(raised, PersistenceError) == (error is raised)
    until(lambda: (found := register.look(connection, 0)) is not None and found.sign == "released")
    assert register.standbys(connection, 0) == []


def test_an_objection_to_the_clock_holds_for_as_long_as_it_is_made(
    connection: psycopg.Connection, stand_by: Callable[..., Standby]
) -> None:
    led, watch = Queue[Takeover](), Objecting("its clock is wrong", "its clock is wrong")
    stand_by(on_lead=led.put, on_failed=never, watch=watch)
    led.get(timeout=WAIT_S_MAX).heartbeat.close()
    assert watch.asked[:3] == [17, 18, 19], "asked before the database was"
    assert watch.objections == []


def test_one_whose_clock_is_wrong_says_so_and_takes_it_back(
    connection: psycopg.Connection, stand_by: Callable[..., Standby]
) -> None:
    standby = stand_by(on_lead=never, on_failed=never, watch=Objecting(*["its clock is wrong"] * 100_000))
    until(lambda: [one.clock_fault for one in register.standbys(connection, 0)] == ["its clock is wrong"])
    (row,) = register.standbys(connection, 0)
    assert (row.address, row.applied_seq, row.loss) == ("two", len(ROWS), "")
    assert (standby.leader, standby.loss) == ("", "")
    standby.close()
    assert register.standbys(connection, 0) == [], "one that was closed stands by no longer"
