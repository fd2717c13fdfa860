"""The market as the routes use it: one operation of one caller in, its result out.

Rule of this file: every change of the market goes through here, where `access` decides as which actor the caller may
make it. So no route can forget that check.
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
from callmarket.bridge.scheduler.clearing import ClearingScheduler, CycleStatus
from callmarket.bridge.scheduler.settings import cycle_of, set_cycle
from callmarket.bridge.server.fairness.reading import ReadMarket
from callmarket.bridge.server.fairness.shares import Share, Shares
from callmarket.bridge.server.problems import problem_of
from callmarket.bridge.server.requests.caller import Caller
from callmarket.engine.ids import NO_AWARD

T = TypeVar("T")

Scrape = Callable[[], Awaitable[tuple[bytes, str]]]
"""Returns the metrics of this process and their media type."""

# Live streams of one key. Each receives all rows, and may read the journal from its beginning.
STREAMS_PER_KEY_MAX: Final = 16
# Requests of one key that wait for an award, each on its own connection: enough for a fleet that shares a key.
WAITS_PER_KEY_MAX: Final = 1_024
# Weights, in units of the cheapest query: of a new stream; and of the metrics, a megabyte for a thousand markets.
STREAM_WEIGHT: Final = 10
METRICS_WEIGHT: Final = 10
# For the work of staff, which must not queue behind that of others.
_STAFF_THREADS: Final = 4


class Service:
    """The market, the keys and the metrics of this process, for every route."""

    def __init__(
        self,
        exchange: Exchange,
        authenticator: Authenticator,
        keyring: Keyring,
        calls: ClearingScheduler,
        scrape: Scrape,
    ) -> None:
        """Serve the market of this process to the holders of the keys in `keyring`."""
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
        """The result of an operation, carried out as the actor that the caller may be for it. Raises `Forbidden`."""
        if operation.needs:
            require(caller.principal, Scope(operation.needs))
        plan = operation.plan(**given)
        if not isinstance(plan, Workflow):
            return await self._step(caller, plan, ack)

        async def step(one: Step) -> Any:
            return await self._step(caller, one, ack)

        return await run_async(plan.steps, step)

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
        """The reply to one request, made as the actor that the caller may be for it. Raises `Forbidden`."""
        reply = (await self.node.submit_async([self._acting(caller, request)], ack))[0]
        caller.note(reply.seq, reply.durable_seq)
        return reply

    async def place_bids(self, caller: Caller, requests: Sequence[Request], ack: Ack) -> list[PlacedBid | Problem]:
        """The result of each bid, with one wait for all. Raises `Forbidden` if any is; then none is placed."""
        # The first was charged when the request was admitted.
        self.authenticator.charge(caller.principal, len(requests) - 1)
        replies = await self._submit_all(caller, requests, ack)
        outcomes = [placed_or_refused(reply) for reply in replies]
        durable_seq = replies[-1].durable_seq
        return [
            one if isinstance(one, PlacedBid) else problem_of(one, caller.request_id, durable_seq) for one in outcomes
        ]

    async def _awaited(self, caller: Caller, question: TableQuery[Any]) -> Any:
        """A page of awards; if there are none yet, as soon as there is one, or empty after `question.wait_s`.

        Raises `Unauthorized` if the caller's key ends while it waits. Each further look weighs one query; the rows,
        which are returned once, weigh as those of any page.
        """
        # The first look has paid for the rows. Plus one, for `weigh` deducts the one charged at admission.
        again = dataclasses.replace(question, weight=1 + ASKING)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + question.wait_s

        def leave(why: str) -> None:
            watch.finish(Unauthorized(why))

        # The watch begins before the first look, so that no award is missed in between.
        with (
            self._waits.one(caller.principal.key_id),
            self.node.feed.awards_of(question.bidder_id) as watch,
            self.long_requests.while_key_works(caller.principal, leave),
        ):
            seen_award_id = NO_AWARD
            caller.seen.note(watch.seq)
            page = await self.market.ask(question)
            while not question.is_there(page) and await watch.wait(seen_award_id, until_s - loop.time()):
                # That award may be of another market, or have ended already: then wait for the next one.
                seen_award_id = watch.latest_award_id
                # The award is durable, but may not be in the tables yet.
                caller.seen.note(watch.seq)
                page = await self.market.ask(again)
                if loop.time() >= until_s:
                    break
        return page

    def still_lets_in(self, caller: Caller) -> None:
        """Check the caller's key again, as receiving the body may have taken long. Raises `Unauthorized`."""
        caller.principal = self.keyring.present(caller.principal)

    async def subscribe(self, caller: Caller, wanted: Filter, after_seq: int | None) -> tuple[Subscription, Share]:
        """A live stream, and the key's share of streams, to be closed with it. Raises as `Feed.subscribe`.

        Also raises `TooManyRequests`, over the key's rate or with `STREAMS_PER_KEY_MAX` streams open.
        """
        self.authenticator.weigh(caller.principal, STREAM_WEIGHT)
        share = self._streams.one(caller.principal.key_id)
        try:
            return await self.node.feed.subscribe(wanted, after_seq), share
        except BaseException:
            share.close()
            raise

    async def metrics(self, caller: Caller) -> tuple[bytes, str]:
        """The metrics of this process, and their media type. Raises `TooManyRequests`."""
        self.authenticator.weigh(caller.principal, METRICS_WEIGHT)
        return await self.scrape()

    def bidder(self, caller: Caller) -> str:
        """The account that the caller bids for. Raises `Forbidden`, or `Invalid` if it has several and names none."""
        return acting_account(caller.principal, Scope.BID, caller.account)

    async def cycle(self, market_id: str) -> CycleStatus:
        """When a market is called, and the status of its schedule. Raises `NotFound`."""
        await self.market.market(market_id)
        try:
            return self._calls.status(market_id)
        except NotFound:
            # It has just been opened, so the scheduler does not know it yet.
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

        # The setting refers to the tables, which may not have a market that has just been opened.
        await self.node.tables_have(self.node.durable_seq)
        await self.in_thread(store)
        await self._calls.read_settings()
        return self._calls.status(market_id)

    def durable_seq(self) -> int | None:
        """The last durable row; None if this process does not lead."""
        try:
            return self.market.durable_seq
        except ExchangeError:
            return None

    def position(self) -> tuple[int, int]:
        """The last row that this process has applied, and the last durable one; a standby applies only durable rows."""
        applied_seq = self.node.applied_seq
        durable_seq = self.durable_seq()
        return applied_seq, applied_seq if durable_seq is None else durable_seq

    def close(self) -> None:
        """End its threads, once no request is served any more. Idempotent."""
        self._staff.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, ask: Callable[[], T]) -> T:
        """Run `ask`, which queries the database for staff, in a thread of its own pool, apart from other callers."""
        return await asyncio.wrap_future(self._staff.submit(ask))

    def _acting(self, caller: Caller, request: Request) -> Request:
        """The request with the actor that the caller may be for it. Its operation has checked the rest already."""
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
    """The caller as the author of a change, for the row that records it."""
    return f"key {caller.principal.key_id}"
