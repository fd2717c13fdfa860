"""Turns for expensive work: a limited number at a time, with the keys taking turns, however much each of them asks for.

Rule of this file: for one event loop. Keys are served round robin, not in the order of their requests: the hundredth
request of one key comes after the first of another. What a turn is used for is not known here.
"""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from callmarket.bridge.api.errors import TooManyRequests

RETRY_AFTER_S: Final = 1.0
# The resolution of an event loop's timers.
_TICK_S: Final = 0.001


class Turns:
    """A limited number of turns at a time, in all and for each key; after each, a rest in proportion to its length."""

    def __init__(self, *, in_all: int, each: int, waiting_each: int, rest: float = 0.0) -> None:
        """Up to `in_all` turns at a time and `each` of one key; up to `waiting_each` requests of a key wait.

        `rest`: no turn begins for this many times the length of the turn that has ended.
        """
        assert 0 < each <= in_all and waiting_each > 0, (each, in_all, waiting_each)
        self._in_all: Final = in_all
        self._each: Final = each
        self._waiting_each: Final = waiting_each
        self._rest: Final = rest
        self._running = 0
        self._rests_until_s = 0.0
        self._of_key: Final[Counter[str]] = Counter()
        # The waiting requests of each key; the key whose turn is next is first.
        self._waiting: Final[OrderedDict[str, deque[asyncio.Future[None]]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, key_id: str) -> AsyncIterator[None]:
        """One turn, once it is this key's turn. Raises `TooManyRequests` if too many of this key wait."""
        await self._begin(key_id)
        # Not the loop's time, which stands still until the next await.
        began_s = time.monotonic()
        try:
            yield
        finally:
            ended_s = time.monotonic()
            self._rests_until_s = ended_s + self._rest * (ended_s - began_s)
            self._leave(key_id)

    async def _begin(self, key_id: str) -> None:
        queue = self._waiting.setdefault(key_id, deque())
        if len(queue) >= self._waiting_each:
            raise TooManyRequests(f"{len(queue)} queries of key {key_id} wait already", RETRY_AFTER_S)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(mine)
        self._go_on()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.cancelled():
                self._forget(key_id, mine)
            else:
                # It was given the turn and cancelled in the same iteration of the loop.
                self._leave(key_id)
            raise

    def _go_on(self) -> None:
        """Begin the turns that can begin. During a rest, call this again at its end."""
        if not self._waiting:
            return
        left_s = self._rests_until_s - time.monotonic()
        if left_s > 0:
            asyncio.get_running_loop().call_later(max(left_s, _TICK_S), self._go_on)
            return
        for key_id in tuple(self._waiting):
            queue = self._waiting[key_id]
            if self._running >= self._in_all:
                return
            if self._of_key[key_id] < self._each:
                self._begin_next(key_id, queue)

    def _begin_next(self, key_id: str, queue: "deque[asyncio.Future[None]]") -> None:
        mine = queue.popleft()
        while mine.done() and queue:
            mine = queue.popleft()
        del self._waiting[key_id]
        if queue:
            # Behind all other keys.
            self._waiting[key_id] = queue
        # A request cancelled in this iteration of the loop has not left the queue yet.
        if not mine.done():
            self._running += 1
            self._of_key[key_id] += 1
            mine.set_result(None)

    def _leave(self, key_id: str) -> None:
        self._running -= 1
        self._of_key[key_id] -= 1
        if not self._of_key[key_id]:
            del self._of_key[key_id]
        self._go_on()

    def _forget(self, key_id: str, mine: "asyncio.Future[None]") -> None:
        queue = self._waiting.get(key_id)
        if queue is not None and mine in queue:
            queue.remove(mine)
            if not queue:
                del self._waiting[key_id]
