"""The allocator's part of an exchange, for threads and for asyncio.

Rule of this file: it only joins, as `exchange` does. The exchange rate to a model's tokens is a setting of the process.
"""

from typing import TypeVar

from callmarket.bridge.api import artifact_changes as changes
from callmarket.bridge.api import artifacts as questions
from callmarket.bridge.api.artifacts import AllocationDetail, ResourceBudget, ResourceBudgetDetail
from callmarket.bridge.api.change import AsyncWrite, Change, Write
from callmarket.bridge.api.questions import Durable
from callmarket.bridge.api.read import AsyncRead, Read
from callmarket.bridge.api.reads import Live
from callmarket.bridge.api.results import Page, accepted
from callmarket.bridge.api.units import Number
from callmarket.bridge.market.node import Node
from callmarket.persistence.journal.lease import this_process
from callmarket.persistence.stores.resource_budgets import Spending

T = TypeVar("T")


class Allocating:
    """What `Exchange` offers of it."""

    node: Node
    actor: str | None

    put_artifact = Write(changes.put_artifact)
    set_market_price = Write(changes.set_market_price)
    claim_bounty = Write(changes.claim_bounty)

    artifact = Read(questions.artifact)
    artifacts = Read(questions.artifacts)
    bounty = Read(questions.bounty)
    bounties = Read(questions.bounties)
    resource_allocations = Read(questions.resource_allocations)

    def compute_resource_budget(self, artifact_id: str) -> ResourceBudgetDetail:
        """What may be spent on an artifact (BRG-3). Raises `NotFound` if there is none of this id."""
        return self.ask(questions.compute_resource_budget(artifact_id, self.node.llm_tokens_per_token))

    def get_resource_budget_rankings(self, artifact_type: str | None = None, limit: int = 100) -> Page[ResourceBudget]:
        """The artifacts with most left to spend, of a type or of all, on one page; equals by id."""
        question = questions.get_resource_budget_rankings(artifact_type, limit, self.node.llm_tokens_per_token)
        return self.ask(question)

    def record_resource_spending(
        self, artifact_id: str, tokens: int, reference_type: str, reference_id: str, impact: Number | None = None
    ) -> AllocationDetail:
        """Deduct what work on an artifact has cost from its budget, once for each reference.

        What gave the budget is bound for a week (HLD-8). Raises `NotFound`, and `Conflict` beyond the budget.
        """
        spending = changes.spending_of(artifact_id, tokens, reference_type, reference_id, impact)
        found = self.change(changes.recorded_spending(spending))
        if found is not None:
            return found
        # Durable, so that nothing can be released after it; the tables, by which it is decided, have it by then.
        bound = accepted(self.node.submit(changes.bindings_of(artifact_id), "durable"))
        return self.change(changes.record_spending(spending, bound))

    def change(self, change: Change[T]) -> T:
        """The result of one change of plain tables, in the name of the actor or of this process."""
        return self.node.change(change, self.actor or this_process())

    def ask(self, question: Live[T] | Durable[T]) -> T:
        """See `Exchange.ask`."""
        raise NotImplementedError


class AllocatingAsync:
    """What `AsyncExchange` offers of it."""

    _node: Node
    _actor: str | None

    put_artifact = AsyncWrite(changes.put_artifact)
    set_market_price = AsyncWrite(changes.set_market_price)
    claim_bounty = AsyncWrite(changes.claim_bounty)

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

    async def record_resource_spending(
        self, artifact_id: str, tokens: int, reference_type: str, reference_id: str, impact: Number | None = None
    ) -> AllocationDetail:
        """Deduct what work on an artifact has cost from its budget, once for each reference.

        What gave the budget is bound for a week (HLD-8). Raises `NotFound`, and `Conflict` beyond the budget.
        """
        return await self.record_spending(
            changes.spending_of(artifact_id, tokens, reference_type, reference_id, impact)
        )

    async def record_spending(self, spending: Spending, by: str = "") -> AllocationDetail:
        """Record a checked spending, in the name of `by` or as `Exchange` does."""
        found = await self.change(changes.recorded_spending(spending), by)
        if found is not None:
            return found
        bound = accepted(await self._node.submit_async(changes.bindings_of(spending.artifact_id), "durable"))
        return await self.change(changes.record_spending(spending, bound), by)

    async def change(self, change: Change[T], by: str = "") -> T:
        """The result of one change of plain tables, made in a thread, in the name of `by` or as `Exchange` does."""
        return await self._node.change_async(change, by or self._actor or this_process())

    async def ask(self, question: Live[T] | Durable[T]) -> T:
        """See `AsyncExchange.ask`."""
        raise NotImplementedError
