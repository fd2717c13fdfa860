"""The exchange in this process, for asyncio: the same verbs, awaited.

Rule of this file: as `exchange`. Applying a command takes microseconds and happens in the loop; only the wait for the
journal is awaited, so thousands of agents can wait at once.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bridge import reads, results, verbs
from bridge.errors import Refused, Unavailable, UnknownOutcome
from bridge.exchange import SWEEPS_MAX, Exchange
from bridge.messages import Ack, Reply, Request
from bridge.node import Node
from bridge.reads import OrderBook, Wallet
from bridge.results import PlacedBid, Round, Swept
from bridge.verb import AsyncVerb, as_actor

logger: Final = logging.getLogger(__name__)


class AsyncExchange:
    """A running market, for asyncio. Made from an open `Exchange`, which is closed as usual."""

    open_account = AsyncVerb(verbs.open_account, results.stamp)
    mint = AsyncVerb(verbs.mint, results.posted)
    burn = AsyncVerb(verbs.burn, results.posted)
    transfer = AsyncVerb(verbs.transfer, results.posted)
    open_market = AsyncVerb(verbs.open_market, results.stamp)
    offer_slot = AsyncVerb(verbs.offer_slot, results.stamp)
    withdraw_slot = AsyncVerb(verbs.withdraw_slot, results.stamp)
    place_bid = AsyncVerb(verbs.place_bid, results.placed_bid)
    amend_bid = AsyncVerb(verbs.amend_bid, results.amended_bid)
    cancel_bid = AsyncVerb(verbs.cancel_bid, results.stamp)
    settle = AsyncVerb(verbs.settle, results.settled)
    void = AsyncVerb(verbs.void, results.voided)

    def __init__(self, exchange: Exchange) -> None:
        self._node: Node = exchange.node
        self._actor = exchange.actor
        self._ack: Ack = exchange.ack

    async def clear_round(self, market_id: str, now: datetime | None = None, *, command_id: str = "") -> Round:
        """Call a market; then release all losers, in bounded sweeps that let others in between (BID-4)."""
        reply = await self.submit_one(verbs.clear_round(market_id, now, command_id=command_id))
        cleared = results.cleared_round(reply)
        if cleared.losers_remaining:
            try:
                await self.refund_unfilled(now)
            except (Unavailable, UnknownOutcome):
                # As in `Exchange.clear_round`: the round stands.
                logger.warning("losers of round %d of %s wait for a sweep", cleared.round_no, market_id, exc_info=True)
        return cleared

    async def refund_unfilled(self, now: datetime | None = None) -> Swept:
        """Sweep all that is due: bids past their deadline, awards past their lease, losers (SET-6)."""
        swept = results.swept(await self.submit_one(verbs.refund_unfilled(now)))
        for _ in range(SWEEPS_MAX):
            if not swept.more_due:
                return swept
            more = results.swept(await self.submit_one(verbs.refund_unfilled(now)))
            swept = results.swept_together(swept, more)
        raise AssertionError("sweeps do not come to an end")

    async def place_bids(self, requests: Sequence[Request]) -> list[PlacedBid | Refused]:
        """Place many bids at once (`verbs.place_bid` makes each); one durable wait for all, one outcome for each."""
        verbs.check_bids(requests)
        replies = await self.submit([as_actor(request, self._actor) for request in requests])
        return [results.placed_or_refused(reply) for reply in replies]

    async def submit(self, requests: Sequence[Request], ack: Ack | None = None) -> list[Reply]:
        """The raw way: requests in the engine's own terms. Refusals are `Rejected` events, not exceptions."""
        for request in requests:
            verbs.check(request)
        return await self._node.submit_async(requests, ack or self._ack)

    async def submit_one(self, request: Request) -> Reply:
        """One request of a verb, as this exchange's actor."""
        return (await self._node.submit_async([as_actor(request, self._actor)], self._ack))[0]

    def wallet(self, account_id: str) -> Wallet:
        """A wallet, live: no wait, so nothing to await."""
        return self._node.read(reads.wallet(account_id))

    def get_order_book(self, market_id: str, rows_max: int = 100) -> OrderBook:
        """The best bids and first asks of a market, live: no wait, so nothing to await."""
        return self._node.read(reads.order_book(market_id, rows_max))
