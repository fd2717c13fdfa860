"""Research budgets: what may be spent on each artifact, and what was spent (BRG-3).

Rule of this file: the operations on these budgets and their result types. A request that contradicts what is recorded
raises a `Conflict` that names what is recorded.
"""

from collections.abc import Generator, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from callmarket.bridge.api import units
from callmarket.bridge.api.checks import check_limit, check_name
from callmarket.bridge.api.contract.change import Change, WriteContext
from callmarket.bridge.api.contract.fields import After, Impact, Limit, Named, PathName
from callmarket.bridge.api.contract.operation import Submit, Workflow, operation
from callmarket.bridge.api.contract.pages import number_below, page_of
from callmarket.bridge.api.contract.queries import SUMMING_UP, TableQuery, Tables, weight_of_page
from callmarket.bridge.api.contract.results import Page, accepted, detail
from callmarket.bridge.api.errors import Conflict, Invalid
from callmarket.bridge.api.messages import Reply
from callmarket.bridge.api.operations.artifacts import unknown_artifact
from callmarket.bridge.api.operations.commitments import ARTIFACT, BOUNTY, STAKE
from callmarket.bridge.api.operations.holds import binding_of
from callmarket.engine.fields import TokensPositive
from callmarket.engine.limits import TOKENS_MAX
from callmarket.persistence.stores import artifacts, resource_budgets
from callmarket.persistence.stores.resource_budgets import AllocationRow, BudgetRow, Spending

__all__ = ["AllocationDetail", "AllocationRow", "ResourceBudget", "ResourceBudgetDetail"]


class AllocationDetail(AllocationRow, frozen=True):
    """A recorded spending on an artifact, read from the tables at `seq`."""

    seq: int
    durable_seq: int


class ResourceBudget(BudgetRow, frozen=True):
    """The budget of an artifact, with all terms of BRG-3. `left_llm_tokens` is `left_tokens` in tokens of a model."""

    llm_tokens_per_token: int
    left_llm_tokens: int


class ResourceBudgetDetail(ResourceBudget, frozen=True):
    """The budget of an artifact, read from the tables at `seq`."""

    seq: int
    durable_seq: int


@operation("GET", "/artifacts/{artifact_id}/budget", "Artifacts", "Get a research budget")
def compute_resource_budget(artifact_id: PathName) -> TableQuery[ResourceBudgetDetail]:
    """The research budget of an artifact, with all terms of its formula, and what is left of it (BRG-3).

    Raises `NotFound` if there is no such artifact.
    """
    check_name("artifact_id", artifact_id)

    def answer(at: Tables) -> ResourceBudgetDetail:
        found = resource_budgets.budget(at.connection, at.shard_id, artifact_id)
        if found is None:
            raise unknown_artifact(artifact_id)
        budget = in_llm_tokens(found, at.llm_tokens_per_token)
        return detail(ResourceBudgetDetail, budget, at.seq, at.durable_seq)

    return TableQuery(answer)


@operation("GET", "/resource-budgets", "Artifacts", "Rank research budgets")
def get_resource_budget_rankings(
    artifact_type: Named | None = None, limit: Limit = 100
) -> TableQuery[Page[ResourceBudget]]:
    """The artifacts with the most left to spend, of one type or of all, on one page; ties are in order of their ids.

    Artifacts without an open stake or bounty are left out. Cost: reads all open stakes and bounties.
    """
    if artifact_type is not None:
        check_name("artifact_type", artifact_type)
    check_limit(limit)

    def answer(at: Tables) -> Page[ResourceBudget]:
        rows = resource_budgets.rankings(at.connection, at.shard_id, artifact_type, limit)
        items = tuple(in_llm_tokens(row, at.llm_tokens_per_token) for row in rows)
        return Page(items, None, at.seq, at.durable_seq)

    return TableQuery(answer, SUMMING_UP)


@operation("GET", "/artifacts/{artifact_id}/spending", "Artifacts", "List research spending")
def resource_allocations(
    artifact_id: PathName, *, limit: Limit = 100, after: After | None = None
) -> TableQuery[Page[AllocationRow]]:
    """What was spent on an artifact, newest first, in pages. Raises `NotFound` if there is no such artifact."""
    check_name("artifact_id", artifact_id)
    check_limit(limit)
    before = number_below("resource_allocations", after)

    def answer(at: Tables) -> Page[AllocationRow]:
        if artifacts.artifact(at.connection, at.shard_id, artifact_id) is None:
            raise unknown_artifact(artifact_id)
        rows = resource_budgets.allocations_page(at.connection, at.shard_id, artifact_id, limit + 1, before)
        return page_of(rows, limit, "resource_allocations", lambda row: row.allocation_id, at)

    return TableQuery(answer, weight_of_page(limit))


