"""The exchange in this process, for asyncio: the same operations, awaited.

Rule of this file: as `exchange`. Applying a command and reading the live state take microseconds and happen in the
loop; only the journal and the tables are waited for, so thousands of agents can wait at once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, assert_never

from callmarket.bridge.api.contract.change import Change
from callmarket.bridge.api.contract.operation import Command, IsRetry, MayDo, Operation, Plan, Step, Submit, Workflow
from callmarket.bridge.api.contract.queries import StateQuery, TableQuery
from callmarket.bridge.api.contract.requests import as_actor, check, check_all
from callmarket.bridge.api.contract.workflows import run_async
from callmarket.bridge.api.errors import Refused
from callmarket.bridge.api.market import AsyncMarket
from callmarket.bridge.api.messages import Ack, Reply, Request
from callmarket.bridge.api.operations.bids import PlacedBid, placed_together
from callmarket.bridge.market import recall
from callmarket.bridge.market.exchange import LOOK_S, Exchange
from callmarket.bridge.market.node import Node
from callmarket.engine.state import State
from callmarket.persistence.journal.lease import this_process

T = TypeVar("T")


class AsyncExchange(AsyncMarket):
    """A running market, for asyncio. Made from an open `Exchange`, which is closed as usual."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._node: Node = exchange.node
        self._actor = exchange.actor
        self._ack: Ack = exchange.ack

    def acting_as(self, actor: str) -> "AsyncExchange":
        """The same market, with every command given by this actor."""
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

    async def perform(self, operation: Operation[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """The result of one operation with these arguments."""
        return await self.carry_out(operation.plan(*args, **kwargs))

    async def carry_out(self, plan: Plan[T]) -> T:
        """The result of a plan."""
        result: T = await run_async(plan.steps, self._step) if isinstance(plan, Workflow) else await self._step(plan)
        return result

    async def place_bids(self, requests: Sequence[Request]) -> list[PlacedBid | Refused]:
        """Place many bids at once (`place_bid.request` makes each), 1,000 at most; one outcome for each, one wait.

        They are applied together, with nothing of others between them, so more are several calls and never split here.
        """
        return await self.carry_out(placed_together(requests))

    async def submit(self, requests: Sequence[Request], ack: Ack | None = None) -> list[Reply]:
        """The raw way: 1,000 requests at most in the engine's own terms. Refusals are `Rejected` events, not raised.

        Of a slot whose provider is `~`, as operations write it where none is named, the actor's own is meant.
        """
        check_all(requests)
        named = [as_actor(request, None) for request in requests]
        return self._noted(await self._node.submit_async(named, ack or self._ack))

    async def submit_one(self, request: Request) -> Reply:
        """One request, as this exchange's actor: the raw way too."""
        check(request)
        return (await self._submit_as_actor([request]))[0]

    async def ask(self, question: StateQuery[T] | TableQuery[T]) -> T:
        """The answer of one question, as the operations make them."""
        if not isinstance(question, TableQuery) or not question.wait_s:
            return await self._node.ask_async(question, self._exchange.seen)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + question.wait_s
        while True:
            answer = await self._node.ask_async(question, self._exchange.seen)
            left_s = until_s - loop.time()
            if question.is_there(answer) or left_s <= 0:
                return answer
            await asyncio.sleep(min(LOOK_S, left_s))

    async def change(self, change: Change[T], by: str = "") -> T:
        """The result of one change of plain tables, made in a thread, in the name of `by` or as `Exchange` does."""
        return await self._node.change_async(change, by or self._actor or this_process())

    async def _step(self, step: Step) -> Any:
        match step:
            case Command(request, read):
                return read((await self._submit_as_actor([request]))[0])
            case StateQuery() | TableQuery():
                return await self.ask(step)
            case Change():
                return await self.change(step)
            case Submit(requests, as_written):
                if as_written:
                    return await self._node.submit_async(requests, "durable")
                return await self._submit_as_actor(requests)
            case IsRetry(request):
                return self.read(recall.is_retry(as_actor(request, self._actor)))
            case MayDo():
                return None
            case _ as never:
                assert_never(never)

    async def _submit_as_actor(self, requests: Sequence[Request]) -> list[Reply]:
        acting = [as_actor(request, self._actor) for request in requests]
        return self._noted(await self._node.submit_async(acting, self._ack))

    def _noted(self, replies: list[Reply]) -> list[Reply]:
        self._exchange.seen.note_all(replies)
        return replies
