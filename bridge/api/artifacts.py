"""What the tables answer about artifacts, bounties and budgets.

Rule of this file: that of `bridge.api.questions`: what is asked is checked here, before the database is.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar, get_args

import msgspec

from callmarket.bridge.api.errors import Invalid, NotFound
from callmarket.bridge.api.pages import cursor, name_after, number_after
from callmarket.bridge.api.questions import SUMMING_UP, Durable, weight_of_page
from callmarket.bridge.api.reads import check_limit, check_name
from callmarket.bridge.api.results import Page
from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence.database.reader_pool import Snapshot
from callmarket.persistence.stores import artifacts as artifact_rows
from callmarket.persistence.stores import resource_budgets as budget_rows
from callmarket.persistence.stores.artifacts import ArtifactRow, BountyRow, BountyStatus
from callmarket.persistence.stores.resource_budgets import AllocationRow, BudgetRow

__all__ = [
    "AllocationDetail",
    "AllocationRow",
    "ArtifactDetail",
    "ArtifactRow",
    "BountyDetail",
    "BountyRow",
    "BountyStatus",
    "ResourceBudget",
    "ResourceBudgetDetail",
    "artifact",
    "artifacts",
    "bounties",
    "bounty",
    "compute_resource_budget",
    "get_resource_budget_rankings",
    "in_llm_tokens",
    "resource_allocations",
]

R = TypeVar("R", bound=msgspec.Struct)


class ArtifactDetail(ArtifactRow, frozen=True):
    """An artifact, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


class BountyDetail(BountyRow, frozen=True):
    """A bounty and where it stands, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


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


def artifact(artifact_id: str) -> Durable[ArtifactDetail]:
    """An artifact. Raises `NotFound` if there is none of this id."""
    check_name("artifact_id", artifact_id)

    def answer(at: Snapshot, _: datetime) -> ArtifactDetail:
        found = artifact_rows.artifact(at.connection, at.shard_id, artifact_id)
        if found is None:
            raise unknown_artifact(artifact_id)
        return ArtifactDetail(**msgspec.structs.asdict(found), seq=at.seq, durable_seq=at.durable_seq)

    return Durable(answer)


def artifacts(
    artifact_type: str | None = None, *, limit: int = 100, after: str | None = None
) -> Durable[Page[ArtifactRow]]:
    """The artifacts of a type, or all, by id, page after page."""
    if artifact_type is not None:
        check_name("artifact_type", artifact_type)
    check_limit(limit)
    name = name_after("artifacts", after)

    def answer(at: Snapshot, _: datetime) -> Page[ArtifactRow]:
        rows = artifact_rows.artifacts_page(at.connection, at.shard_id, artifact_type, limit + 1, name)
        return _page(rows, limit, "artifacts", lambda row: row.artifact_id, at)

    return Durable(answer, weight_of_page(limit))


def bounty(bounty_id: str, account_id: str) -> Durable[BountyDetail]:
    """An account's bounty and where it stands. Raises `NotFound` if it has none of this id."""
    check_name("bounty_id", bounty_id)
    check_name("account_id", account_id)

    def answer(at: Snapshot, _: datetime) -> BountyDetail:
        found = artifact_rows.bounty(at.connection, at.shard_id, bounty_id, account_id)
        if found is None:
            raise unknown_bounty(bounty_id, account_id)
        return BountyDetail(**msgspec.structs.asdict(found), seq=at.seq, durable_seq=at.durable_seq)

    return Durable(answer)


def bounties(
    artifact_id: str | None = None,
    status: BountyStatus | None = None,
    *,
    limit: int = 100,
    after: str | None = None,
) -> Durable[Page[BountyRow]]:
    """The bounties for an artifact, or all, the newest first, page after page."""
    if artifact_id is not None:
        check_name("artifact_id", artifact_id)
    if status is not None and status not in get_args(BountyStatus):
        raise Invalid("status", status, f"one of {', '.join(get_args(BountyStatus))}")
    check_limit(limit)
    before = _before("bounties", after)

    def answer(at: Snapshot, _: datetime) -> Page[BountyRow]:
        rows = artifact_rows.bounties_page(at.connection, at.shard_id, artifact_id, status, limit + 1, before)
        return _page(rows, limit, "bounties", lambda row: row.posted_seq, at)

    return Durable(answer, weight_of_page(limit))


