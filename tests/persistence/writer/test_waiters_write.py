"""Who waits for a row writes it by himself, where nobody else writes: and what happens when that does not go well.

Goal: whoever writes, each row is in the journal once and in order, nobody waits for ever, and what a waiter meets is
left to the thread. Method: a journal in memory that says in which thread it was asked, and fails as it is told.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import PersistenceError, Unavailable
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.writer import write_behind
from callmarket.persistence.writer.limits import Limits
from callmarket.persistence.writer.write_behind import WriteBehind
from tests.support.sealed import bids

WAIT_S = 60.0
ROWS = 30


class Watched(MemoryJournal):
    """Keeps which thread wrote which rows. `before` and `after` are called around the next appends, once each."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase())
        self.claim()
        self.writers: list[tuple[int, list[int]]] = []
        self.looks = 0
        self.before: list[Callable[[], None]] = []
        self.after: list[Callable[[], None]] = []
        self.interrupted = threading.Event()

    def append(self, rows: Sequence[SealedRow]) -> None:
        self.writers.append((threading.get_ident(), [row.entry.seq for row in rows]))
        if self.before:
            self.before.pop()()
        super().append(rows)
        if self.after:
            self.after.pop()()

    def position(self):
        self.looks += 1
        return super().position()

    def interrupt(self) -> None:
        self.interrupted.set()


@contextmanager
def writing(rows: Sequence[SealedRow], limits: Limits | None = None) -> Iterator[tuple[WriteBehind, Watched]]:
    """A writer that has written the first row, by its thread, as that one has to open the journal."""
    journal = Watched()
    limits = limits or Limits(backoff_s_min=0.01, backoff_s_max=0.05)
    with begun(journal, rows, limits) as writer:
        yield writer, journal
    assert [row.seq for row in journal.database.rows] == [row.entry.seq for row in rows]


def begun(journal: Watched, rows: Sequence[SealedRow], limits: Limits | None = None) -> WriteBehind:
    writer = WriteBehind(lambda: journal, journal.position(), limits)
    writer.enqueue(rows[0], wakes=False)
    writer.wait(1, WAIT_S)
    idle(writer)
    return writer


def idle(writer: WriteBehind) -> None:
    """Return when the writer's thread has nothing left to do."""
    while writer._thread_writes:
        threading.Event().wait(0.001)


def here(journal: Watched) -> list[list[int]]:
    """The batches that this thread has written."""
    return [seqs for thread, seqs in journal.writers if thread == threading.get_ident()]


def fail(error: BaseException) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


def wait_for(event: threading.Event) -> None:
    assert event.wait(WAIT_S)


def test_a_lone_waiter_writes_each_row_itself() -> None:
    rows = bids(1)
    with writing(rows) as (writer, journal):
        for row in rows[1:]:
            writer.enqueue(row, wakes=False)
            writer.wait(row.entry.seq, WAIT_S)
            assert writer.durable_seq == row.entry.seq
        assert here(journal) == [[row.entry.seq] for row in rows[1:]]


def test_a_waiter_writes_rows_that_others_left_as_well() -> None:
    rows = bids(1)
    with writing(rows) as (writer, journal):
        told: list[PersistenceError | None] = []
        writer.on_durable(3, told.append)
        writer.enqueue(*rows[1:], wakes=False)
        writer.wait(3, WAIT_S)
        assert told == [None]
        assert here(journal) == [[row.entry.seq for row in rows[1:]]]


def test_a_waiter_with_little_time_leaves_writing_to_the_thread() -> None:
    rows = bids(1)
    with writing(rows) as (writer, journal):
        writer.enqueue(*rows[1:], wakes=False)
        writer.wait(len(rows), write_behind.WRITES_BY_HIMSELF_S_MIN / 2)
        assert here(journal) == []


def test_the_thread_looks_for_a_batch_lost_on_its_way() -> None:
    rows = bids(1)
    with writing(rows) as (writer, journal):
        looks = journal.looks
        journal.after = [fail(Unavailable("the answer is lost"))]
        writer.enqueue(*rows[1:], wakes=False)
        writer.wait(len(rows), WAIT_S)
        assert (here(journal), journal.looks) == ([[row.entry.seq for row in rows[1:]]], looks + 1)


def test_the_thread_resends_a_batch_that_did_not_arrive() -> None:
    rows = bids(1)
    with writing(rows) as (writer, journal):
        journal.before = [fail(Unavailable("the database is away"))]
        writer.enqueue(*rows[1:], wakes=False)
        writer.wait(len(rows), WAIT_S)
        assert len(here(journal)) == 1
        assert [seqs for _, seqs in journal.writers[1:]] == 2 * [[row.entry.seq for row in rows[1:]]]


def test_rows_that_come_while_a_waiter_writes_are_left_to_the_thread() -> None:
    """Also of somebody who does not wake it, because he waits himself."""
    rows = bids(2)
    first, second, third = rows[1:-2], rows[-2], rows[-1]
    with writing(rows) as (writer, journal):
        begun, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            assert go_on.wait(WAIT_S)

        journal.before = [hold]
        writer.enqueue(*first, wakes=False)
        waiter = threading.Thread(target=lambda: writer.wait(first[-1].entry.seq, WAIT_S))
        waiter.start()
        assert begun.wait(WAIT_S)
        writer.enqueue(second, wakes=False)
        writer.enqueue(third)
        go_on.set()
        writer.wait(third.entry.seq, WAIT_S)
        waiter.join()
        idle(writer)
        # One who came in between may have taken what was left.
        threads = {thread for thread, _ in journal.writers[2:]}
        assert threads <= {writer._thread.ident, threading.get_ident()}


