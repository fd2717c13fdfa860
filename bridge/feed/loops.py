"""From the journal's thread into asyncio loops: one wake-up for a batch of rows, however many waiters it has.

Rule of this file: waking never blocks and raises nothing; what a loop does when it wakes belongs to the owner of
the wake-up. To be called from inside a loop costs a lock and a write to a pipe, so it is not done for each row.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class LoopWakeup:
    """Wakes one loop from any thread: woken often before the loop runs, it runs `answer` once."""

    __slots__ = ("_answer", "_is_set", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: Callable[[], None]) -> None:
        """`answer` runs in the loop, after each wake-up."""
        self._loop = loop
        self._answer = answer
        self._is_set = False

    def wake(self) -> None:
        """Wake the loop. Nothing happens if it is closed. O(1), from any thread."""
        if self._is_set:
            return
        # Two threads may both get here: then the loop runs it twice, the second time for nothing.
        self._is_set = True
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            # The loop is closed: nobody waits in it.
            assert self._loop.is_closed()

    def _wake(self) -> None:
        # Before looking: what happens from now on wakes it again.
        self._is_set = False
        self._answer()


class PerLoop(Generic[T]):
    """One thing for each loop that asks for it; those of closed loops are forgotten. Safe for many threads."""

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], T]) -> None:
        """`make` makes it, in the loop that it is for."""
        self._make: Final = make
        self._lock: Final = threading.Lock()
        self._of_loop: dict[asyncio.AbstractEventLoop, T] = {}
        # Replaced, never changed: read without the lock.
        self.all: tuple[T, ...] = ()

    def here(self) -> T:
        """The running loop's own, made at the first call."""
        loop = asyncio.get_running_loop()
        found = self._of_loop.get(loop)
        return self._make_for(loop) if found is None else found

    def _make_for(self, loop: asyncio.AbstractEventLoop) -> T:
        made = self._make(loop)
        with self._lock:
            # A new one is rare, and the time to drop closed ones.
            living = {one: its for one, its in self._of_loop.items() if not one.is_closed()}
            self._of_loop = living | {loop: made}
            self.all = tuple(self._of_loop.values())
        return made