def compute_resource_budget(artifact_id: str, llm_tokens_per_token: int) -> Durable[ResourceBudgetDetail]:
    """What may be spent on an artifact (BRG-3). Raises `NotFound` if there is none of this id."""
    check_name("artifact_id", artifact_id)

    def answer(at: Snapshot, _: datetime) -> ResourceBudgetDetail:
        found = budget_rows.budget(at.connection, at.shard_id, artifact_id)
        if found is None:
            raise unknown_artifact(artifact_id)
        budget = msgspec.structs.asdict(in_llm_tokens(found, llm_tokens_per_token))
        return ResourceBudgetDetail(**budget, seq=at.seq, durable_seq=at.durable_seq)

    return Durable(answer)


def get_resource_budget_rankings(
    artifact_type: str | None, limit: int, llm_tokens_per_token: int
) -> Durable[Page[ResourceBudget]]:
    """The artifacts with most left to spend, of a type or of all, on one page; equals by id.

    One that nothing is committed to is not among them. Costs all open stakes and bounties.
    """
    check_ranking(artifact_type, limit)

    def answer(at: Snapshot, _: datetime) -> Page[ResourceBudget]:
        rows = budget_rows.rankings(at.connection, at.shard_id, artifact_type, limit)
        return Page(tuple(in_llm_tokens(row, llm_tokens_per_token) for row in rows), None, at.seq, at.durable_seq)

    return Durable(answer, SUMMING_UP)


def resource_allocations(
    artifact_id: str, *, limit: int = 100, after: str | None = None
) -> Durable[Page[AllocationRow]]:
    """What was spent on an artifact, the newest first, page after page. Raises `NotFound` if there is none."""
    check_name("artifact_id", artifact_id)
    check_limit(limit)
    before = _before("resource_allocations", after)

    def answer(at: Snapshot, _: datetime) -> Page[AllocationRow]:
        if artifact_rows.artifact(at.connection, at.shard_id, artifact_id) is None:
            raise unknown_artifact(artifact_id)
        rows = budget_rows.allocations_page(at.connection, at.shard_id, artifact_id, limit + 1, before)
        return _page(rows, limit, "resource_allocations", lambda row: row.allocation_id, at)

    return Durable(answer, weight_of_page(limit))


def check_ranking(artifact_type: str | None, limit: int) -> None:
    """Check what a ranking is asked with. Raises `Invalid`."""
    if artifact_type is not None:
        check_name("artifact_type", artifact_type)
    check_limit(limit)


def unknown_artifact(artifact_id: str) -> NotFound:
    """What to raise for an artifact that there is not."""
    return NotFound("artifact_id", artifact_id, "an artifact that was put")


def unknown_bounty(bounty_id: str, account_id: str) -> NotFound:
    """What to raise for a bounty that there is not."""
    return NotFound("bounty_id", bounty_id, f"a bounty of {account_id!r} that was posted")


def in_llm_tokens(row: BudgetRow, llm_tokens_per_token: int) -> ResourceBudget:
    """A budget, and what is left of it at this exchange rate."""
    return ResourceBudget(
        **msgspec.structs.asdict(row),
        llm_tokens_per_token=llm_tokens_per_token,
        left_llm_tokens=row.left_tokens * llm_tokens_per_token,
    )


def _before(kind: str, after: str | None) -> int:
    """The key that a page of the newest first begins below."""
    number = number_after(kind, after)
    return SEQ_MAX + 1 if number is None else number


def _page(rows: Sequence[R], limit: int, kind: str, key: Callable[[R], int | str], at: Snapshot) -> Page[R]:
    """A page of the first rows; one more was asked for, which tells whether there is a next one."""
    items = tuple(rows[:limit])
    return Page(items, cursor(kind, key(items[-1])) if len(rows) > limit else None, at.seq, at.durable_seq)