def test_a_waiter_whose_time_is_up_is_released_and_its_row_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_behind, "WRITES_BY_HIMSELF_S_MIN", 0.05)
    rows, go_on = bids(1), threading.Event()
    with writing(rows, Limits(backoff_s_min=0.01, attempt_s_max=WAIT_S)) as (writer, journal):

        def hang() -> None:
            assert journal.interrupted.wait(WAIT_S)
            raise Unavailable("the connection is cut")

        # The last one first: here it hangs until it is cut, and then in the thread until it may go on.
        journal.before = [lambda: wait_for(go_on), hang]
        writer.enqueue(*rows[1:], wakes=False)
        with pytest.raises(Unavailable, match="is not on disk after"):
            writer.wait(len(rows), 0.1)
        assert len(here(journal)) == 1
        go_on.set()
        writer.wait(len(rows), WAIT_S)


@pytest.mark.parametrize("is_in", [False, True])
def test_an_interrupted_waiter_leaves_the_outcome_to_the_thread(*, is_in: bool) -> None:
    rows = bids(1)
    with writing(rows) as (writer, journal):
        (journal.after if is_in else journal.before).append(fail(KeyboardInterrupt()))
        writer.enqueue(*rows[1:], wakes=False)
        with pytest.raises(KeyboardInterrupt):
            writer.wait(len(rows), WAIT_S)
        writer.wait(len(rows), WAIT_S)
        assert len(here(journal)) == 1


def test_a_bug_stops_the_writer_for_everybody() -> None:
    rows = bids(1)
    journal = Watched()
    writer = begun(journal, rows)
    journal.before = [fail(AssertionError("a broken invariant"))]
    writer.enqueue(*rows[1:], wakes=False)
    for _ in range(2):
        with pytest.raises(PersistenceError, match="met a bug and stopped"):
            writer.wait(len(rows), WAIT_S)
    with pytest.raises(PersistenceError, match="met a bug and stopped"):
        writer.close()
    assert len(journal.database.rows) == 1


def test_an_interruption_while_waiters_are_notified_stops_the_writer() -> None:
    """Somebody may not have heard of rows that are durable: that must not go on as if all had."""

    class Interrupted:
        def durable(self, _rows: Sequence[SealedRow]) -> None:
            raise KeyboardInterrupt

        def failed(self, _failure: PersistenceError) -> None:
            pass

    rows = bids(1)
    journal = Watched()
    writer = begun(journal, rows)
    writer.listen(Interrupted())
    writer.enqueue(*rows[1:], wakes=False)
    with pytest.raises(KeyboardInterrupt):
        writer.wait(len(rows), WAIT_S)
    with pytest.raises(PersistenceError, match="interrupted while it told"):
        writer.close()


def test_rows_that_nobody_waits_for_are_written_by_and_by() -> None:
    rows = bids(1)
    with writing(rows) as (writer, journal):
        writer.enqueue(*rows[1:], wakes=False)
        while writer.durable_seq < len(rows):
            threading.Event().wait(0.01)
        assert here(journal) == []


def test_closing_waits_for_a_waiter_that_writes() -> None:
    rows = bids(1)
    begun, go_on = threading.Event(), threading.Event()
    with writing(rows) as (writer, journal):

        def hold() -> None:
            begun.set()
            assert go_on.wait(WAIT_S)

        journal.before = [hold]
        writer.enqueue(*rows[1:], wakes=False)
        waiter = threading.Thread(target=lambda: writer.wait(len(rows), WAIT_S))
        waiter.start()
        assert begun.wait(WAIT_S)
        closing = threading.Thread(target=writer.close)
        closing.start()
        go_on.set()
        closing.join(WAIT_S)
        assert not closing.is_alive()
        waiter.join()


def test_any_mixture_of_waiters_and_others(seed: int) -> None:
    """Threads that wait and that do not, answers that are lost: all rows are there once and in order, and told."""
    rng = random.Random(seed)
    rows = bids(ROWS * 10)
    with writing(rows, Limits(backoff_s_min=0.001, batch_rows_max=rng.randint(1, 20))) as (writer, journal):
        lock, left = threading.Lock(), list(reversed(rows[1:]))

        def work(draw: random.Random) -> None:
            while True:
                with lock:
                    some = [left.pop() for _ in range(min(len(left), draw.randint(1, 5)))]
                    if not some:
                        return
                    waits = draw.random() < 0.7
                    if draw.random() < 0.1:
                        journal.after.append(fail(Unavailable("the answer is lost")))
                    writer.enqueue(*some, wakes=not waits)
                if waits:
                    writer.wait(some[-1].entry.seq, WAIT_S)
                    assert writer.durable_seq >= some[-1].entry.seq

        threads = [threading.Thread(target=work, args=(random.Random(rng.random()),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        writer.wait(len(rows), WAIT_S)
