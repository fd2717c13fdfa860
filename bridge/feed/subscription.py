"""One subscriber: first the rows it has missed, at its own pace; then new ones, through a bounded queue.

Rule of this file: every row after the one asked for, once, in order, or the subscriber is told where to go on. All of
it runs in one loop, and between catching up and going live nothing is awaited: so there is no gap and nothing twice.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from callmarket.bridge.api.errors import ExchangeError
from callmarket.bridge.feed import limits
from callmarket.bridge.feed.encoded import RowMessages, size_of, watermark
from callmarket.bridge.feed.filters import Filter
from callmarket.persistence.errors import PersistenceError

if TYPE_CHECKING:
    from callmarket.bridge.feed.broker import Broker

SLOW_READER: Final = "slow reader"


class End(NamedTuple):
    """Why a stream ended, and after which row another one continues it."""

    reason: str
    resume_after_seq: int
    key_ended: bool = False
    """Whether its reader may hear nothing more: with the same key no stream continues it."""


class Subscription:
    """The messages that a filter lets through, after a row. Made by `Feed.subscribe`; close it, or use it in `with`."""

    def __init__(self, broker: "Broker", wanted: Filter, after_seq: int) -> None:
        self.filter: Final = wanted
        self.end: End | None = None
        # For a reader that is kept by a connection that takes nothing more, and would not ask for the next.
        self.ended: Final = asyncio.Event()
        self._broker: Final = broker
        # All rows up to here are in the queue or have been handed out; live, the broker's position may be further.
        self._cursor = after_seq
        # The last row that was handed out whole.
        self._handed_out_seq = after_seq
        self._live = False
        self._watermark_is_due = wanted.wants_watermark
        self._queue: deque[RowMessages] = deque()
        self._messages = 0
        self._bytes = 0
        self._waiter: asyncio.Future[None] | None = None

    async def next(self, timeout_s: float) -> list[RowMessages]:
        """What comes next, about 64 kB at most; nothing when the time is up, or when it has ended (`end`).

        One task asks. Raises nothing: what keeps the journal from being read ends the stream.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self.end is None and not self._queue and not (self._live and self._watermark_is_due):
            if loop.time() >= deadline_s:
                break
            if self._live:
                await self._wait(deadline_s)
            else:
                await self._catch_up()
        return self._take()

    def close(self) -> None:
        """Unsubscribe. Idempotent."""
        self.finish("closed by its reader")

    def __enter__(self) -> Self:
        """Use it as a context manager: the end of the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @property
    def is_live(self) -> bool:
        """Whether it has caught up, so that new rows are pushed to it."""
        return self._live

    @property
    def _passed_seq(self) -> int:
        """All rows up to here are in the queue, have been handed out, or were not wanted."""
        return max(self._cursor, self._broker.dispatched_seq) if self._live else self._cursor

    # --- for the broker ----------------------------------------------------------------------------------------

    def push(self, messages: RowMessages) -> None:
        """Queue the wanted messages of the next row, all or none: without room for them the stream ends. Live only."""
        if messages[0].seq <= self._cursor:
            return
        is_full = (
            self._messages + len(messages) > limits.QUEUE_MESSAGES_MAX
            or self._bytes + size_of(messages) > limits.QUEUE_BYTES_MAX
        )
        # A row that is larger than the queue is taken by a reader that has nothing else queued: a call of 10,000 slots.
        if is_full and self._queue:
            self.finish(SLOW_READER)
            return
        self._put(messages)
        self._wake()

    def tell_watermark(self) -> None:
        """It has moved, and is to be told again."""
        if self.filter.wants_watermark:
            self._watermark_is_due = True
            self._wake()

    def finish(self, reason: str) -> None:
        """End it; a slow reader's queue is dropped. The first reason counts."""
        # Queued messages are still handed out; messages that were passed over are not missed.
        if reason == SLOW_READER:
            self._finish_empty(End(reason, self._handed_out_seq))
        elif self.end is None:
            self._finish(End(reason, self._passed_seq))

    def expel(self, reason: str) -> None:
        """End it for a reader that may read nothing more, not even queued messages. The first reason counts."""
        self._finish_empty(End(reason, self._handed_out_seq, key_ended=True))

    def _finish_empty(self, end: End) -> None:
        if self.end is None:
            self._queue.clear()
            self._messages = self._bytes = 0
            self._finish(end)

    def _finish(self, end: End) -> None:
        self.end = end
        self._broker.leave(self)
        self.ended.set()
        self._wake()

    # --- reading -----------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Read the first page that is needed. Raises what says that it cannot be had."""
        if not self._broker.is_level_with(self._cursor):
            await self._read_some()

    async def _catch_up(self) -> None:
        """Read a page more; or go live, if there is none."""
        if self._broker.is_level_with(self._cursor):
            self._live = True
            self._broker.go_live(self)
            return
        try:
            await self._read_some()
        except (ExchangeError, PersistenceError) as error:
            self.finish(str(error))

    async def _read_some(self) -> None:
        """Put the next rows that the broker has passed into the queue, from the ring or from the journal."""
        rows = await self._broker.rows_after(self._cursor)
        if self.end is not None:
            # It has ended meanwhile, after the rows before these.
            return
        for row in rows:
            wanted = tuple([encoded for encoded in row.messages if self.filter.lets_through(encoded)])
            if wanted:
                self._put(wanted)
        self._cursor = rows[-1].seq
        self._watermark_is_due = self.filter.wants_watermark

    def _put(self, messages: RowMessages) -> None:
        self._queue.append(messages)
        self._messages += len(messages)
        self._bytes += size_of(messages)

    def _take(self) -> list[RowMessages]:
        taken: list[RowMessages] = []
        room = limits.CHUNK_BYTES
        while self._queue and room > 0:
            messages = self._queue.popleft()
            size = size_of(messages)
            room -= size
            self._messages -= len(messages)
            self._bytes -= size
            taken.append(messages)
        if taken:
            self._handed_out_seq = taken[-1][0].seq
        if not self._queue and self._watermark_is_due and self.end is None:
            self._tell_watermark(taken)
        return taken

    def _tell_watermark(self, taken: list[RowMessages]) -> None:
        """Nothing is left before it, so it is after all rows that were passed."""
        self._watermark_is_due = False
        self._handed_out_seq = self._passed_seq
        taken.append(watermark(self._handed_out_seq))

    async def _wait(self, deadline_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_at(deadline_s, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
