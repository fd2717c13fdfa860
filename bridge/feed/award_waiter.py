"""Waiting for an award: the wake-up of a long poll.

Rule of this file: register, then read, then wait. Registering first misses nothing: what was durable before is up
to row `seq` for the reading, for which the tables are waited for, and what becomes so later is noted here. A wake-up
may be for nothing, never too few.
"""

import asyncio
from typing import TYPE_CHECKING, Final, Self

from callmarket.bridge.api.errors import ExchangeError
from callmarket.engine.ids import NO_AWARD, AwardId

if TYPE_CHECKING:
    from callmarket.bridge.feed.broker import Broker


class AwardWaiter:
    """Notices the awards of one bidder from now on. Made by `Feed.awards_of`; close it, or use it in `with`."""

    def __init__(self, broker: "Broker", bidder_id: str, seq: int) -> None:
        """Notice what comes after row `seq`."""
        self.bidder_id: Final = bidder_id
        self._broker: Final = broker
        self._latest_award_id = NO_AWARD
        self._seq = seq
        self._over: ExchangeError | None = None
        self._look_again = False
        self._waiter: asyncio.Future[None] | None = None

    async def wait(self, after_award_id: AwardId, timeout_s: float) -> bool:
        """Whether an award with a greater id is durable now, so that it pays to read again; False: the time is up.

        Raises `Unavailable` if this process leads no longer, or whatever else it was ended with.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self._latest_award_id <= after_award_id and not self._look_again:
            if self._over is not None:
                raise self._over
            if loop.time() >= deadline_s:
                return False
            self._waiter = loop.create_future()
            timer = loop.call_at(deadline_s, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        self._look_again = False
        return True

    @property
    def latest_award_id(self) -> AwardId:
        """The last award that was noticed; 0 before. Ask before reading, so that none falls between."""
        return self._latest_award_id

    @property
    def seq(self) -> int:
        """The row up to which there may be awards that are to be read: the tables follow the journal."""
        return self._seq

    def close(self) -> None:
        """Stop waiting. Idempotent."""
        self._broker.forget(self)

    def __enter__(self) -> Self:
        """Use it as a context manager: the end of the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    # --- for the broker ----------------------------------------------------------------------------------------

    def notice(self, award_id: AwardId, seq: int) -> None:
        """This award of the bidder is durable, granted by row `seq`. O(1)."""
        self._latest_award_id = award_id
        self._seq = seq
        self._wake()

    def look_again(self, seq: int) -> None:
        """Something up to row `seq` may have been missed: let it be read again."""
        self._look_again = True
        self._seq = seq
        self._wake()

    def finish(self, error: ExchangeError) -> None:
        """There is nothing more to wait for, and this is why."""
        self._over = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
