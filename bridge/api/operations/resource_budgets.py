"""What may be spent on research on each artifact, and what was (BRG-3).

Rule of this file: the operations about these budgets, with what they return. What contradicts what is recorded is a
`Conflict` that says what is there instead.
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
from callmarket.bridge.api.contract.results import Page, accepted
from callmarket.bridge.api.errors import Conflict, Invalid
from callmarket.bridge.api.messages import Reply
from callmarket.bridge.api.operations.artifacts import detail, unknown_artifact
from callmarket.bridge.api.operations.commitments import ARTIFACT, BOUNTY, STAKE
from callmarket.bridge.api.operations.holds import binding_of
from callmarket.engine.commands import TokensPositive
from callmarket.engine.limits import TOKENS_MAX
from callmarket.persistence.stores import artifacts, resource_budgets
from callmarket.persistence.stores.resource_budgets import AllocationRow, BudgetRow, Spending

__all__ = ["AllocationDetail", "AllocationRow", "ResourceBudget", "ResourceBudgetDetail"]


class AllocationDetail(AllocationRow, frozen=True):
    """Tokens that work on an artifact has cost, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


class ResourceBudget(BudgetRow, frozen=True):
    """What may be spent on an artifact, with all parts of BRG-3; `left_llm_tokens` is the rest in a model's tokens."""

    llm_tokens_per_token: int
    left_llm_tokens: int


class ResourceBudgetDetail(ResourceBudget, frozen=True):
    """What may be spent on an artifact, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


@operation("GET", "/artifacts/{artifact_id}/budget", "Artifacts", "What research on it may cost")
def compute_resource_budget(artifact_id: PathName) -> TableQuery[ResourceBudgetDetail]:
    """The budget of an artifact, with all parts of its formula, and what is left of it (BRG-3).

    Raises `NotFound` if there is none of this id.
    """
    check_name("artifact_id", artifact_id)

    def answer(at: Tables) -> ResourceBudgetDetail:
        found = resource_budgets.budget(at.connection, at.shard_id, artifact_id)
        if found is None:
            raise unknown_artifact(artifact_id)
        budget = msgspec.structs.asdict(in_llm_tokens(found, at.llm_tokens_per_token))
        return ResourceBudgetDetail(**budget, seq=at.seq, durable_seq=at.durable_seq)

    return TableQuery(answer)


@operation("GET", "/resource-budgets", "Artifacts", "Rank budgets")
def get_resource_budget_rankings(
    artifact_type: Named | None = None, limit: Limit = 100
) -> TableQuery[Page[ResourceBudget]]:
    """The artifacts with most left to spend, of a type or of all, on one page; equals by id.

    One that nothing is committed to is not among them. Costs all open stakes and bounties.
    """
    if artifact_type is not None:
        check_name("artifact_type", artifact_type)
    check_limit(limit)

    def answer(at: Tables) -> Page[ResourceBudget]:
        rows = resource_budgets.rankings(at.connection, at.shard_id, artifact_type, limit)
        items = tuple(in_llm_tokens(row, at.llm_tokens_per_token) for row in rows)
        return Page(items, None, at.seq, at.durable_seq)

    return TableQuery(answer, SUMMING_UP)


@operation("GET", "/artifacts/{artifact_id}/spending", "Artifacts", "What research on it has cost")
def resource_allocations(
    artifact_id: PathName, *, limit: Limit = 100, after: After | None = None
) -> TableQuery[Page[AllocationRow]]:
    """What was spent on an artifact, the newest first, page after page. Raises `NotFound` if there is none."""
    check_name("artifact_id", artifact_id)
    check_limit(limit)
    before = number_below("resource_allocations", after)

    def answer(at: Tables) -> Page[AllocationRow]:
        if artifacts.artifact(at.connection, at.shard_id, artifact_id) is None:
            raise unknown_artifact(artifact_id)
        rows = resource_budgets.allocations_page(at.connection, at.shard_id, artifact_id, limit + 1, before)
        return page_of(rows, limit, "resource_allocations", lambda row: row.allocation_id, at)

    return TableQuery(answer, weight_of_page(limit))


@operation("POST", "/artifacts/{artifact_id}/spending", "Artifacts", "Record what work has cost", needs="operate")
def record_resource_spending(
    artifact_id: PathName,
    tokens: Annotated[TokensPositive, Meta(description="Whole tokens, at most what is left of the budget.")],
    reference_type: Annotated[Named, Meta(description="What kind of work it was, as `task`.")],
    reference_id: Annotated[Named, Meta(description="Which one; recorded once for each.")],
    impact: Impact | None = None,
) -> Workflow[AllocationDetail]:
    """Deduct what work on an artifact has cost from its budget, once for each reference.

    Beyond what is left it is a conflict; of two at once that would overspend together, one is. Who placed the stakes
    and bounties that gave the budget can end them when this is a week ago (HLD-8). Raises `NotFound` and `Conflict`.
    """
    spending = _spending(artifact_id, tokens, reference_type, reference_id, impact)

    def steps() -> Generator[Any, Any, AllocationDetail]:
        # Asked first, so that nobody's holds are bound for what is not spent.
        found: AllocationDetail | None = yield Change(lambda at: _recorded(spending, at), decides_by_tables=True)
        if found is not None:
            return found
        # Durable, so that nothing can be released after it; the tables, by which it is decided, have it by then.
        bindings = [binding_of(reason, ARTIFACT, artifact_id) for reason in (STAKE, BOUNTY)]
        bound: Sequence[Reply] = accepted((yield Submit(bindings, as_written=True)))
        # What was placed after them gives nothing.
        bound_seq = min(reply.seq for reply in bound)
        recorded: AllocationDetail = yield Change(lambda at: _record(spending, bound_seq, at), decides_by_tables=True)
        return recorded

    return Workflow(steps())


def in_llm_tokens(row: BudgetRow, llm_tokens_per_token: int) -> ResourceBudget:
    """A budget, and what is left of it at this exchange rate."""
    return ResourceBudget(
        **msgspec.structs.asdict(row),
        llm_tokens_per_token=llm_tokens_per_token,
        left_llm_tokens=row.left_tokens * llm_tokens_per_token,
    )


def _spending(
    artifact_id: str, tokens: int, reference_type: str, reference_id: str, impact: units.Number | None
) -> Spending:
    """A checked spending. Raises `Invalid`."""
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
    """What was recorded for a spending; None where it is new and there is budget for it. It changes nothing."""
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
    return detail(AllocationDetail, found, at)


class ResourceBudgets:
    """The operations about research budgets, as methods of a market."""

    compute_resource_budget = compute_resource_budget
    get_resource_budget_rankings = get_resource_budget_rankings
    resource_allocations = resource_allocations
    record_resource_spending = record_resource_spending
