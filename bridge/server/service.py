"""The market as the routes use it: one command of one caller in, its reply out.

Rule of this file: whatever changes the market goes through here, where `access` says as whom the caller may do it. So
no route can forget to ask.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final, TypeVar, assert_never

from callmarket.bridge.access.authenticator import Authenticator
from callmarket.bridge.access.authorize import acting_account, actor_of, own_provider
from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.access.long_requests import LongRequests
from callmarket.bridge.access.principal import Scope, require
from callmarket.bridge.api.contract.change import Change
from callmarket.bridge.api.contract.operation import Command, IsRetry, MayDo, Operation, Step, Submit, Workflow
from callmarket.bridge.api.contract.queries import ASKING, StateQuery, TableQuery
from callmarket.bridge.api.contract.requests import as_actor, check_actor, means_its_own, of_provider
from callmarket.bridge.api.contract.workflows import run_async
from callmarket.bridge.api.errors import ExchangeError, NotFound, Unauthorized
from callmarket.bridge.api.http.problem import Problem
from callmarket.bridge.api.messages import Ack, Reply, Request
from callmarket.bridge.api.operations.bids import PlacedBid, placed_or_refused
from callmarket.bridge.feed.filters import Filter
from callmarket.bridge.feed.subscription import Subscription
from callmarket.bridge.market import recall
from callmarket.bridge.market.exchange import Exchange
from callmarket.bridge.scheduler.clearing import ClearingScheduler as CycleCaller
from callmarket.bridge.scheduler.clearing import CycleStatus
from callmarket.bridge.scheduler.settings import cycle_of, set_cycle
from callmarket.bridge.server.fairness.reading import ReadMarket
from callmarket.bridge.server.fairness.shares import Share, Shares
from callmarket.bridge.server.problems import problem_of
from callmarket.bridge.server.requests.caller import Caller
from callmarket.engine.ids import NO_AWARD

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

    def __init__(
        self, exchange: Exchange, authenticator: Authenticator, keyring: Keyring, calls: CycleCaller, scrape: Scrape
    ) -> None:
        """Serve this market, of this process, to those who have these keys."""
        self.node: Final = exchange.node
        self.market: Final = ReadMarket(exchange, authenticator)
        self.authenticator: Final = authenticator
        self.keyring: Final = keyring
        self.long_requests: Final = LongRequests(keyring)
        self.scrape: Final = scrape
        self._calls: Final = calls
        self._streams: Final = Shares("streams", STREAMS_PER_KEY_MAX, retry_after_s=5.0)
        self._waits: Final = Shares("requests that wait for awards", WAITS_PER_KEY_MAX, retry_after_s=5.0)
        self._staff: Final = ThreadPoolExecutor(_STAFF_THREADS, thread_name_prefix="staff")

    async def carry_out(
        self, caller: Caller, operation: Operation[..., Any], given: Mapping[str, Any], ack: Ack = "durable"
    ) -> Any:
        """The result of an operation of the market, done as whoever the caller may be for it. Raises `Forbidden`."""
        if operation.needs:
            require(caller.principal, Scope(operation.needs))
        plan = operation.plan(**given)
        if isinstance(plan, Command):
            # Most of what is asked, and the market's own speed.
            return plan.read(await self.submit(caller, plan.request, ack))

        async def step(one: Step) -> Any:
            return await self._step(caller, one, ack)

        return await run_async(plan.steps, step) if isinstance(plan, Workflow) else await self._step(caller, plan, ack)

    async def _step(self, caller: Caller, step: Step, ack: Ack) -> Any:
        match step:
            case Command(request, read):
                return read(await self.submit(caller, request, ack))
            case StateQuery():
                return await self.market.ask(step)
            case TableQuery():
                return await (self._awaited(caller, step) if step.wait_s else self.market.ask(step))
            case Change():
                return await self.market.change(step, _name_of(caller))
            case Submit(requests, as_written):
                if as_written:
                    return await self.node.submit_async(requests, "durable")
                return await self._submit_all(caller, requests, ack)
            case IsRetry(request):
                return self.market.read(recall.is_retry(self._acting(caller, request)))
            case MayDo(request):
                self._acting(caller, request)
                return None
            case _ as never:
                assert_never(never)

    async def _submit_all(self, caller: Caller, requests: Sequence[Request], ack: Ack) -> list[Reply]:
        replies = await self.node.submit_async([self._acting(caller, request) for request in requests], ack)
        caller.note(replies[-1].seq, replies[-1].durable_seq)
        return replies

    async def submit(self, caller: Caller, request: Request, ack: Ack = "durable") -> Reply:
        """The reply to one request, made as whoever the caller may be for it. Raises `Forbidden`."""
        reply = (await self.node.submit_async([self._acting(caller, request)], ack))[0]
        caller.note(reply.seq, reply.durable_seq)
        return reply

    async def place_bids(self, caller: Caller, requests: Sequence[Request], ack: Ack) -> list[PlacedBid | Problem]:
        """The result of each bid, with one wait for all. Raises `Forbidden` if any of them is; then none is placed."""
        # One was counted at the door.
        self.authenticator.charge(caller.principal, len(requests) - 1)
        replies = await self._submit_all(caller, requests, ack)
        outcomes = [placed_or_refused(reply) for reply in replies]
        durable_seq = replies[-1].durable_seq
        return [
            one if isinstance(one, PlacedBid) else problem_of(one, caller.request_id, durable_seq) for one in outcomes
        ]

    async def _awaited(self, caller: Caller, question: TableQuery[Any]) -> Any:
        """Awards, where there is none yet as soon as there is one.

        Raises `Unauthorized` where the caller's key ends while it waits. Each look that finds none yet weighs as one
        question, and the rows, which are told once, as those of a page.
        """
        # The first look has paid for the rows. One more than it weighs, for the one that was counted at the door.
        again = dataclasses.replace(question, weight=1 + ASKING)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + question.wait_s

        def leave(why: str) -> None:
            watch.finish(Unauthorized(why))

        # Noticed before it is read, so that nothing falls between.
        with (
            self._waits.one(caller.principal.key_id),
            self.node.feed.awards_of(question.bidder_id) as watch,
            self.long_requests.while_key_works(caller.principal, leave),
        ):
            seen_award_id = NO_AWARD
            caller.seen.note(watch.seq)
            page = await self.market.ask(question)
            while not question.is_there(page) and await watch.wait(seen_award_id, until_s - loop.time()):
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
        self.authenticator.weigh(caller.principal, STREAM_WEIGHT)
        share = self._streams.one(caller.principal.key_id)
        try:
            return await self.node.feed.subscribe(wanted, after_seq), share
        except BaseException:
            share.close()
            raise

    async def metrics(self, caller: Caller) -> tuple[bytes, str]:
        """The metrics of this process, and what their format is called. Raises `TooManyRequests`."""
        self.authenticator.weigh(caller.principal, METRICS_WEIGHT)
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
        check_actor(actor)
        return as_actor(request, actor)


def _name_of(caller: Caller) -> str:
    """Who changed something, for the row that says so."""
    return f"key {caller.principal.key_id}"
