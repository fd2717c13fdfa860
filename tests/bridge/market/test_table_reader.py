"""Questions to the tables beside a projector: what is waited for, what is not, and what is told to who waits in vain.

Goal: nobody is told less than he knows, and nobody waits where waiting does not help. Method: the desk of production
over a real PostgreSQL; the tables are brought along by the real projector when the test lets it, or by nobody. A
question answers with the row that it was answered from.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from callmarket.bridge.api.contract.queries import TableQuery
from callmarket.bridge.api.errors import Unavailable
from callmarket.bridge.api.seen import Seen
from callmarket.bridge.market import table_reader as desk_module
from callmarket.bridge.market.table_reader import TableReader
from callmarket.persistence import errors
from callmarket.persistence.database.reader_pool import WAITING_MAX
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.limits import TableLimits
from callmarket.persistence.tables.projector import Projector
from callmarket.persistence.tables.table_writer import PostgresTables, Progress
from tests.support.following import level
from tests.support.sealed import bids
from tests.support.small_market import WAIT_S_MAX, until

ROWS = bids(20)
WHERE: TableQuery[int] = TableQuery(lambda at: at.seq)


class Held(PostgresTables):
    """Tables that follow from when they may, and fail as they are told to."""

    def __init__(self, url: str, epoch: int) -> None:
        super().__init__(url, 0, epoch)
        self.may = threading.Event()
        self.error: Exception | None = None

    def project(self) -> Progress:
        if self.error is not None:
            raise self.error
        assert self.may.wait(WAIT_S_MAX)
        return super().project()


class Town:
    """A journal with some rows of which the tables have none, and a desk before them."""

    def __init__(self, url: str) -> None:
        self.url = url
        with PostgresJournal(url, 0) as journal:
            self.tables = Held(url, journal.claim())
            journal.append(ROWS)
        self.projector: Projector | None = None
        self.table_reader = TableReader(
            url, 0, lambda: datetime(2030, 1, 1, tzinfo=UTC), lambda: self.projector, WAIT_S_MAX
        )

    def follow(self) -> Projector:
        """Let this process bring the tables along: as far as `tables` allow."""
        limits = TableLimits(retry_s=0.01, stopped_retry_s=0.01)
        self.projector = Projector(lambda: self.tables, len(ROWS), limits)
        return self.projector

    def ask(self, seen: Seen | None, *, awaited: bool) -> int:
        """Ask as a thread does, or as asyncio."""
        return asyncio.run(self.table_reader.ask_async(WHERE, seen)) if awaited else self.table_reader.ask(WHERE, seen)


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    made = Town(database_url)
    yield made
    made.tables.may.set()
    if made.projector is not None:
        made.projector.close()
    made.table_reader.close()


@contextmanager
def asking(ask: Callable[[], int]) -> Iterator[list[int]]:
    """Ask in a thread; what is yielded has the answer once the block has ended."""
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    yield answers
    thread.join(WAIT_S_MAX)


both = pytest.mark.parametrize("awaited", [False, True], ids=["thread", "asyncio"])


@both
def test_a_question_waits_for_rows_that_its_caller_has_seen_and_notes_its_own(town: Town, awaited: bool) -> None:
    projector = town.follow()
    seen = Seen(5)
    with asking(lambda: town.ask(seen, awaited=awaited)) as answers:
        until(lambda: bool(projector._waiting))
        assert not answers
        town.tables.may.set()
    assert answers == [len(ROWS)]
    assert seen.seq == len(ROWS), "what the answer tells of is seen now"
    assert not projector._waiting


@both
def test_rows_of_other_callers_are_waited_for_a_moment_only(
    town: Town, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has seen nothing is told all that is durable, unless that takes too long."""
    monkeypatch.setattr(desk_module, "_NEAR_S", WAIT_S_MAX)
    monkeypatch.setattr(desk_module, "MOMENT_S", 0.01)
    town.follow()
    assert town.ask(Seen(), awaited=awaited) == 0
    monkeypatch.setattr(desk_module, "MOMENT_S", WAIT_S_MAX)
    with asking(lambda: town.ask(Seen(), awaited=awaited)) as answers:
        town.tables.may.set()
    assert answers == [len(ROWS)]


@both
def test_a_caller_that_has_seen_nothing_does_not_wait_for_tables_far_behind(
    town: Town, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "_NEAR_S", 0.0)
    monkeypatch.setattr(desk_module, "MOMENT_S", WAIT_S_MAX * 100)
    town.follow()
    assert town.ask(Seen(), awaited=awaited) == 0


