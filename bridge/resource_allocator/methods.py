"""The allocator's part of an exchange, for threads and for asyncio.

Rule of this file: it only joins, as `exchange` does. The exchange rate to a model's tokens is a setting of the process.
"""

from typing import TypeVar

from bridge.change import AsyncWrite, Change, Write
from bridge.node import Node
from bridge.questions import Durable
from bridge.read import AsyncRead, Read
from bridge.reads import Live
from bridge.resource_allocator import changes, questions
from bridge.resource_allocator.questions import ResourceBudget, ResourceBudgetDetail
from bridge.results import Page
from persistence.lease import this_process

T = TypeVar("T")


class Allocating:
    """What `Exchange` offers of it."""

    node: Node
    actor: str | None

    put_artifact = Write(changes.put_artifact)
    set_market_price = Write(changes.set_market_price)
    claim_bounty = Write(changes.claim_bounty)
    record_resource_spending = Write(changes.record_resource_spending)

    artifact = Read(questions.artifact)
    artifacts = Read(questions.artifacts)
    bounty = Read(questions.bounty)
    bounties = Read(questions.bounties)
    resource_allocations = Read(questions.resource_allocations)

    def compute_resource_budget(self, artifact_id: str) -> ResourceBudgetDetail:
        """What may be spent on an artifact (BRG-3). Raises `NotFound` if there is none of this id."""
        return self.node.ask(questions.compute_resource_budget(artifact_id, self.node.llm_tokens_per_token))

    def get_resource_budget_rankings(self, artifact_type: str | None = None, limit: int = 100) -> Page[ResourceBudget]:
        """The artifacts with most left to spend, of a type or of all, on one page; equals by id."""
        question = questions.get_resource_budget_rankings(artifact_type, limit, self.node.llm_tokens_per_token)
        return self.node.ask(question)

    def change(self, change: Change[T]) -> T:
        """The result of one change of plain tables, in the name of the actor or of this process."""
        return self.node.change(change, self.actor or this_process())


class AllocatingAsync:
    """What `AsyncExchange` offers of it."""

    _node: Node
    _actor: str | None

    put_artifact = AsyncWrite(changes.put_artifact)
    set_market_price = AsyncWrite(changes.set_market_price)
    claim_bounty = AsyncWrite(changes.claim_bounty)
    record_resource_spending = AsyncWrite(changes.record_resource_spending)

    artifact = AsyncRead(questions.artifact)
    artifacts = AsyncRead(questions.artifacts)
    bounty = AsyncRead(questions.bounty)
    bounties = AsyncRead(questions.bounties)
    resource_allocations = AsyncRead(questions.resource_allocations)

    async def compute_resource_budget(self, artifact_id: str) -> ResourceBudgetDetail:
        """What may be spent on an artifact (BRG-3). Raises `NotFound` if there is none of this id."""
        return await self.ask(questions.compute_resource_budget(artifact_id, self._node.llm_tokens_per_token))

    async def get_resource_budget_rankings(
        self, artifact_type: str | None = None, limit: int = 100
    ) -> Page[ResourceBudget]:
        """The artifacts with most left to spend, of a type or of all, on one page; equals by id."""
        question = questions.get_resource_budget_rankings(artifact_type, limit, self._node.llm_tokens_per_token)
        return await self.ask(question)

    async def change(self, change: Change[T], by: str = "") -> T:
        """The result of one change of plain tables, made in a thread, in the name of `by` or as `Exchange` does."""
        return await self._node.change_async(change, by or self._actor or this_process())

    async def ask(self, question: Live[T] | Durable[T]) -> T:
        """See `AsyncExchange.ask`."""
        raise NotImplementedError
