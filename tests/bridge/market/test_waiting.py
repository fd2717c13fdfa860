"""Waiting in asyncio for durability: who is told what, and when, in one loop and in many.

Method: a real writer on a journal in memory that goes on when the test says so.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from callmarket.bridge.feed.loops import LoopWakeup
from callmarket.bridge.market.waiting import Waiting
from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import Fenced
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.writer.limits import Limits
from callmarket.persistence.writer.write_behind import WriteBehind
from tests.support.sealed import bids

WAIT_S = 30.0
ROWS = bids(200)


class Gated(MemoryJournal):
    """A journal in memory that takes rows while its gate is open."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.gate = threading.Event()

    def append(self, rows: Sequence[SealedRow]) -> None:
        assert self.gate.wait(WAIT_S)
        super().append(rows)


@pytest.fixture
def journal() -> Iterator[Gated]:
    journal = Gated(MemoryDatabase())
    journal.claim()
    yield journal
    journal.gate.set()


@pytest.fixture
def writer(journal: Gated) -> Iterator[WriteBehind]:
    writer = WriteBehind(lambda: journal, journal.position(), Limits(batch_rows_max=20))
    yield writer
    journal.gate.set()
    if writer.failure is None:
        writer.close()


async def within(awaitable: Any) -> Any:
    return await asyncio.wait_for(awaitable, WAIT_S)


def test_a_wake_up_during_its_answer_is_answered_once_more() -> None:
    """What happened after the answer had looked would wait for somebody else to ring."""
    answers: list[int] = []

    async def run() -> None:
        def answer() -> None:
            answers.append(len(answers))
            if len(answers) == 1:
                bell.wake()

        bell = LoopWakeup(asyncio.get_running_loop(), answer)
        bell.wake()
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert answers == [0, 1]


class AtOnce:
    """A writer whose row becomes durable, and which fails, right after somebody has looked for the third time."""

    def __init__(self) -> None:
        self.looks = 0

    def listen(self, listener: object) -> int:
        return 0

    @property
    def durable_seq(self) -> int:
        self.looks += 1
        return 1 if self.looks > 3 else 0

    @property
    def failure(self) -> Fenced | None:
        self.looks += 1
        return Fenced("over") if self.looks > 3 else None


def test_rows_durable_right_before_a_failure_are_acknowledged() -> None:
    """Whoever is told of the failure takes the row for lost, and may do it again."""

    async def run() -> None:
        waiting = Waiting(AtOnce(), WAIT_S)  # type: ignore[arg-type]  # all that is asked of a writer here
        outcome = waiting.wait(1)
        for _ in range(3):
            waiting.failed(Fenced("over"))
            await asyncio.sleep(0)
        assert await within(outcome) is None

    asyncio.run(run())


def test_waiters_are_notified_in_order_and_none_before_its_row(journal: Gated, writer: WriteBehind) -> None:
    waiting, told = Waiting(writer, WAIT_S), []

    async def one(seq: int) -> None:
        assert await waiting.wait(seq) is None
        assert journal.position().last_seq >= seq
        told.append(seq)

    async def run() -> None:
        tasks = []
        for row in ROWS:
            writer.enqueue(row)
            tasks.append(asyncio.create_task(one(row.entry.seq)))
        await asyncio.sleep(0.02)
        assert told == []
        journal.gate.set()
        await within(asyncio.gather(*tasks))
        assert await within(waiting.wait(len(ROWS))) is None, "at once"

    asyncio.run(run())
    assert told == list(range(1, len(ROWS) + 1))


