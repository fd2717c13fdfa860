"""Charges demurrage while this process leads, a page of accounts at a time, when a period has ended.

Rule of this file: it waits and asks; charges are decided in `demurrage`. A period that has ended while nobody
led is charged by the next leader, if it is the last one that has; one before it is forgiven. Between the periods
debts are asked for, so that an account that holds or moves its tokens over midnight pays when they are free again.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.errors import ExchangeError, NotLeader
from callmarket.bridge.api.units import at_us
from callmarket.bridge.fleet.earning.demurrage import NOT_YET_S, Debts, Demurrage, Outcome, Walk, charge
from callmarket.bridge.market.async_exchange import AsyncExchange
from callmarket.bridge.market.exchange import Exchange
from callmarket.engine.state import State
from callmarket.persistence.stores.demurrage_debts import Debt

logger: Final = logging.getLogger(__name__)

# Between two looks at the clock, which may be set, and at the debts.
LOOK_S: Final = 1.0
# Between two pages: a million accounts take some minutes of a day, and others are served in between.
PAGE_PAUSE_S: Final = 0.1
PAUSE_S_MAX: Final = 60.0


class Collected(Struct):
    """What one walk has charged, with debts of earlier periods, and how many charges are owed since."""

    charges: int = 0
    tokens: int = 0
    owed: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count what came of a page."""
        self.charges += outcome.charges
        self.tokens += outcome.tokens
        self.owed += len(outcome.owed)


def collect(exchange: Exchange, terms: Demurrage) -> Collected:
    """Charge the last period that has ended, and all debts that can be paid, now and in one go. Idempotent.

    For programs that drive a market themselves; the service uses `Collector`. Raises `Unavailable` while rows of the
    period are not durable, or the tables do not have them yet. O(accounts + debts).
    """
    collected = Collected()
    if not terms.ppm:
        return collected
    walk = Walk(terms, terms.period(at_us("now", exchange.node.now())), exchange.read(_last_seq))
    exchange.seen.note(min(walk.seq, exchange.durable_seq))
    while not walk.done:
        rows = exchange.ask(walk.question())
        payable, waiting = walk.payable(rows)
        collected.add(_charged(exchange, terms, payable, Outcome(owed=waiting)))
        walk.note(rows)
    debts = Debts()
    while not debts.done:
        owed = exchange.ask(debts.question())
        now_payable, paid = debts.payable(owed)
        outcome = _charged(exchange, terms, now_payable, Outcome(ended=paid))
        collected.charges += outcome.charges
        collected.tokens += outcome.tokens
        debts.note(owed)
    return collected


def _charged(exchange: Exchange, terms: Demurrage, payable: Sequence[Debt], outcome: Outcome) -> Outcome:
    if payable:
        outcome.note(payable, exchange.submit([charge(debt, terms) for debt in payable]))
    if outcome.owed or outcome.ended:
        exchange.change(outcome.change())
    return outcome


def _last_seq(state: State) -> int:
    return state.seq


class Collector:
    """For one event loop. Its counts are since this process began."""

    def __init__(self, exchange: Exchange, terms: Demurrage) -> None:
        """Nothing is looked at before `run`."""
        self._node: Final = exchange.node
        self._exchange: Final = Exchange(exchange.node)
        self._market: Final = AsyncExchange(self._exchange)
        self._terms: Final = terms
        self._walk: Walk | None = None
        self._walked = Collected()
        self._debts = Debts()
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
        """A page of the last period that has ended or, once that is charged, of the debts. How long to wait then."""
        period = self._terms.period(at_us("now", self._node.now()))
        walk = self._walk
        # A clock that was set back comes to a period that has been charged; so it stays.
        if walk is None or walk.period < period:
            walk = self._walk = Walk(self._terms, period, self._exchange.read(_last_seq))
            self._walked = Collected()
        if not walk.done:
            return await self._page(walk) if self._node.projected_seq >= walk.seq else NOT_YET_S
        if self._debts.done:
            self._debts = Debts()
        rows = await self._market.ask(self._debts.question())
        payable, paid = self._debts.payable(rows)
        self._count(await self._charged(payable, Outcome(ended=paid)))
        self._debts.note(rows)
        return LOOK_S if self._debts.done else PAGE_PAUSE_S

    async def _page(self, walk: Walk) -> float:
        rows = await self._market.ask(walk.question())
        payable, waiting = walk.payable(rows)
        outcome = await self._charged(payable, Outcome(owed=waiting))
        self._walked.add(outcome)
        self._count(outcome)
        self.refused += len(outcome.owed)
        walk.note(rows)
        if walk.done:
            told = {"accounts": self._walked.charges, "tokens": self._walked.tokens, "refused": self._walked.owed}
            logger.info("demurrage collected", extra={"period": self._terms.reference_id(walk.period), **told})
        return PAGE_PAUSE_S

    async def _charged(self, payable: Sequence[Debt], outcome: Outcome) -> Outcome:
        if payable:
            outcome.note(payable, await self._market.submit([charge(debt, self._terms) for debt in payable]))
        if outcome.owed or outcome.ended:
            await self._market.change(outcome.change())
        return outcome

    def _count(self, outcome: Outcome) -> None:
        self.charges += outcome.charges
        self.tokens += outcome.tokens

    def _failed(self, error: ExchangeError) -> float:
        """Tell of the first failure in a row, and how long to wait."""
        self.failures += 1
        if not self._failures_in_a_row and not isinstance(error, NotLeader):
            logger.warning("demurrage could not be collected, and will be: %s: %s", type(error).__name__, error)
        self._failures_in_a_row += 1
        return min(PAUSE_S_MAX, LOOK_S * (1 << min(self._failures_in_a_row, 10)))
