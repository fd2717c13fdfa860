"""The exchange in this process, for asyncio: the same verbs and reads, awaited.

Rule of this file: as `exchange`. Applying a command and reading the live state take microseconds and happen in the
loop; only the journal and the tables are waited for, so thousands of agents can wait at once.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from callmarket.bridge.api import conversations, figures, hold_questions, questions, reads, results, verbs
from callmarket.bridge.api.conversations import hold_async
from callmarket.bridge.api.errors import Refused
from callmarket.bridge.api.messages import Ack, Reply, Request
from callmarket.bridge.api.quest_budgets import get_quest_budgets
from callmarket.bridge.api.questions import Durable
from callmarket.bridge.api.read import AsyncRead
from callmarket.bridge.api.reads import Live
from callmarket.bridge.api.results import PlacedBid, Round, Swept
from callmarket.bridge.api.verb import AsyncVerb, as_actor
from callmarket.bridge.market.artifact_methods import AllocatingAsync
from callmarket.bridge.market.exchange import Exchange
from callmarket.bridge.market.node import Node
from callmarket.engine.state import State

T = TypeVar("T")


class AsyncExchange(AllocatingAsync):
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
    place_hold = AsyncVerb(verbs.place_hold, results.placed_hold)
    capture_hold = AsyncVerb(verbs.capture_hold, results.captured_hold)
    release_hold = AsyncVerb(verbs.release_hold, results.released_hold)

    wallet = AsyncRead(reads.wallet)
    get_order_book = AsyncRead(reads.get_order_book)
    quote = AsyncRead(reads.quote)
    markets = AsyncRead(reads.markets)
    market = AsyncRead(reads.market)
    slots = AsyncRead(questions.slots)
    bid = AsyncRead(questions.bid)
    bids = AsyncRead(questions.bids)
    get_rounds = AsyncRead(questions.get_rounds)
    awards = AsyncRead(questions.awards)
    wallets = AsyncRead(questions.wallets)
    statement = AsyncRead(questions.statement)
    earnings = AsyncRead(questions.earnings)
    hold = AsyncRead(hold_questions.hold)
    holds = AsyncRead(hold_questions.holds)
    get_recent_stats = AsyncRead(figures.get_recent_stats)
    get_candles = AsyncRead(figures.get_candles)
    get_quest_budgets = AsyncRead(get_quest_budgets)
    why = AsyncRead(questions.why)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._node: Node = exchange.node
        self._actor = exchange.actor
        self._ack: Ack = exchange.ack

    def acting_as(self, actor: str) -> "AsyncExchange":
        """The same market, with every verb done by this actor."""
        return AsyncExchange(self._exchange.acting_as(actor))

    def acknowledging(self, ack: Ack) -> "AsyncExchange":
        """The same market, with replies as `Exchange.acknowledging` says."""
        return AsyncExchange(self._exchange.acknowledging(ack))

    @property
    def durable_seq(self) -> int:
        """Everything up to here is in the journal."""
        return self._node.durable_seq

    def read(self, query: Callable[[State], T]) -> T:
        """The answer of a read-only query on the live state, at one moment. It must be short and copy what it gives."""
        return self._node.read(query)

    async def clear_round(self, market_id: str, now: datetime | None = None, *, command_id: str = "") -> Round:
        """Call a market; then release all losers, in bounded sweeps that let others in between (BID-4)."""
        return await hold_async(conversations.clear_round(market_id, now, command_id), self._submit_as_actor)

    async def refund_unfilled(self, now: datetime | None = None, *, command_id: str = "") -> Swept:
        """Sweep all that is due: losers, awards past their lease, bids and named holds past their deadline (SET-6)."""
        return await hold_async(conversations.refund_unfilled(now, command_id), self._submit_as_actor)

    async def place_bids(self, requests: Sequence[Request]) -> list[PlacedBid | Refused]:
        """Place many bids at once (`verbs.place_bid` makes each), 1,000 at most; one outcome for each, one wait.

        They are applied together, with nothing of others between them, so more are several calls and never split here.
        """
        return await hold_async(conversations.place_bids(requests), self._submit_as_actor)

    async def submit(self, requests: Sequence[Request], ack: Ack | None = None) -> list[Reply]:
        """The raw way: 1,000 requests at most in the engine's own terms. Refusals are `Rejected` events, not raised.

        Of a slot whose provider is `~`, as the verbs write it where none is named, the actor's own is meant.
        """
        verbs.check_all(requests)
        named = [as_actor(request, None) for request in requests]
        return self._noted(await self._node.submit_async(named, ack or self._ack))

    async def submit_one(self, request: Request) -> Reply:
        """One request, as this exchange's actor: the raw way too."""
        verbs.check(request)
        return await self.submit_checked(request)

    async def submit_checked(self, request: Request) -> Reply:
        """See `SubmittingAsync`. For verbs alone: what is wrong with a request is not looked for again."""
        return (await self._submit_as_actor([request]))[0]

    async def ask(self, question: Live[T] | Durable[T]) -> T:
        """The answer of one question of `reads` or `questions`."""
        return await self._node.ask_async(question, self._exchange.seen)

    async def _submit_as_actor(self, requests: Sequence[Request]) -> list[Reply]:
        acting = [as_actor(request, self._actor) for request in requests]
        return self._noted(await self._node.submit_async(acting, self._ack))

    def _noted(self, replies: list[Reply]) -> list[Reply]:
        self._exchange.seen.note_all(replies)
        return replies


if TYPE_CHECKING:
    from callmarket.bridge.api.async_market_api import AsyncMarketApi

    def _is_one(exchange: AsyncExchange) -> AsyncMarketApi:
        """It has all that every way to a market offers."""
        return exchange
