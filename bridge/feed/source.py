"""The feed of one leader: durable rows in, streams and wake-ups out.

Rule of this file: what the journal's thread calls never waits for a reader; what readers call never waits for the
journal's thread. A feed ends when its leader does, and says so; with the next leader the streams go on by seq.
"""

from collections.abc import Sequence
from typing import Final

from callmarket.bridge.api.errors import RETRY_AFTER_S, Invalid, Unavailable
from callmarket.bridge.feed import limits
from callmarket.bridge.feed.awards import Watch
from callmarket.bridge.feed.filters import ALL, Filter
from callmarket.bridge.feed.frames import Row
from callmarket.bridge.feed.history import OpenJournal
from callmarket.bridge.feed.hub import Hub
from callmarket.bridge.feed.loops import PerLoop
from callmarket.bridge.feed.ring import Ring
from callmarket.bridge.feed.subscription import Subscription
from callmarket.engine.codec import Sealed
from callmarket.persistence.errors import PersistenceError


class Feed:
    """A `Listener` of the journal's writer, and what loops ask. Safe for many threads and loops."""

    def __init__(self, after_seq: int, open_journal: OpenJournal) -> None:
        """The first row that it will be brought is the one after `after_seq`; earlier ones are in the journal."""
        self._ring: Final = Ring(after_seq, limits.RING_ROWS_MAX, limits.RING_BYTES_MAX)
        self._hubs: Final = PerLoop(lambda loop: Hub(loop, self._ring, open_journal))
        self._end_reason = ""

    @property
    def seq(self) -> int:
        """The last row that it has."""
        return self._ring.last_seq

    def after(self, seq: int) -> Sequence[Row]:
        """The rows after a seq that are in memory."""
        return self._ring.latest_after(seq)

    @property
    def subscribers(self) -> int:
        """How many streams are open."""
        return sum(hub.subscribers for hub in self._hubs.all)

    @property
    def watchers(self) -> int:
        """How many wait for an award."""
        return sum(hub.watchers for hub in self._hubs.all)

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

    def awards_of(self, bidder_id: str) -> Watch:
        """Notice the awards of a bidder from now on: call it, then read, then wait. In a loop.

        Raises `Unavailable` if too many wait, or this process leads no longer.
        """
        return self._hub_here().watch(bidder_id)

    def durable(self, rows: Sequence[Sealed]) -> None:
        """See `Listener.durable`. O(rows), and nothing is encoded here."""
        self._ring.extend([Row(row.entry, row.events, len(row.command_json) + len(row.events_json)) for row in rows])
        for hub in self._hubs.all:
            hub.hear()

    def failed(self, failure: PersistenceError) -> None:
        """See `Listener.failed`."""
        self.end(f"the journal has stopped: {failure}")

    def end(self, reason: str) -> None:
        """End all streams after the rows that are there, and take no new ones. The first reason counts."""
        if self._end_reason:
            return
        self._end_reason = reason
        for hub in self._hubs.all:
            hub.finish(reason)

    def _hub_here(self) -> Hub:
        hub = self._hubs.here()
        # Only now, when the end would come to this broker too.
        if self._end_reason:
            raise Unavailable(self._end_reason, RETRY_AFTER_S)
        return hub
