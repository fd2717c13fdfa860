"""The feed's broker in one loop: it hands rows to subscribers and award waiters.

Rule of this file: it runs in its loop, but for `notify`; it takes rows from the ring in order, a slice at a time, so
that the loop is never held for long, and none of its subscribers is ever waited for.
"""

import asyncio
from typing import Final

from callmarket.bridge.api.errors import RETRY_AFTER_S, Unavailable
from callmarket.bridge.feed import limits
from callmarket.bridge.feed.award_waiter import AwardWaiter
from callmarket.bridge.feed.encoded import EncodedMessage, FeedRow
from callmarket.bridge.feed.filters import Filter, Index
from callmarket.bridge.feed.history import OpenJournal, read_page
from callmarket.bridge.feed.loops import LoopWakeup
from callmarket.bridge.feed.recent_rows import RecentRows
from callmarket.bridge.feed.subscription import Subscription
from callmarket.engine.commands import ClearRound
from callmarket.engine.events import AwardGranted, one_by_one

BEHIND: Final = "the stream could not keep up"


class Broker:
    """The subscribers and waiting agents of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, recent_rows: RecentRows, open_journal: OpenJournal) -> None:
        """Idle until the first subscriber or waiter."""
        self._loop: Final = loop
        self._recent_rows: Final = recent_rows
        self._open_journal: Final = open_journal
        self._wakeup: Final = LoopWakeup(loop, self._dispatch)
        self._subscriptions: Final[dict[Subscription, None]] = {}
        self._live: Final[Index[Subscription]] = Index()
        self._waiters: Final[dict[str, dict[AwardWaiter, None]]] = {}
        self._waiters_count = 0
        self._readers: Final = asyncio.Semaphore(limits.READERS_MAX)
        self._tick_is_set = False
        self._end_reason = ""
        # Whether anybody is there. Set before the ring is looked at, so that no row falls between.
        self._active = False
        # Every row up to here has been handed to live subscribers.
        self.dispatched_seq = recent_rows.last_seq

    # --- from any thread ---------------------------------------------------------------------------------------

    def notify(self) -> None:
        """There are new rows in the ring, or the feed has ended."""
        if self._active:
            self._wakeup.wake()

    def finish(self, reason: str) -> None:
        """End all, after the rows that are there."""
        self._end_reason = reason
        self._wakeup.wake()

    # --- coming and going --------------------------------------------------------------------------------------

    @property
    def subscribers(self) -> int:
        """How many streams are open in this loop."""
        return len(self._subscriptions)

    @property
    def watchers(self) -> int:
        """How many wait for an award in this loop."""
        return self._waiters_count

    def subscribe(self, wanted: Filter, after_seq: int | None) -> Subscription:
        """A new subscriber, from after a row or from now on. Raises `Unavailable` when there are too many."""
        if len(self._subscriptions) >= limits.SUBSCRIBERS_MAX:
            raise Unavailable(f"there are {limits.SUBSCRIBERS_MAX} subscribers, the most", retry_after_s=5.0)
        self._activate()
        subscription = Subscription(self, wanted, self._recent_rows.last_seq if after_seq is None else after_seq)
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

    def wait_for_awards(self, bidder_id: str) -> AwardWaiter:
        """Notice the awards of a bidder. Raises `Unavailable` when too many wait."""
        if self._waiters_count >= limits.AWARD_WAITERS_MAX:
            raise Unavailable(f"{limits.AWARD_WAITERS_MAX} wait for awards, the most", retry_after_s=5.0)
        self._activate()
        waiter = AwardWaiter(self, bidder_id, self._recent_rows.last_seq)
        self._waiters.setdefault(bidder_id, {})[waiter] = None
        self._waiters_count += 1
        return waiter

    def forget(self, waiter: AwardWaiter) -> None:
        """Notice nothing more for it. Idempotent."""
        there = self._waiters.get(waiter.bidder_id, {})
        if waiter in there:
            del there[waiter]
            self._waiters_count -= 1
            if not there:
                del self._waiters[waiter.bidder_id]
        self._rest_if_alone()

    # --- rows --------------------------------------------------------------------------------------------------

    def is_level_with(self, seq: int) -> bool:
        """Whether a reader of all rows up to this one has all that were dispatched."""
        return seq >= self.dispatched_seq

    async def rows_after(self, seq: int) -> list[FeedRow]:
        """Some of the rows that were dispatched already, at least one. Raises as `read_page`."""
        rows = self._recent_rows.after(seq, min(limits.SLICE_ROWS, self.dispatched_seq - seq))
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
        rows = self._recent_rows.after(self.dispatched_seq, limits.SLICE_ROWS)
        if rows is None:
            self._fall_behind()
            rows = []
        for row in rows:
            self._notice_awards(row)
            self._push(row)
        if rows:
            self.dispatched_seq = rows[-1].seq
            self._set_tick()
        if self.dispatched_seq < self._recent_rows.last_seq:
            self._wakeup.wake()
        elif self._end_reason:
            self._end_all()

    def _push(self, row: FeedRow) -> None:
        if not self._subscriptions:
            return
        messages = row.messages
        if len(messages) == 1:
            # Most rows: a subscriber that wants the message wants all of the row.
            for subscription in self._live.who_wants(messages[0]):
                subscription.push(messages)
            return
        wanted: dict[Subscription, list[EncodedMessage]] = {}
        for encoded in messages:
            for subscription in self._live.who_wants(encoded):
                wanted.setdefault(subscription, []).append(encoded)
        for subscription, some in wanted.items():
            subscription.push(tuple(some))

    def _notice_awards(self, row: FeedRow) -> None:
        # Only a call grants awards, and most rows are bids.
        if not self._waiters or not isinstance(row.entry.command, ClearRound):
            return
        for event in one_by_one(row.events):
            if isinstance(event, AwardGranted):
                for waiter in self._waiters.get(event.bidder_id, ()):
                    waiter.notice(event.award_id, row.seq)

    def _fall_behind(self) -> None:
        """The ring has turned faster than this loop: live subscribers resume from the journal."""
        for subscription in list(self._subscriptions):
            if subscription.is_live:
                subscription.finish(BEHIND)
        self.dispatched_seq = self._recent_rows.last_seq
        for there in self._waiters.values():
            for waiter in there:
                waiter.look_again(self.dispatched_seq)

    def _end_all(self) -> None:
        for subscription in list(self._subscriptions):
            subscription.finish(self._end_reason)
        for there in self._waiters.values():
            for waiter in there:
                waiter.finish(Unavailable(self._end_reason, RETRY_AFTER_S))

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
            self.dispatched_seq = self._recent_rows.last_seq

    def _rest_if_alone(self) -> None:
        if not self._subscriptions and not self._waiters:
            self._active = False
