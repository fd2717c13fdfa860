"""Tables that follow in the background: who waits for a row, what is told while they stand still, and how far behind.

Goal: nobody's reply waits for the tables, whoever asks for a row gets it or hears why not, and nothing grows without
bound. Method: the thread of production over a real PostgreSQL, and over tables that fail on command.
"""

import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import psycopg
import pytest

from callmarket.persistence.errors import Corrupt, Fenced, PersistenceError, Unavailable
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.limits import TableLimits
from callmarket.persistence.tables.projector import Projector
from callmarket.persistence.tables.table_writer import PostgresTables, Progress, TableWriter
from callmarket.persistence.verify import verify
from callmarket.persistence.writer.limits import Limits
from tests.support.sealed import bids
from tests.support.writers import feed, open_writer

WAIT_S = 60.0
QUICK = TableLimits(retry_s=0.005, stopped_retry_s=0.005)


class Commanded(TableWriter):
    """Tables that stand where they are told to, or fail as they are told to."""

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq
        self.error: Exception | None = None
        self.looks = 0
        self.closed = 0

    def project(self) -> Progress:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return Progress(self.seq, False)

    def interrupt(self) -> None: ...

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def tables() -> Commanded:
    return Commanded()


@pytest.fixture
def projector(tables: Commanded) -> Iterator[Projector]:
    projector = Projector(lambda: tables, 0, QUICK)
    yield projector
    projector.close()


def until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def test_the_projector_follows_a_writer_and_notifies_waiters(database_url: str) -> None:
    rows = bids(300)
    with open_writer(database_url, Limits(batch_rows_max=10)) as writer:
        epoch = writer.durable.epoch
        projector = Projector(lambda: PostgresTables(database_url, 0, epoch), 0)
        writer.listen(projector)
        told: list[int] = []
        for seq in (1, 150, len(rows)):
            projector.on_projected(seq, lambda failure, seq=seq: told.append(seq if failure is None else -1))
        feed(writer, rows)
        projector.wait(len(rows), WAIT_S)
        assert projector.seq == len(rows)
        assert sorted(told) == [1, 150, len(rows)]
        assert projector.status().lag_rows == 0
        assert projector.status().lag_s == 0.0
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT seq FROM projections").fetchone() == (len(rows),)
        projector.close()
    assert verify(database_url, 0).ok


def test_a_new_projector_goes_on_where_the_tables_stand(database_url: str) -> None:
    """After a kill, a takeover or a long outage: from their own mark on, by the journal."""
    rows = bids(100)
    with PostgresJournal(database_url, 0) as journal:
        epoch = journal.claim()
        journal.append(rows)
    projector = Projector(lambda: PostgresTables(database_url, 0, epoch), len(rows))
    projector.wait(len(rows), WAIT_S)
    projector.close()
    assert verify(database_url, 0).ok


def test_closing_brings_the_tables_level_within_its_time(database_url: str) -> None:
    rows = bids(500)
    with PostgresJournal(database_url, 0) as journal:
        epoch = journal.claim()
        journal.append(rows)
    projector = Projector(lambda: PostgresTables(database_url, 0, epoch, batch_rows_max=50), len(rows))
    projector.close(WAIT_S)
    assert projector.seq == len(rows)
    assert projector.status().state == "closed"
    projector.close()


def test_a_wait_in_vain_fails_with_where_the_tables_stand(projector: Projector, tables: Commanded) -> None:
    tables.seq = 3
    projector.durable(bids(9)[:9])
    projector.wait(3, WAIT_S)
    with pytest.raises(Unavailable, match="stand at row 3 and do not have row 9 yet"):
        projector.wait(9, 0.01)
    assert not projector._waiting, "whoever gave up is forgotten"


