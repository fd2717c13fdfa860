"""What is decided of tables that follow, in a time that the test sets: each try, whatever comes of it, in any order.

Goal: who waits is told once and only what is so; whoever drives it is called as long as there is something to do; and
how long it pauses follows from what a batch took. Method: random tries against a model of a few lines, without threads.
`test_projector.py` has the thread of production.
"""

import random
from collections.abc import Callable

import pytest

from callmarket.persistence.errors import Corrupt, Fenced, PersistenceError, Unavailable
from callmarket.persistence.tables.following import PAUSE_S, PAUSE_S_MAX, Following, ProjectorStatus
from callmarket.persistence.tables.limits import TableLimits
from callmarket.persistence.tables.table_writer import Progress, TableWriter
from tests.support.sealed import bids

ROWS = bids(300)
LIMITS = TableLimits(retry_s=0.25, stopped_retry_s=7.0, waiting_max=1_000)
AWAY, DAMAGED, BUG = Unavailable("away"), Corrupt("Row 4 is missing", 4), ZeroDivisionError("a bug")


class Scripted(TableWriter):
    """Tables that do what they are told to, for a time that they are told to take."""

    def __init__(self) -> None:
        self.outcome: Progress | Exception = Progress(0, False)
        self.takes_s = 0.0
        self.now_s = 100.0
        self.opened = self.closed = 0

    def open(self) -> TableWriter:
        self.opened += 1
        return self

    def project(self) -> Progress:
        self.now_s += self.takes_s
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def interrupt(self) -> None: ...

    def close(self) -> None:
        self.closed += 1


class Driven(Following):
    """Counts how often whoever drives it is called."""

    def __init__(self, tables: Scripted, durable_seq: int = 0, limits: TableLimits = LIMITS) -> None:
        super().__init__(tables.open, durable_seq, limits, lambda: tables.now_s)
        self.calls = 0
        self.hurries = 0

    def work_comes(self) -> None:
        self.calls += 1

    def somebody_waits(self) -> None:
        self.hurries += 1


@pytest.fixture
def tables() -> Scripted:
    return Scripted()


def test_waiters_are_told_the_truth_whatever_each_try_brings(tables: Scripted, seed: int) -> None:
    rng, one = random.Random(seed), Driven(tables)
    durable_seq, had_seq, opened = 0, 0, False
    waiting: dict[int, int] = {}
    told: list[tuple[int, PersistenceError | None]] = []
    forgets: dict[int, Callable[[], None]] = {}

    def asks(number: int, seq: int) -> None:
        waiting[number] = seq
        forgets[number] = one.on_projected(seq, lambda failure: told.append((number, failure)))

    for number in range(600):
        calls, hurries, told[:] = one.calls, one.hurries, []
        match rng.choice(["durable", "asks", "forgets", "moves", "moves", "fails"]):
            case "durable" if durable_seq < len(ROWS) - 5:
                count = rng.randint(1, 5)
                one.durable(ROWS[durable_seq : durable_seq + count])
                durable_seq += count
                assert one.calls == calls + 1
                assert not told
            case "asks":
                seq = rng.randint(0, durable_seq + 3)
                asks(number, seq)
                if seq <= had_seq:
                    del waiting[number]
                assert told == ([(number, None)] if seq <= had_seq else [])
                hurried = seq > had_seq and one.state == "running"
                assert one.hurries == hurries + hurried, "the pauses of tables that stand still are not cut short"
            case "forgets" if waiting:
                gone = rng.choice(list(waiting))
                del waiting[gone]
                forgets[gone]()
                forgets[gone]()
                assert not told
            case "moves":
                more = rng.random() < 0.3
                had_seq = rng.randint(had_seq, durable_seq)
                tables.outcome = Progress(had_seq, more)
                one.step()
                opened = True
                assert told == [(who, None) for who, seq in waiting.items() if seq <= had_seq]
                waiting = {who: seq for who, seq in waiting.items() if seq > had_seq}
                assert (one.state, one.status().fault, one.seq) == ("running", "", had_seq)
                assert one.is_level == (had_seq == durable_seq)
                assert (one.calls > calls) == (more or had_seq < durable_seq), "as long as there is something to do"
            case "fails":
                error = tables.outcome = rng.choice([AWAY, DAMAGED, BUG])
                closed = tables.closed
                pause_s = one.step()
                opened = False
                assert (one.state, pause_s) == (("retrying", 0.25) if error is AWAY else ("stopped", 7.0))
                assert str(error) in one.status().fault
                assert one.calls > calls, "it is tried again"
                assert tables.closed == closed + 1
                assert not told
        assert not one.is_over
        assert tables.opened - tables.closed == opened, "what failed is let go, and opened anew"
        assert len(one._waiting) == len(waiting)
    told.clear()
    one.end()
    assert [who for who, _ in told] == list(waiting)
    assert {str(failure) for _, failure in told} <= {"The market is closed here: nobody brings its tables along."}
    assert (one.state, tables.opened - tables.closed) == ("closed", 0)


