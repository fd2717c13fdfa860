"""The exchange in this process, for asyncio: the same operations, awaited.

Rule of this file: the same as `exchange`. Applying a command and reading the live state take microseconds and happen in
the event loop; only waits for the journal and the tables are awaited, so thousands of agents can wait at once.
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
    """A running market, for asyncio. Made from an open `Exchange`, which must still be closed."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._node: Node = exchange.node
        self._actor = exchange.actor
        self._ack: Ack = exchange.ack

    def acting_as(self, actor: str) -> "AsyncExchange":
        """The same market, with this actor for every command."""
        return AsyncExchange(self._exchange.acting_as(actor))

    def acknowledging(self, ack: Ack) -> "AsyncExchange":
        """The same market with another `ack`. See `Exchange.acknowledging`."""
        return AsyncExchange(self._exchange.acknowledging(ack))

    @property
    def durable_seq(self) -> int:
        """The last durable row: everything up to it is in the journal."""
        return self._node.durable_seq

    def read(self, query: Callable[[State], T]) -> T:
        """Run a read-only query on the live state, at one moment. It must be short, and copy what it returns."""
        return self._node.read(query)

    async def perform(self, operation: Operation[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """Perform one operation with these arguments and return its result."""
        return await self.carry_out(operation.plan(*args, **kwargs))

    async def carry_out(self, plan: Plan[T]) -> T:
        """Carry out a plan and return its result."""
        result: T = await run_async(plan.steps, self._step) if isinstance(plan, Workflow) else await self._step(plan)
        return result

    async def place_bids(self, requests: Sequence[Request]) -> list[PlacedBid | Refused]:
        """Place up to 1,000 bids with one wait (`place_bid.request` makes each); one outcome for each.

        They are applied together, with no other command between them. So a longer list is refused, not split: call this
        several times.
        """
        return await self.carry_out(placed_together(requests))

    async def submit(self, requests: Sequence[Request], ack: Ack | None = None) -> list[Reply]:
        """Submit up to 1,000 raw requests, in the units of the engine. Refusals are `Rejected` events, not raised.

        The provider `~` of a slot, which operations use as a default, stands for the actor.
        """
        check_all(requests)
        named = [as_actor(request, None) for request in requests]
        return self._noted(await self._node.submit_async(named, ack or self._ack))

    async def submit_one(self, request: Request) -> Reply:
        """Submit one raw request as this exchange's actor."""
        check(request)
        return (await self._submit_as_actor([request]))[0]

    async def ask(self, question: StateQuery[T] | TableQuery[T]) -> T:
        """Answer a question that an operation has made."""
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
        """Make one change of plain tables, in a thread. Its name is `by`, else the actor, else this process."""
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