def test_the_number_of_waiters_is_bounded(tables: Commanded) -> None:
    projector = Projector(lambda: tables, 0, TableLimits(waiting_max=2))
    forget = projector.on_projected(5, lambda _: None)
    projector.on_projected(6, lambda _: None)
    with pytest.raises(Unavailable, match="2 wait for the SQL tables already"):
        projector.on_projected(7, lambda _: None)
    forget()
    projector.on_projected(7, lambda _: None)
    projector.close()


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Unavailable("away"), "retrying"),
        (Corrupt("Row 4 is missing", 4), "stopped"),
        (PersistenceError("no right"), "stopped"),
        (AssertionError("a bug"), "stopped"),
    ],
)
def test_a_failed_step_is_retried_and_reported(
    projector: Projector, tables: Commanded, error: Exception, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It stops nobody: the journal goes on, and the tables follow once that is mended. Each failure is told once."""
    tables.seq = 3
    projector.durable(bids(3)[:3])
    projector.wait(3, WAIT_S)
    with caplog.at_level(logging.WARNING):
        tables.error = error
        projector.durable(bids(5)[:5])
        until(lambda: projector.status().state == state)
        looks = tables.looks
        until(lambda: tables.looks > looks + 3)
        assert str(error) in projector.status().fault
        assert projector.congestion() == ""
        assert len([one for one in caplog.records if one.name == "callmarket.persistence.tables.following"]) == 1
        tables.error, tables.seq = None, 5
        projector.wait(5, WAIT_S)
    assert projector.status().state == "running"
    assert projector.status().fault == ""
    assert "follow again, from row 5 on" in caplog.text


def test_tables_that_went_back_are_noticed_while_nothing_comes(tables: Commanded) -> None:
    """A server that crashed may have them as they were some rows ago, and no row comes to tell."""
    projector = Projector(lambda: tables, 0, TableLimits(look_s=0.005))
    projector.durable(bids(5)[:5])
    tables.seq = 5
    projector.wait(5, WAIT_S)
    tables.seq = 3
    until(lambda: projector.status().lag_rows == 2)
    tables.seq = 5
    projector.wait(5, WAIT_S)
    projector.close()


@pytest.mark.parametrize(
    ("error", "limits"),
    [
        (Unavailable("away"), TableLimits(retry_s=WAIT_S, stopped_retry_s=0.001)),
        (Corrupt("Row 4 is missing", 4), TableLimits(retry_s=0.001, stopped_retry_s=WAIT_S)),
    ],
)
def test_readers_do_not_hurry_tables_that_stand_still(
    tables: Commanded, error: PersistenceError, limits: TableLimits
) -> None:
    """Readers of a database that is away would otherwise be a storm of connections."""
    projector = Projector(lambda: tables, 0, limits)
    tables.error = error
    projector.durable(bids(5)[:5])
    until(lambda: projector.status().state != "running")
    looks = tables.looks
    for _ in range(20):
        with pytest.raises(Unavailable):
            projector.wait(5, 0.001)
    assert tables.looks == looks
    projector.close()


def test_a_successor_ends_the_projector_and_its_waiters_are_notified(projector: Projector, tables: Commanded) -> None:
    tables.error = Fenced("led by another")
    outcome: list[object] = []
    projector.on_projected(5, outcome.append)
    projector.durable(bids(5)[:5])
    until(lambda: projector.status().state == "closed")
    assert outcome == [tables.error]
    with pytest.raises(Unavailable, match="led by another"):
        projector.wait(5, WAIT_S)


def test_too_many_rows_behind_nothing_is_taken_until_they_follow(tables: Commanded) -> None:
    projector = Projector(lambda: tables, 0, TableLimits(lag_rows_max=5, retry_s=0.005))
    rows = bids(10)
    tables.seq = 1
    projector.durable(rows[:6])
    projector.wait(1, WAIT_S)
    assert projector.congestion() == ""
    projector.durable(rows[6:7])
    assert "are 6 rows and" in projector.congestion()
    assert "nothing is taken beyond 5 rows or 300 s" in projector.congestion()
    tables.seq = 2
    until(lambda: projector.congestion() == "")
    projector.close()


def test_too_long_behind_nothing_is_taken_until_they_follow(tables: Commanded) -> None:
    projector = Projector(lambda: tables, 0, TableLimits(lag_s_max=0.05, retry_s=0.005))
    rows = bids(10)
    tables.error = Unavailable("away")
    projector.durable(rows[:2])
    until(lambda: projector.congestion() != "")
    assert projector.status().lag_s > 0.05
    tables.error, tables.seq = None, 2
    until(lambda: projector.congestion() == "")
    projector.close()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the projector takes for the time: `at.now_s`, which the test sets."""
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr("callmarket.persistence.tables.projector.time", SimpleNamespace(monotonic=lambda: clock.now_s))
    return clock


def test_tables_are_as_far_behind_as_the_first_row_that_they_lack(
    at: SimpleNamespace, projector: Projector, tables: Commanded, seed: int
) -> None:
    """Whatever comes when: to a quarter of a second, and never less than it is. Level tables are not behind at all."""
    rng, rows = random.Random(seed), bids(200)
    until(lambda: projector.status().seq == 0)
    durable_s: dict[int, float] = {}
    for _ in range(200):
        at.now_s += rng.choice((0.0, 0.1, 0.3, 100.0))
        count = min(rng.randint(0, 3), len(rows) - len(durable_s))
        if count:
            first = len(durable_s)
            durable_s |= dict.fromkeys(range(first + 1, first + count + 1), at.now_s)
            projector.durable(rows[first : first + count])
        if rng.random() < 0.5:
            tables.seq = rng.randint(tables.seq, len(durable_s))
            projector._work.set()
            projector.wait(tables.seq, WAIT_S)
        status = projector.status()
        true_s = at.now_s - durable_s.get(tables.seq + 1, at.now_s)
        assert status.lag_rows == len(durable_s) - tables.seq
        assert true_s <= status.lag_s <= true_s + 0.2500001
        assert (projector.congestion() != "") == (status.lag_s > projector.limits.lag_s_max)
        within_s = rng.choice((0.05, 0.5, 50.0))
        expected = 0 if status.lag_s > within_s else len(durable_s)
        assert projector.soon(within_s) == expected


@pytest.mark.parametrize("error", [Unavailable("away"), Corrupt("Row 4 is missing", 4), AssertionError("a bug")])
def test_each_try_after_a_failure_is_on_tables_that_are_opened_anew(tables: Commanded, error: Exception) -> None:
    """What was open when it failed is closed: it may be why it fails, and it would hold a connection."""
    opened: list[int] = []

    def open_tables() -> Commanded:
        opened.append(tables.closed)
        return tables

    tables.error = error
    projector = Projector(open_tables, 5, QUICK)
    until(lambda: len(opened) > 3)
    tables.error, tables.seq = None, 5
    projector.wait(5, WAIT_S)
    projector.close()
    assert opened == list(range(len(opened)))
    assert tables.closed == len(opened)


def test_tables_that_stand_still_promise_no_row_soon(projector: Projector, tables: Commanded) -> None:
    tables.error = Unavailable("away")
    projector.durable(bids(1)[:1])
    until(lambda: projector.status().state == "retrying")
    assert projector.soon(WAIT_S) == 0
    tables.error, tables.seq = None, 1
    projector.wait(1, WAIT_S)
    assert projector.soon(WAIT_S) == 1


def test_a_projected_row_is_reported_at_once_also_after_the_end(projector: Projector, tables: Commanded) -> None:
    """What is there is there, whoever leads; only what is not there yet will never come from here."""
    tables.seq = 3
    projector.durable(bids(3)[:3])
    projector.wait(3, WAIT_S)
    tables.error = Fenced("led by another")
    projector.durable(bids(5)[:5])
    until(lambda: projector.state == "closed")
    told: list[PersistenceError | None] = []
    for seq in (3, 4):
        projector.on_projected(seq, told.append)()
    assert told == [None, tables.error]


def test_a_projected_row_is_reported_at_once(projector: Projector, tables: Commanded) -> None:
    """Row 0 is had from the beginning, also while nothing is known of the tables yet."""
    told: list[PersistenceError | None] = []
    tables.error = Unavailable("away")
    projector.on_projected(0, told.append)
    projector.wait(0, 0.0)
    tables.error, tables.seq = None, 3
    projector.durable(bids(3)[:3])
    projector.wait(3, WAIT_S)
    projector.on_projected(3, told.append)
    assert told == [None, None]


def test_level_tables_are_left_alone(projector: Projector, tables: Commanded) -> None:
    until(lambda: projector.status().seq == 0)
    looks = tables.looks
    time.sleep(0.05)
    assert tables.looks == looks


def test_tables_that_another_process_has_brought_further_are_not_behind(
    projector: Projector, tables: Commanded
) -> None:
    tables.seq = 7
    projector.durable(bids(3)[:3])
    projector.wait(7, WAIT_S)
    assert (projector.status().lag_rows, projector.status().lag_s) == (0, 0.0)


def test_a_row_that_is_durable_while_the_tables_are_looked_at_is_not_left_behind(tables: Commanded) -> None:
    """Nobody has to ask for it, and nothing else has to come."""
    looking, go_on = threading.Event(), threading.Event()
    project = tables.project

    def slowly() -> Progress:
        found = project()
        looking.set()
        assert go_on.wait(WAIT_S)
        return found

    tables.project = slowly  # type: ignore[method-assign]
    projector = Projector(lambda: tables, 0, QUICK)
    assert looking.wait(WAIT_S)
    projector.durable(bids(2)[:2])
    tables.seq = 2
    go_on.set()
    until(lambda: projector.seq == 2)
    projector.close()


def test_closing_does_not_wait_for_tables_that_stand_still(tables: Commanded) -> None:
    """A database that is away keeps nobody from ending, however long it might have taken."""
    projector = Projector(lambda: tables, 5, QUICK)
    tables.error = Unavailable("away")
    until(lambda: projector.state == "retrying")
    projector.close(WAIT_S * 100)
    assert projector.state == "closed"
    assert tables.closed > 0


def test_closing_cuts_a_batch_that_takes_too_long(tables: Commanded) -> None:
    """And what waits for a row is told."""
    began, cut = threading.Event(), threading.Event()

    def hang() -> Progress:
        began.set()
        assert cut.wait(WAIT_S)
        raise Unavailable("cut")

    tables.project, tables.interrupt = hang, cut.set  # type: ignore[method-assign]
    projector = Projector(lambda: tables, 5)
    told: list[PersistenceError | None] = []
    projector.on_projected(5, told.append)
    assert began.wait(WAIT_S)
    projector.close(0.01)
    assert [str(one) for one in told] == ["The market is closed here: nobody brings its tables along."]
    assert tables.closed == 1


def test_closing_ends_though_the_tables_never_come_level(tables: Commanded) -> None:
    """Rows that come as fast as they are taken are left to whoever leads next."""
    steps = itertools.count(1)
    tables.project = lambda: Progress(next(steps), True)  # type: ignore[method-assign]
    projector = Projector(lambda: tables, 10**9, QUICK)
    projector.close(0.05)
    assert projector.state == "closed"
    assert 0 < projector.seq < 10**9


def test_rows_of_a_history_before_a_loss_do_not_count_as_behind(tables: Commanded) -> None:
    """HST-1: a seq that leaps is no lag of a million million rows."""
    from callmarket.engine.limits import HISTORY_ROWS

    tables.seq = 7
    projector = Projector(lambda: tables, HISTORY_ROWS)
    until(lambda: projector.status().seq == 7)
    assert projector.status().lag_rows == 1
    assert projector.congestion() == ""
    projector.close()


def test_a_callback_that_fails_keeps_the_others_from_nothing(projector: Projector, tables: Commanded) -> None:
    done = threading.Event()
    projector.on_projected(1, lambda _: 1 / 0)
    projector.on_projected(1, lambda _: done.set())
    tables.seq = 1
    projector.durable(bids(1)[:1])
    assert done.wait(WAIT_S)