@both
def test_a_question_to_the_journal_waits_for_no_tables(
    town: Town, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "_NEAR_S", WAIT_S_MAX * 100)
    monkeypatch.setattr(desk_module, "MOMENT_S", WAIT_S_MAX * 100)
    town.follow()
    assert town.ask(None, awaited=awaited) == 0


@both
def test_a_wait_in_vain_fails_and_is_forgotten(town: Town, awaited: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "MOMENT_S", 0.01)
    projector = town.follow()
    town.table_reader._tables_s_max = 0.05  # type: ignore[misc]
    seen = Seen(7)
    with pytest.raises(Unavailable, match="stand at row 0 and do not have row 7 yet") as caught:
        town.ask(seen, awaited=awaited)
    assert caught.value.retry_after_s == desk_module.RETRY_AFTER_S
    assert seen.seq == 7
    assert not projector._waiting


@both
def test_tables_that_stand_still_until_they_are_mended_are_not_waited_for(town: Town, awaited: bool) -> None:
    town.tables.error = errors.Corrupt("Row 4 is missing", 4)
    projector = town.follow()
    until(lambda: projector.state == "stopped")
    with pytest.raises(Unavailable, match="stand at row 0 and do not have row 7 yet") as caught:
        town.ask(Seen(7), awaited=awaited)
    assert caught.value.retry_after_s == desk_module.RETRY_AFTER_S
    assert town.ask(Seen(), awaited=awaited) == 0, "who needs nothing of them is told what they have"


@both
def test_while_the_database_does_not_take_tables_they_are_asked_what_they_have(
    town: Town, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have brought them along; where they lack the row, that is said at once."""
    monkeypatch.setattr(desk_module, "TABLES_S_MAX", WAIT_S_MAX * 100)
    town.tables.error = errors.Unavailable("away")
    projector = town.follow()
    until(lambda: projector.state == "retrying")
    with pytest.raises(Unavailable, match="do not have row 7 yet: the leader brings them along") as caught:
        town.ask(Seen(7), awaited=awaited)
    assert caught.value.retry_after_s == desk_module.RETRY_AFTER_S
    level(town.url)
    assert town.ask(Seen(7), awaited=awaited) == len(ROWS)


@both
def test_tables_of_another_process_are_looked_at_again_until_they_have_it(
    town: Town, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby has no projector: it looks, for a bounded time."""
    monkeypatch.setattr(desk_module, "TABLES_S_MAX", 0.05)
    with pytest.raises(Unavailable, match="do not have row 7 yet: the leader brings them along"):
        town.ask(Seen(7), awaited=awaited)
    monkeypatch.setattr(desk_module, "TABLES_S_MAX", WAIT_S_MAX)
    with asking(lambda: town.ask(Seen(len(ROWS)), awaited=awaited)) as answers:
        level(town.url)
    assert answers == [len(ROWS)]


@both
def test_one_waiter_too_many_for_the_tables_is_refused(
    town: Town, awaited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "MOMENT_S", 0.01)
    projector = town.follow()
    projector.limits = TableLimits(waiting_max=1)  # type: ignore[misc]
    projector.on_projected(3, lambda _: None)
    with pytest.raises(Unavailable, match="1 wait for the SQL tables already") as caught:
        town.ask(Seen(7), awaited=awaited)
    assert caught.value.retry_after_s == desk_module.RETRY_AFTER_S


def test_tables_that_were_waited_for_are_not_waited_for_again(town: Town) -> None:
    """Who has is answered from what is there, by the row that he knows: that he is never told less stays true."""
    town.follow()
    with pytest.raises(Unavailable, match="do not have row 7 yet"):
        asyncio.run(town.table_reader.ask_async(WHERE, Seen(7), caught_up=True))
    assert asyncio.run(town.table_reader.ask_async(WHERE, Seen(), caught_up=True)) == 0


def test_a_question_that_fails_gives_its_place_back(town: Town) -> None:
    """However often; what it raises is its own."""

    def broken(*_: object) -> int:
        raise ZeroDivisionError

    async def ask_often() -> None:
        for _ in range(WAITING_MAX + 1):
            with pytest.raises(ZeroDivisionError):
                await town.table_reader.ask_async(TableQuery(broken))
        town.table_reader.close()
        for _ in range(WAITING_MAX + 1):
            with pytest.raises(Unavailable, match="the exchange is closed"):
                await town.table_reader.ask_async(WHERE)

    asyncio.run(ask_often())


def test_a_loop_that_has_ended_keeps_the_projector_from_nothing(town: Town) -> None:
    projector = town.follow()
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(town.table_reader.catch_up_async(7, WAIT_S_MAX), 0.05))
    town.tables.may.set()
    projector.wait(len(ROWS), WAIT_S_MAX)
