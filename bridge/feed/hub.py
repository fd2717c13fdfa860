"""The feed's broker in one loop: it hands rows to subscribers and award waiters.

Rule of this file: it runs in its loop, but for `hear`; it takes rows from the ring in order, a slice at a time, so that
the loop is never held for long, and none of its subscribers is ever waited for.
"""

import asyncio
from typing import Final

from callmarket.bridge.api.errors import RETRY_AFTER_S, Unavailable
from callmarket.bridge.feed import limits
from callmarket.bridge.feed.awards import Watch
from callmarket.bridge.feed.filters import Filter, Index
from callmarket.bridge.feed.frames import Frame, Row
from callmarket.bridge.feed.history import OpenJournal, read_page
from callmarket.bridge.feed.loops import Bell
from callmarket.bridge.feed.ring import Ring
from callmarket.bridge.feed.subscription import Subscription
from callmarket.engine.commands import ClearRound
from callmarket.engine.events import AwardGranted, one_by_one

BEHIND: Final = "the stream could not keep up"


class Hub:
    """The subscribers and waiting agents of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Ring, open_journal: OpenJournal) -> None:
        """Idle until the first subscriber or waiter."""
        self._loop: Final = loop
        self._ring: Final = ring
        self._open_journal: Final = open_journal
        self._bell: Final = Bell(loop, self._dispatch)
        self._subscriptions: Final[dict[Subscription, None]] = {}
        self._live: Final[Index[Subscription]] = Index()
        self._watches: Final[dict[str, dict[Watch, None]]] = {}
        self._watches_count = 0
        self._readers: Final = asyncio.Semaphore(limits.READERS_MAX)
        self._tick_is_set = False
        self._end_reason = ""
        # Whether anybody is there. Set before the ring is looked at, so that no row falls between.
        self._active = False
        # Every row up to here has been handed to live subscribers.
        self.dispatched_seq = ring.last_seq

    # --- from any thread ---------------------------------------------------------------------------------------

    def hear(self) -> None:
        """There are new rows in the ring, or the feed has ended."""
        if self._active:
            self._bell.ring()

    def finish(self, reason: str) -> None:
        """End all, after the rows that are there."""
        self._end_reason = reason
        self._bell.ring()

    # --- coming and going --------------------------------------------------------------------------------------

    @property
    def subscribers(self) -> int:
        """How many streams are open in this loop."""
        return len(self._subscriptions)

    @property
    def watchers(self) -> int:
        """How many wait for an award in this loop."""
        return self._watches_count

    def subscribe(self, wanted: Filter, after_seq: int | None) -> Subscription:
        """A new subscriber, from after a row or from now on. Raises `Unavailable` when there are too many."""
        if len(self._subscriptions) >= limits.SUBSCRIBERS_MAX:
            raise Unavailable(f"there are {limits.SUBSCRIBERS_MAX} subscribers, the most", retry_after_s=5.0)
        self._activate()
        subscription = Subscription(self, wanted, self._ring.last_seq if after_seq is None else after_seq)
        self._subscriptions[subscription] = None
        return subscription

    def go_live(self, subscription: Subscription) -> None:
        """Push to it what comes: it has all rows up to `dispatched_seq`."""
        self._live.add(subscription)

    def leave(self, subscription: Subscription) -> None:
        """Push nothing more. Idempotent."""
        self._subscriptions.pop(subscription, None)
        self._live.discard(subscription)
        self._rest_if_alone()

    def watch(self, bidder_id: str) -> Watch:
        """Notice the awards of a bidder. Raises `Unavailable` when too many wait."""
        if self._watches_count >= limits.WATCHES_MAX:
            raise Unavailable(f"{limits.WATCHES_MAX} wait for awards, the most", retry_after_s=5.0)
        self._activate()
        watch = Watch(self, bidder_id, self._ring.last_seq)
        self._watches.setdefault(bidder_id, {})[watch] = None
        self._watches_count += 1
        return watch

    def forget(self, watch: Watch) -> None:
        """Notice nothing more for it. Idempotent."""
        there = self._watches.get(watch.bidder_id, {})
        if watch in there:
            del there[watch]
            self._watches_count -= 1
            if not there:
                del self._watches[watch.bidder_id]
        self._rest_if_alone()

    # --- rows --------------------------------------------------------------------------------------------------

    def is_level_with(self, seq: int) -> bool:
        """Whether a reader of all rows up to this one has all that were dispatched."""
        return seq >= self.dispatched_seq

    async def rows_after(self, seq: int) -> list[Row]:
        """Some of the rows that were dispatched already, at least one. Raises as `read_page`."""
        rows = self._ring.after(seq, min(limits.SLICE_ROWS, self.dispatched_seq - seq))
        if rows is not None:
            # Others first: catching up is not urgent.
            await asyncio.sleep(0)
            return rows
        async with self._readers:
            page = await asyncio.to_thread(read_page, self._open_journal, seq)
        # The journal may be ahead of us; what it has more is pushed.
        rows = page[: self.dispatched_seq - seq]
        if not rows:
            raise Unavailable(f"the journal has no row after {seq}", retry_after_s=1.0)
        return rows

    def _dispatch(self) -> None:
        rows = self._ring.after(self.dispatched_seq, limits.SLICE_ROWS)
        if rows is None:
            self._fall_behind()
            rows = []
        for row in rows:
            self._notice_awards(row)
            self._push(row)
        if rows:
            self.dispatched_seq = rows[-1].seq
            self._set_tick()
        if self.dispatched_seq < self._ring.last_seq:
            self._bell.ring()
        elif self._end_reason:
            self._end_all()

    def _push(self, row: Row) -> None:
        if not self._subscriptions:
            return
        frames = row.frames
        if len(frames) == 1:
            # Most rows: a subscriber that wants the message wants all of the row.
            for subscription in self._live.who_wants(frames[0]):
                subscription.push(frames)
            return
        wanted: dict[Subscription, list[Frame]] = {}
        for frame in frames:
            for subscription in self._live.who_wants(frame):
                wanted.setdefault(subscription, []).append(frame)
        for subscription, some in wanted.items():
            subscription.push(tuple(some))

    def _notice_awards(self, row: Row) -> None:
        # Only a call grants awards, and most rows are bids.
        if not self._watches or not isinstance(row.entry.command, ClearRound):
            return
        for event in one_by_one(row.events):
            if isinstance(event, AwardGranted):
                for watch in self._watches.get(event.bidder_id, ()):
                    watch.notice(event.award_id, row.seq)

    def _fall_behind(self) -> None:
        """The ring has turned faster than this loop: live subscribers resume from the journal."""
        for subscription in list(self._subscriptions):
            if subscription.is_live:
                subscription.finish(BEHIND)
        self.dispatched_seq = self._ring.last_seq
        for there in self._watches.values():
            for watch in there:
                watch.look_again(self.dispatched_seq)

    def _end_all(self) -> None:
        for subscription in list(self._subscriptions):
            subscription.finish(self._end_reason)
        for there in self._watches.values():
            for watch in there:
                watch.finish(Unavailable(self._end_reason, RETRY_AFTER_S))

    def _set_tick(self) -> None:
        if not self._tick_is_set and self._subscriptions:
            self._tick_is_set = True
            self._loop.call_later(limits.WATERMARK_EVERY_S, self._tick)

    def _tick(self) -> None:
        self._tick_is_set = False
        for subscription in self._subscriptions:
            subscription.tell_watermark()

    def _activate(self) -> None:
        if not self._active:
            self._active = True
            self.dispatched_seq = self._ring.last_seq

    def _rest_if_alone(self) -> None:
        if not self._subscriptions and not self._watches:
            self._active = False