@pytest.mark.parametrize(
    ("takes_s", "pause_s"), [(0.0, PAUSE_S), (0.001, PAUSE_S), (0.01, 0.03), (0.02, PAUSE_S_MAX), (9.0, PAUSE_S_MAX)]
)
def test_the_pause_is_three_times_as_long_as_a_batch_took_within_bounds(
    tables: Scripted, takes_s: float, pause_s: float
) -> None:
    tables.takes_s = takes_s
    assert Driven(tables).step() == pytest.approx(pause_s)


def test_a_successor_ends_it_without_another_try(tables: Scripted) -> None:
    one, told = Driven(tables), list[PersistenceError | None]()
    one.on_projected(3, told.append)
    fenced = tables.outcome = Fenced("led by another")
    assert not one.is_over
    assert one.step() == 0.0
    assert (one.is_over, one.calls) == (True, 0)
    one.end()
    assert (told, tables.closed) == ([fenced], 1)
    one.on_projected(4, told.append)
    assert told == [fenced, fenced], "whoever asks later hears the same"


def test_a_new_kind_of_failure_is_logged_and_the_same_is_not(
    tables: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """Each as loud as it is: what mends itself is a warning, what waits for a person an error, a bug with its trace."""
    one = Driven(tables)
    for outcome in (AWAY, Unavailable("still away"), DAMAGED, DAMAGED, BUG, AWAY, Progress(0, False), BUG, BUG):
        tables.outcome = outcome
        one.step()
    assert [(record.levelname, bool(record.exc_info)) for record in caplog.records] == [
        ("WARNING", False), ("ERROR", False), ("WARNING", False), ("WARNING", False), ("ERROR", True),
    ]  # fmt: skip
    assert "a bug: ZeroDivisionError('a bug')" in one.status().fault


def test_tables_of_which_nothing_is_known_yet_are_behind_from_the_beginning(tables: Scripted) -> None:
    """Rows from before: whoever leads anew does not take more and more over tables that nobody can reach."""
    one = Driven(tables, durable_seq=5, limits=TableLimits(lag_s_max=9.0))
    tables.outcome = AWAY
    one.step()
    tables.now_s += 10
    assert one.status().lag_s == 10.0
    assert "10 s behind the journal" in one.congestion()
    one.durable(ROWS[5:7])
    assert one.status().lag_s == 10.0, "from the first row that they lack"
    tables.outcome = Progress(5, True)
    one.step()
    assert (one.status().lag_s, one.congestion()) == (0.0, "")
    tables.outcome = Progress(7, False)
    one.step()
    assert one.status() == ProjectorStatus("running", 7, 0, 0.0, "")


@pytest.mark.parametrize(("rows", "seconds"), [(5, 0.0), (1, 9.0)])
def test_nothing_more_is_taken_from_the_first_row_or_moment_beyond_the_bounds(
    tables: Scripted, rows: int, seconds: float
) -> None:
    one = Driven(tables, limits=TableLimits(lag_rows_max=5, lag_s_max=9.0))
    tables.outcome = Progress(0, False)
    one.step()
    one.durable(ROWS[:rows])
    tables.now_s += seconds
    assert one.congestion() == "", "at the bounds"
    if seconds:
        tables.now_s += 0.5
    else:
        one.durable(ROWS[rows : rows + 1])
    assert "nothing is taken beyond 5 rows or 9 s" in one.congestion()
    tables.outcome = Progress(1, True)
    one.step()
    assert one.congestion() == ""
