"""Waiting in asyncio until a row is durable: thousands at once, for one wake of the loop a batch.

Rule of this file: waiters are settled in the order of seq and exactly once: durable, failed, or out of time. The time
is the same for all, so one timer serves them; a waiter that gives up is only forgotten.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from callmarket.bridge.feed.loops import LoopWakeup, PerLoop
from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import PersistenceError
from callmarket.persistence.writer.write_behind import WriteBehind


class _Waiter(NamedTuple):
    seq: int
    deadline_s: float
    outcome: asyncio.Future[BaseException | None]


class Waiting:
    """All waiters in asyncio for rows of one writer, in however many loops."""

    def __init__(self, write_behind: WriteBehind, timeout_s: float) -> None:
        """Nobody waits longer than `timeout_s`."""
        self._loops: Final = PerLoop(lambda loop: _Queue(loop, write_behind, timeout_s))
        write_behind.listen(self)

    def wait(self, seq: int) -> asyncio.Future[BaseException | None]:
        """What to await until row `seq` is durable: None then, else why that is not known (a `TimeoutError` too).

        Seqs of one loop are asked for in order, as they are applied. O(1): a future, and no timer of its own.
        """
        return self._loops.here().wait(seq)

    def durable(self, _rows: Sequence[SealedRow]) -> None:
        """See `Listener.durable`."""
        for queue in self._loops.all:
            queue.notify()

    def failed(self, _failure: PersistenceError) -> None:
        """See `Listener.failed`."""
        for queue in self._loops.all:
            queue.notify()


class _Queue:
    """Those of one loop. Everything but `notify` runs in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, write_behind: WriteBehind, timeout_s: float) -> None:
        self._loop = loop
        self._write_behind = write_behind
        self._timeout_s = timeout_s
        self._waiters: deque[_Waiter] = deque()
        self._wakeup = LoopWakeup(loop, self._settle)
        self._timer: asyncio.TimerHandle | None = None

    def notify(self) -> None:
        """Something has become durable, or never will. From any thread."""
        if self._waiters:
            self._wakeup.wake()

    def wait(self, seq: int) -> asyncio.Future[BaseException | None]:
        outcome: asyncio.Future[BaseException | None] = self._loop.create_future()
        waiters, deadline_s = self._waiters, self._loop.time() + self._timeout_s
        assert not waiters or waiters[-1].seq <= seq, (waiters[-1].seq, seq)
        waiters.append(_Waiter(seq, deadline_s, outcome))
        # Only after it stands there: what becomes durable from now on wakes the loop, and what did before is seen here.
        if self._write_behind.durable_seq >= seq or self._write_behind.failure is not None:
            self._settle()
        elif self._timer is None:
            self._timer = self._loop.call_at(deadline_s, self._time_out)
        return outcome

    def _settle(self) -> None:
        """Tell all whose row is durable; after a failure, all."""
        # The failure first: what was durable before it is then seen to be.
        failure = self._write_behind.failure
        durable_seq = self._write_behind.durable_seq
        waiters = self._waiters
        while waiters and waiters[0].seq <= durable_seq:
            _tell(waiters.popleft(), None)
        if failure is not None:
            while waiters:
                _tell(waiters.popleft(), failure)

    def _time_out(self) -> None:
        """Tell those whose time is up, and come again for the next; deadlines stand in the order of seqs."""
        self._timer = None
        now_s, waiters = self._loop.time(), self._waiters
        while waiters and waiters[0].deadline_s <= now_s:
            _tell(waiters.popleft(), TimeoutError())
        if waiters:
            self._timer = self._loop.call_at(waiters[0].deadline_s, self._time_out)


def _tell(waiter: _Waiter, error: BaseException | None) -> None:
    if not waiter.outcome.done():
        waiter.outcome.set_result(error)
