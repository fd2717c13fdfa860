"""Charges demurrage while this process leads, a page of accounts at a time, when a period has ended.

Rule of this file: it waits and asks; what is charged is decided in `demurrage`. A period that has ended while nobody
led is charged by whoever leads next, if it is the last one that has; one before it is forgiven.
"""

import asyncio
import logging
from typing import Final

from bridge.async_exchange import AsyncExchange
from bridge.earning.demurrage import Demurrage, Walk
from bridge.errors import ExchangeError, NotLeader
from bridge.exchange import Exchange
from bridge.units import at_us

logger: Final = logging.getLogger(__name__)

# Between two looks at the clock, which may be set.
LOOK_S: Final = 1.0
# Between two pages: a million accounts take some minutes of a day, and others are served in between.
PAGE_PAUSE_S: Final = 0.1
PAUSE_S_MAX: Final = 60.0


def collect(exchange: Exchange, terms: Demurrage) -> Walk:
    """Charge the last period that has ended, now and in one go. Again in the same period: nobody pays twice.

    For whoever drives a market themselves; the service does it by `Collector`. O(accounts).
    """
    walk = Walk(terms, terms.period(at_us("now", exchange.node.now())))
    while terms.ppm and not walk.done:
        rows = exchange.ask(walk.question())
        charges = walk.charges(rows)
        walk.note(rows, exchange.submit(charges) if charges else ())
    return walk


class Collector:
    """For one event loop. Its counts are since this process began."""

    def __init__(self, exchange: Exchange, terms: Demurrage) -> None:
        """Nothing is looked at before `run`."""
        self._node: Final = exchange.node
        self._market: Final = AsyncExchange(Exchange(exchange.node))
        self._terms: Final = terms
        self._walk: Walk | None = None
        self._failures_in_a_row = 0
        self.charges = 0
        self.tokens = 0
        self.refused = 0
        self.failures = 0

    async def run(self) -> None:
        """Collect until it is cancelled, or at once nothing where there is nothing to charge."""
        while self._terms.ppm:
            wait_s = LOOK_S
            # A period ends by the clock: where that is not believed, none does.
            if self._node.role == "leader" and not self._node.time.fault:
                try:
                    wait_s = await self._step()
                    self._failures_in_a_row = 0
                except ExchangeError as error:
                    wait_s = self._failed(error)
            await asyncio.sleep(wait_s)

    async def _step(self) -> float:
        """Charge a page, if the last period has not been charged. How many seconds there is nothing to do."""
        period = self._terms.period(at_us("now", self._node.now()))
        walk = self._walk
        # A clock that was set back comes to a period that has been charged; so it stays.
        if walk is None or walk.period < period:
            walk = self._walk = Walk(self._terms, period)
        if walk.done:
            return LOOK_S
        before = walk.charges_made, walk.tokens_charged, walk.refused
        rows = await self._market.ask(walk.question())
        charges = walk.charges(rows)
        over = walk.note(rows, await self._market.submit(charges) if charges else ())
        self.charges += walk.charges_made - before[0]
        self.tokens += walk.tokens_charged - before[1]
        self.refused += walk.refused - before[2]
        if over:
            told = {"accounts": walk.charges_made, "tokens": walk.tokens_charged, "refused": walk.refused}
            logger.info("demurrage collected", extra={"period": self._terms.reference_id(walk.period), **told})
        return PAGE_PAUSE_S

    def _failed(self, error: ExchangeError) -> float:
        """Tell of the first failure in a row, and how long to wait."""
        self.failures += 1
        if not self._failures_in_a_row and not isinstance(error, NotLeader):
            logger.warning("demurrage could not be collected, and will be: %s: %s", type(error).__name__, error)
        self._failures_in_a_row += 1
        return min(PAUSE_S_MAX, LOOK_S * (1 << min(self._failures_in_a_row, 10)))
