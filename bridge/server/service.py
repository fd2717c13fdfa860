"""The market as the routes use it: one command of one caller in, its reply out.

Rule of this file: whatever changes the market goes through here, where `access` says as whom the caller may do it. So
no route can forget to ask.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final, TypeVar

from callmarket.bridge.access.authorize import acting_account, actor_of, own_provider
from callmarket.bridge.access.door import Door
from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.access.principal import Scope, require
from callmarket.bridge.access.stays import Stays
from callmarket.bridge.api import artifact_changes as changes
from callmarket.bridge.api import questions, results, verbs
from callmarket.bridge.api.artifacts import AllocationDetail, BountyDetail
from callmarket.bridge.api.bodies import NewSpending
from callmarket.bridge.api.change import Change
from callmarket.bridge.api.errors import ExchangeError, Invalid, NotFound, Unauthorized
from callmarket.bridge.api.messages import Ack, Reply, Request
from callmarket.bridge.api.pages import Order
from callmarket.bridge.api.problem import Problem
from callmarket.bridge.api.questions import AwardRow, AwardStatus
from callmarket.bridge.api.results import Page, PlacedBid, Round, Swept
from callmarket.bridge.api.verb import as_actor, means_its_own, of_provider
from callmarket.bridge.feed.filters import Filter
from callmarket.bridge.feed.subscription import Subscription
from callmarket.bridge.market import recall
from callmarket.bridge.market.exchange import Exchange
from callmarket.bridge.scheduler.caller import Caller as CycleCaller
from callmarket.bridge.scheduler.caller import CycleStatus
from callmarket.bridge.scheduler.settings import cycle_of, set_cycle
from callmarket.bridge.server.caller import Caller
from callmarket.bridge.server.problems import problem_of
from callmarket.bridge.server.reading import ReadMarket
from callmarket.bridge.server.shares import Share, Shares

T = TypeVar("T")

Scrape = Callable[[], Awaitable[tuple[bytes, str]]]
"""The metrics of this process, and what their format is called."""

# Live streams of one key: each is handed what all others do, and may read the journal from its beginning.
STREAMS_PER_KEY_MAX: Final = 16
# Requests of one key that wait for an award, each on a connection of its own: a fleet that shares one.
WAITS_PER_KEY_MAX: Final = 1_024
# What streams cost when they begin; and the text of the metrics of a thousand markets, a megabyte.
STREAM_WEIGHT: Final = 10
METRICS_WEIGHT: Final = 10
# For what staff alone may do, which must not be behind others in a queue.
_STAFF_THREADS: Final = 4


class Service:
    """What every route is given."""

    def __init__(self, exchange: Exchange, door: Door, keyring: Keyring, calls: CycleCaller, scrape: Scrape) -> None:
        """Serve this market, of this process, to those who have these keys."""
        self.node: Final = exchange.node
        self.market: Final = ReadMarket(exchange, door)
        self.door: Final = door
        self.keyring: Final = keyring
        self.stays: Final = Stays(keyring)
        self.scrape: Final = scrape
        self._calls: Final = calls
        self._streams: Final = Shares("streams", STREAMS_PER_KEY_MAX, retry_after_s=5.0)
        self._waits: Final = Shares("requests that wait for awards", WAITS_PER_KEY_MAX, retry_after_s=5.0)
        self._staff: Final = ThreadPoolExecutor(_STAFF_THREADS, thread_name_prefix="staff")

    async def submit(self, caller: Caller, request: Request, ack: Ack = "durable") -> Reply:
        """The reply to one request of `verbs`, made as whoever the caller may be for it. Raises `Forbidden`."""
        reply = (await self.node.submit_async([self._acting(caller, request)], ack))[0]
        caller.note(reply.seq, reply.durable_seq)
        return reply

    def check_may(self, caller: Caller, request: Request) -> None:
        """Raise `Forbidden` as `submit` would, before anything is looked up for a request."""
        self._acting(caller, request)

    def is_retry(self, caller: Caller, request: Request) -> bool:
        """Whether the request's id was used before, so that only the engine has to be asked. Raises `Forbidden`."""
        return self.market.read(recall.is_retry(self._acting(caller, request)))

    async def place_bids(self, caller: Caller, requests: Sequence[Request], ack: Ack) -> list[PlacedBid | Problem]:
        """The result of each bid, with one wait for all. Raises `Forbidden` if any of them is; then none is placed."""
        # One was counted at the door.
        self.door.charge(caller.principal, len(requests) - 1)
        replies = await self.node.submit_async([self._acting(caller, request) for request in requests], ack)
        caller.note(replies[-1].seq, replies[-1].durable_seq)
        outcomes = [results.placed_or_refused(reply) for reply in replies]
        durable_seq = replies[-1].durable_seq
        return [
            one if isinstance(one, PlacedBid) else problem_of(one, caller.request_id, durable_seq) for one in outcomes
        ]

    async def clear_round(self, caller: Caller, market_id: str, now: datetime | None, ack: Ack = "durable") -> Round:
        """Call a market, and release its losers. Raises `Forbidden`."""
        actor = self._acting(caller, verbs.clear_round(market_id, now)).actor
        cleared = (
            await self.market.acting_as(actor)
            .acknowledging(ack)
            .clear_round(market_id, now, command_id=caller.command_id)
        )
        caller.note(cleared.stamp.seq, cleared.stamp.durable_seq)
        return cleared

    async def refund_unfilled(self, caller: Caller, now: datetime | None, ack: Ack = "durable") -> Swept:
        """Sweep all that is due. Raises `Forbidden`."""
        actor = self._acting(caller, verbs.refund_unfilled(now)).actor
        swept = await self.market.acting_as(actor).acknowledging(ack).refund_unfilled(now, command_id=caller.command_id)
        caller.note(swept.stamp.seq, swept.stamp.durable_seq)
        return swept

    async def awards(
        self,
        caller: Caller,
        market_id: str | None,
        bidder_id: str | None,
        status: AwardStatus | None,
        *,
        since: datetime | None,
        limit: int,
        after: str | None,
        order: Order,
        wait_s: float,
    ) -> Page[AwardRow]:
        """Awards; with `wait_s`, where there is none yet, as soon as there is one.

        Raises `Invalid`; `Unauthorized` where the caller's key ends while it waits. Each look that finds none yet
        weighs as one question, and the rows, which are told once, as those of a page.
        """
        question = questions.awards(market_id, bidder_id, status, since=since, limit=limit, after=after, order=order)
        if not wait_s:
            return await self.market.ask(question)
        # The first look has paid for the rows. One more than it weighs, for the one that was counted at the door.
        again = dataclasses.replace(question, weight=1 + questions.ASKING)
        if not bidder_id:
            raise Invalid("bidder_id", "", "the account whose awards are waited for")
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s

        def leave(why: str) -> None:
            watch.finish(Unauthorized(why))

        # Noticed before it is read, so that nothing falls between.
        with (
            self._waits.one(caller.principal.key_id),
            self.node.feed.awards_of(bidder_id) as watch,
            self.stays.stay(caller.principal, leave),
        ):
            seen_award_id = 0
            caller.seen.note(watch.seq)
            page = await self.market.ask(question)
            while not page.items and await watch.wait(seen_award_id, until_s - loop.time()):
                # It may be another market's, or have ended in another way: then the next one is waited for.
                seen_award_id = watch.latest_award_id
                # What is durable, and was noticed, may not be in the tables yet.
                caller.seen.note(watch.seq)
                page = await self.market.ask(again)
                if loop.time() >= until_s:
                    break
        return page

    def still_lets_in(self, caller: Caller) -> None:
        """Look at the caller's key once more: its body may have been long on its way. Raises `Unauthorized`."""
        caller.principal = self.keyring.present(caller.principal)

    async def subscribe(self, caller: Caller, wanted: Filter, after_seq: int | None) -> tuple[Subscription, Share]:
        """A live stream, and the key's share in them, which is to be closed with it. Raises as `Feed.subscribe`."""
        self.door.weigh(caller.principal, STREAM_WEIGHT)
        share = self._streams.one(caller.principal.key_id)
        try:
            return await self.node.feed.subscribe(wanted, after_seq), share
        except BaseException:
            share.close()
            raise

    async def metrics(self, caller: Caller) -> tuple[bytes, str]:
        """The metrics of this process, and what their format is called. Raises `TooManyRequests`."""
        self.door.weigh(caller.principal, METRICS_WEIGHT)
        return await self.scrape()

    def bidder(self, caller: Caller) -> str:
        """The account that the caller bids with. Raises `Forbidden`, or `Invalid` where there is no telling which."""
        return acting_account(caller.principal, Scope.BID, caller.account)

    async def cycle(self, market_id: str) -> CycleStatus:
        """When a market is called, and how that goes. Raises `NotFound`."""
        await self.market.market(market_id)
        try:
            return self._calls.status(market_id)
        except NotFound:
            # It has just been opened.
            await self.node.tables_have(self.node.durable_seq)
            await self._calls.read_settings()
            return self._calls.status(market_id)

    async def set_cycle(self, caller: Caller, market_id: str, mode: str, period: timedelta | None) -> CycleStatus:
        """Set when a market is called. Raises `Forbidden`, `Invalid` or `NotFound`."""
        require(caller.principal, Scope.OPERATE)
        cycle = cycle_of(mode, period)

        def store() -> None:
            with self.node.connect() as connection:
                set_cycle(connection, self.node.shard_id, market_id, cycle, _name_of(caller))

        # A market that has just been opened is one.
        await self.node.tables_have(self.node.durable_seq)
        await self.in_thread(store)
        await self._calls.read_settings()
        return self._calls.status(market_id)

    async def change(self, caller: Caller, scope: Scope, change: Change[T]) -> T:
        """The result of a change of plain tables, which takes this scope. Raises `Forbidden`."""
        require(caller.principal, scope)
        return await self.market.change(change, _name_of(caller))

    async def record_spending(self, caller: Caller, artifact_id: str, cost: NewSpending) -> AllocationDetail:
        """Record what work on an artifact has cost. Raises `Forbidden`, `Invalid`, `NotFound` or `Conflict`."""
        require(caller.principal, Scope.OPERATE)
        spending = changes.spending_of(artifact_id, cost.tokens, cost.reference_type, cost.reference_id, cost.impact)
        return await self.market.record_spending(spending, _name_of(caller))

    async def claim_bounty(self, caller: Caller, bounty_id: str, account_id: str) -> BountyDetail:
        """Let the caller's account work for an account's bounty. Raises `Forbidden`, `NotFound` or `Conflict`."""
        claim = changes.claim_bounty(bounty_id, account_id, self.bidder(caller))
        return await self.market.change(claim, _name_of(caller))

    def durable_seq(self) -> int | None:
        """How far history is durable; None where this process does not lead."""
        try:
            return self.market.durable_seq
        except ExchangeError:
            return None

    def position(self) -> tuple[int, int]:
        """The last row that this process has applied, and how far history is durable. A standby applies what is."""
        applied_seq = self.node.applied_seq
        durable_seq = self.durable_seq()
        return applied_seq, applied_seq if durable_seq is None else durable_seq

    def close(self) -> None:
        """Let its threads end, once nobody is served any more. Again: nothing."""
        self._staff.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, ask: Callable[[], T]) -> T:
        """What staff asks of the database, without keeping others waiting, or waiting for them."""
        return await asyncio.wrap_future(self._staff.submit(ask))

    def _acting(self, caller: Caller, request: Request) -> Request:
        """The request as that actor. Its verb has checked the rest of it already."""
        principal, account = caller.principal, caller.account
        if means_its_own(request):
            account = own_provider(principal, request.command, account)
            request = of_provider(request, account)
        actor = actor_of(principal, request.command, account, self.market.read, request.command_id)
        if actor == request.actor:
            return request
        verbs.check_actor(actor)
        return as_actor(request, actor)


def _name_of(caller: Caller) -> str:
    """Who changed something, for the row that says so."""
    return f"key {caller.principal.key_id}"
