"""The feed of one leader: durable rows in, streams and wake-ups out.

Rule of this file: what the journal's thread calls never waits for a reader; what readers call never waits for the
journal's thread. A feed ends when its leader does, and says so; with the next leader the streams go on by seq.
"""

from collections.abc import Sequence
from typing import Final

from callmarket.bridge.api.errors import RETRY_AFTER_S, Invalid, Unavailable
from callmarket.bridge.feed import limits
from callmarket.bridge.feed.award_waiter import AwardWaiter
from callmarket.bridge.feed.broker import Broker
from callmarket.bridge.feed.encoded import FeedRow
from callmarket.bridge.feed.filters import ALL, Filter
from callmarket.bridge.feed.history import OpenJournal
from callmarket.bridge.feed.loops import PerLoop
from callmarket.bridge.feed.recent_rows import RecentRows
from callmarket.bridge.feed.subscription import Subscription
from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import PersistenceError


class Feed:
    """A `Listener` of the journal's writer, and what loops ask. Safe for many threads and loops."""

    def __init__(self, after_seq: int, open_journal: OpenJournal) -> None:
        """The first row that it will be brought is the one after `after_seq`; earlier ones are in the journal."""
        self._recent_rows: Final = RecentRows(after_seq, limits.RECENT_ROWS_MAX, limits.RECENT_BYTES_MAX)
        self._brokers: Final = PerLoop(lambda loop: Broker(loop, self._recent_rows, open_journal))
        self._end_reason = ""

    @property
    def seq(self) -> int:
        """The last row that it has."""
        return self._recent_rows.last_seq

    def after(self, seq: int) -> Sequence[FeedRow]:
        """The rows after a seq that are in memory."""
        return self._recent_rows.latest_after(seq)

    @property
    def subscribers(self) -> int:
        """How many streams are open."""
        return sum(broker.subscribers for broker in self._brokers.all)

    @property
    def watchers(self) -> int:
        """How many wait for an award."""
        return sum(broker.watchers for broker in self._brokers.all)

    async def subscribe(self, wanted: Filter | None = None, after_seq: int | None = None) -> Subscription:
        """Everything durable after a row that a filter lets through; None: from now on.

        From memory, or from the journal for a reader that resumes late. Raises `Invalid` for a row that is not durable
        yet, or one after which rows have been archived (it says from where they can be had); `Gone` for one that was
        lost (HST-1); `Unavailable` if there are too many subscribers, the database does not answer, or this process
        leads no longer.
        """
        if after_seq is not None and (type(after_seq) is not int or not 0 <= after_seq <= self.seq):
            raise Invalid("after_seq", after_seq, f"0 to {self.seq}, the last durable row")
        subscription = self._hub_here().subscribe(wanted or ALL, after_seq)
        try:
            await subscription.prepare()
        except BaseException:
            subscription.close()
            raise
        return subscription

    def awards_of(self, bidder_id: str) -> AwardWaiter:
        """Notice the awards of a bidder from now on: call it, then read, then wait. In a loop.

        Raises `Unavailable` if too many wait, or this process leads no longer.
        """
        return self._hub_here().wait_for_awards(bidder_id)

    def durable(self, rows: Sequence[SealedRow]) -> None:
        """See `Listener.durable`. O(rows), and nothing is encoded here."""
        self._recent_rows.extend(
            [FeedRow(row.entry, row.events, len(row.command_json) + len(row.events_json)) for row in rows]
        )
        for broker in self._brokers.all:
            broker.notify()

    def failed(self, failure: PersistenceError) -> None:
        """See `Listener.failed`."""
        self.end(f"the journal has stopped: {failure}")

    def end(self, reason: str) -> None:
        """End all streams after the rows that are there, and take no new ones. The first reason counts."""
        if self._end_reason:
            return
        self._end_reason = reason
        for broker in self._brokers.all:
            broker.finish(reason)

    def _hub_here(self) -> Broker:
        broker = self._brokers.here()
        # Only now, when the end would come to this broker too.
        if self._end_reason:
            raise Unavailable(self._end_reason, RETRY_AFTER_S)
        return broker