def test_a_batch_wakes_a_loop_once_however_many_wait(
    journal: Gated, writer: WriteBehind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason for all this: so many wait, so few wakes of the loop."""
    wakes = 0
    ring = LoopWakeup._wake

    def counted(bell: LoopWakeup) -> None:
        nonlocal wakes
        wakes += 1
        ring(bell)

    monkeypatch.setattr(LoopWakeup, "_wake", counted)
    waiting = Waiting(writer, WAIT_S)

    async def run() -> None:
        writer.enqueue(*ROWS)
        waits = [waiting.wait(row.entry.seq) for row in ROWS]
        journal.gate.set()
        await within(asyncio.gather(*waits))

    asyncio.run(run())
    assert 0 < wakes <= -(-len(ROWS) // 20) + 1


def test_many_wake_ups_are_answered_once_and_again_after_that() -> None:
    answered: list[int] = []

    async def run() -> None:
        bell = LoopWakeup(asyncio.get_running_loop(), lambda: answered.append(len(answered)))
        for _ in range(2):
            for _ in range(5):
                bell.wake()
            await asyncio.sleep(0)

    asyncio.run(run())
    assert answered == [0, 1]


def test_time_is_up_for_each_at_its_own_time(journal: Gated, writer: WriteBehind) -> None:
    """One timer serves all; what becomes durable after that is no concern of theirs."""
    waiting = Waiting(writer, 0.1)

    async def run() -> None:
        writer.enqueue(*ROWS[:3])
        loop, ends = asyncio.get_running_loop(), dict[int, float]()

        async def time_up(seq: int) -> float:
            """How long it has waited."""
            began = loop.time()
            assert isinstance(await within(waiting.wait(seq)), TimeoutError)
            ends[seq] = loop.time()
            return ends[seq] - began

        first = asyncio.create_task(time_up(1))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(time_up(2))
        # Never earlier than that, however late the loop comes round to them.
        assert min(await asyncio.gather(first, second)) > 0.09
        assert ends[1] <= ends[2]
        assert await within(asyncio.wait([patient := Waiting(writer, WAIT_S).wait(3)], timeout=0)) == (set(), {patient})
        journal.gate.set()
        assert await within(patient) is None

    asyncio.run(run())


def test_a_waiter_that_gives_up_disturbs_no_other(journal: Gated, writer: WriteBehind) -> None:
    waiting = Waiting(writer, WAIT_S)

    async def run() -> None:
        writer.enqueue(*ROWS[:3])
        waits = [waiting.wait(seq) for seq in (1, 2, 3)]
        waits[1].cancel()
        journal.gate.set()
        assert await within(asyncio.gather(*waits, return_exceptions=True))
        assert [one.cancelled() for one in waits] == [False, True, False]

    asyncio.run(run())


@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_failure_reaches_present_and_later_waiters(writer: WriteBehind, moment: str) -> None:
    waiting, failure = Waiting(writer, WAIT_S), Fenced("another leads")

    async def run() -> None:
        writer.enqueue(*ROWS[:3])
        if moment == "before":
            writer.stop(failure)
        waits = [waiting.wait(seq) for seq in (1, 2, 3)]
        if moment == "while":
            threading.Thread(target=writer.stop, args=(failure,)).start()
        assert await within(asyncio.gather(*waits)) == [failure] * 3

    asyncio.run(run())


def in_a_loop_of_its_own(run: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    return thread


def test_each_loop_is_woken_and_a_closed_one_is_no_matter(journal: Gated, writer: WriteBehind) -> None:
    waiting, told = Waiting(writer, WAIT_S), []
    begun = threading.Barrier(4)

    async def leave() -> None:
        waiting.wait(1)

    async def run() -> None:
        waits = [waiting.wait(row.entry.seq) for row in ROWS]
        await asyncio.to_thread(begun.wait, WAIT_S)
        told.append(await within(asyncio.gather(*waits)))

    writer.enqueue(*ROWS)
    asyncio.run(leave())
    loops = [in_a_loop_of_its_own(run) for _ in range(3)]
    begun.wait(WAIT_S)
    journal.gate.set()
    for loop in loops:
        loop.join(WAIT_S)
    assert told == [[None] * len(ROWS)] * 3


def test_no_wake_is_lost_between_asking_and_sleeping(journal: Gated, writer: WriteBehind) -> None:
    """Rows become durable at every moment of the asking, because the writer runs beside."""
    waiting = Waiting(writer, WAIT_S)
    journal.gate.set()

    async def run() -> None:
        for row in ROWS:
            writer.enqueue(row)
            assert await within(waiting.wait(row.entry.seq)) is None

    asyncio.run(run())