@operation(
    "POST",
    "/artifacts/{artifact_id}/spending",
    "Artifacts",
    "Record research spending",
    needs="operate",
    example={"tokens": 20, "reference_type": "task", "reference_id": "task-1", "impact": 0.7},
)
def record_resource_spending(
    artifact_id: PathName,
    tokens: Annotated[TokensPositive, Meta(description="Whole tokens, up to what is left of the budget.")],
    reference_type: Annotated[Named, Meta(description="The kind of work, for example `task`.")],
    reference_id: Annotated[Named, Meta(description="The work; its spending is recorded once.")],
    impact: Impact | None = None,
) -> Workflow[AllocationDetail]:
    """Deduct the cost of work on an artifact from its budget, once for each reference. Needs the scope `operate`.

    The stakes and bounties that gave the budget are bound: for a week only the admin can end them (HLD-8). Idempotent
    for the same reference, tokens and impact. Raises `NotFound` if there is no such artifact, and `Conflict` if
    `tokens` exceeds what is left, or the reference is recorded with other values. Of concurrent requests that would
    overspend together, one raises `Conflict`.
    """
    spending = _spending(artifact_id, tokens, reference_type, reference_id, impact)

    def steps() -> Generator[Any, Any, AllocationDetail]:
        # Checked first, so that no holds are bound for a spending that is not recorded.
        found: AllocationDetail | None = yield Change(lambda at: _recorded(spending, at), decides_by_tables=True)
        if found is not None:
            return found
        # Durable: from here on only the admin can release these holds. The change below waits until the tables have
        # these rows.
        bindings = [binding_of(reason, ARTIFACT, artifact_id) for reason in (STAKE, BOUNTY)]
        bound: Sequence[Reply] = accepted((yield Submit(bindings, as_written=True)))
        # Holds that were placed after the binding give no budget to this spending.
        bound_seq = min(reply.seq for reply in bound)
        recorded: AllocationDetail = yield Change(lambda at: _record(spending, bound_seq, at), decides_by_tables=True)
        return recorded

    return Workflow(steps())


def in_llm_tokens(row: BudgetRow, llm_tokens_per_token: int) -> ResourceBudget:
    """A budget with its rest in tokens of a model, at this exchange rate."""
    return ResourceBudget(
        **msgspec.structs.asdict(row),
        llm_tokens_per_token=llm_tokens_per_token,
        left_llm_tokens=row.left_tokens * llm_tokens_per_token,
    )


def _spending(
    artifact_id: str, tokens: int, reference_type: str, reference_id: str, impact: units.Number | None
) -> Spending:
    """Check the arguments of a spending. Raises `Invalid`."""
    for field, name in (
        ("artifact_id", artifact_id),
        ("reference_type", reference_type),
        ("reference_id", reference_id),
    ):
        check_name(field, name)
    if type(tokens) is not int or not 1 <= tokens <= TOKENS_MAX:
        raise Invalid("tokens", tokens, f"whole tokens, 1 to {TOKENS_MAX}")
    impact_micros = None if impact is None else units.micros("impact", impact)
    return Spending(artifact_id, tokens, reference_type, reference_id, impact_micros)


def _recorded(spending: Spending, at: WriteContext) -> AllocationDetail | None:
    """The recorded spending of this reference; None if there is none and the budget suffices. Read-only."""
    found = resource_budgets.recorded(at.connection, at.shard_id, spending)
    if isinstance(found, int) and found >= spending.tokens:
        return None
    return _allocated(found, spending, at)


def _record(spending: Spending, bound_seq: int, at: WriteContext) -> AllocationDetail:
    found = resource_budgets.record(at.connection, at.shard_id, spending, at.by, bound_seq)
    return _allocated(found, spending, at)


def _allocated(found: AllocationRow | int | None, spending: Spending, at: WriteContext) -> AllocationDetail:
    if found is None:
        raise unknown_artifact(spending.artifact_id)
    if isinstance(found, int):
        raise Conflict("tokens", spending.tokens, f"at most {found}, what is left for {spending.artifact_id!r}")
    impact = None if found.impact is None else units.micros("impact", found.impact)
    if (found.tokens, impact) != (spending.tokens, spending.impact_micros):
        there = f"a reference that is not recorded yet: it is, with {found.tokens} tokens and impact {found.impact}"
        raise Conflict("reference_id", spending.reference_id, there)
    return detail(AllocationDetail, found, *at.positions())


class ResourceBudgets:
    """The operations on research budgets, as methods of a market."""

    compute_resource_budget = compute_resource_budget
    get_resource_budget_rankings = get_resource_budget_rankings
    resource_allocations = resource_allocations
    record_resource_spending = record_resource_spending
