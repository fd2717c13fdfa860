"""The allocator's part of the clients: artifacts, bounties and budgets over HTTP.

Rule of this file: pure but for the names of changes, which say that an attempt may have arrived; a change is made once
however often it is sent, so the service needs none.
"""

import uuid
from typing import TypeVar

import msgspec
from msgspec import Struct

from callmarket.bridge.api import artifact_changes as changes
from callmarket.bridge.api import artifacts as questions
from callmarket.bridge.api import bodies
from callmarket.bridge.api.artifacts import (
    AllocationDetail,
    AllocationRow,
    ArtifactDetail,
    ArtifactRow,
    BountyDetail,
    BountyRow,
    BountyStatus,
    ResourceBudget,
    ResourceBudgetDetail,
)
from callmarket.bridge.api.results import Page
from callmarket.bridge.api.units import Number
from callmarket.bridge.client.call import Call, get, path, reader
from callmarket.bridge.client.methods import Asked, AsyncAsked

T = TypeVar("T")


def put_artifact(artifact_id: str, artifact_type: str, title: str = "") -> Call[ArtifactDetail]:
    """Add an artifact, priced at 0.5 until somebody prices it; or change its type and title."""
    changes.put_artifact(artifact_id, artifact_type, title)
    body = bodies.ArtifactSetting(artifact_type=artifact_type, title=title)
    return _change("PUT", path("artifacts", ("artifact_id", artifact_id)), ArtifactDetail, body)


def set_market_price(artifact_id: str, market_price: Number) -> Call[ArtifactDetail]:
    """Say what an artifact is worth, from 0 to 1, kept to six decimal places. Raises `NotFound`."""
    changes.set_market_price(artifact_id, market_price)
    body = bodies.PriceSetting(market_price=float(market_price))
    return _change("PUT", path("artifacts", ("artifact_id", artifact_id), "price"), ArtifactDetail, body)


def artifact(artifact_id: str) -> Call[ArtifactDetail]:
    """An artifact. Raises `NotFound` if there is none of this id."""
    questions.artifact(artifact_id)
    return get(path("artifacts", ("artifact_id", artifact_id)), ArtifactDetail)


def artifacts(
    artifact_type: str | None = None, *, limit: int = 100, after: str | None = None
) -> Call[Page[ArtifactRow]]:
    """The artifacts of a type, or all, by id, page after page."""
    questions.artifacts(artifact_type, limit=limit, after=after)
    return get(path("artifacts"), Page[ArtifactRow], artifact_type=artifact_type, limit=limit, after=after)


def claim_bounty(bounty_id: str, account_id: str, claimant_id: str) -> Call[BountyDetail]:
    """Say that `claimant_id` works for the bounty of an account, so that no other does.

    Raises `NotFound` or `Conflict`.
    """
    changes.claim_bounty(bounty_id, account_id, claimant_id)
    where = path("bounties", ("account_id", account_id), ("bounty_id", bounty_id), "claim")
    return _change("POST", where, BountyDetail, account=claimant_id)


def bounty(bounty_id: str, account_id: str) -> Call[BountyDetail]:
    """An account's bounty and where it stands. Raises `NotFound` if it has none of this id."""
    questions.bounty(bounty_id, account_id)
    return get(path("bounties", ("account_id", account_id), ("bounty_id", bounty_id)), BountyDetail)


def bounties(
    artifact_id: str | None = None,
    status: BountyStatus | None = None,
    *,
    limit: int = 100,
    after: str | None = None,
) -> Call[Page[BountyRow]]:
    """The bounties for an artifact, or all, the newest first, page after page."""
    questions.bounties(artifact_id, status, limit=limit, after=after)
    return get(path("bounties"), Page[BountyRow], artifact_id=artifact_id, status=status, limit=limit, after=after)


def compute_resource_budget(artifact_id: str) -> Call[ResourceBudgetDetail]:
    """What may be spent on an artifact (BRG-3). Raises `NotFound` if there is none of this id."""
    questions.artifact(artifact_id)
    return get(path("artifacts", ("artifact_id", artifact_id), "budget"), ResourceBudgetDetail)


def get_resource_budget_rankings(artifact_type: str | None = None, limit: int = 100) -> Call[Page[ResourceBudget]]:
    """The artifacts with most left to spend, of a type or of all, on one page; equals by id."""
    questions.check_ranking(artifact_type, limit)
    return get(path("resource-budgets"), Page[ResourceBudget], artifact_type=artifact_type, limit=limit)


def record_resource_spending(
    artifact_id: str, tokens: int, reference_type: str, reference_id: str, impact: Number | None = None
) -> Call[AllocationDetail]:
    """Deduct what work on an artifact has cost from its budget, once for each reference. Raises `Conflict`."""
    changes.spending_of(artifact_id, tokens, reference_type, reference_id, impact)
    body = bodies.NewSpending(
        tokens=tokens,
        reference_type=reference_type,
        reference_id=reference_id,
        impact=None if impact is None else float(impact),
    )
    return _change("POST", path("artifacts", ("artifact_id", artifact_id), "spending"), AllocationDetail, body)


def resource_allocations(artifact_id: str, *, limit: int = 100, after: str | None = None) -> Call[Page[AllocationRow]]:
    """What was spent on an artifact, the newest first, page after page. Raises `NotFound` if there is none."""
    questions.resource_allocations(artifact_id, limit=limit, after=after)
    where = path("artifacts", ("artifact_id", artifact_id), "spending")
    return get(where, Page[AllocationRow], limit=limit, after=after)


def _change(method: str, where: str, kind: type[T], body: Struct | None = None, *, account: str = "") -> Call[T]:
    content = None if body is None else msgspec.json.encode(body)
    return Call(method, where, reader(kind), content, account, uuid.uuid4().hex)


class Allocating:
    """What `Client` offers of it."""

    put_artifact = Asked(put_artifact)
    set_market_price = Asked(set_market_price)
    artifact = Asked(artifact)
    artifacts = Asked(artifacts)
    claim_bounty = Asked(claim_bounty)
    bounty = Asked(bounty)
    bounties = Asked(bounties)
    compute_resource_budget = Asked(compute_resource_budget)
    get_resource_budget_rankings = Asked(get_resource_budget_rankings)
    record_resource_spending = Asked(record_resource_spending)
    resource_allocations = Asked(resource_allocations)


class AllocatingAsync:
    """What `AsyncClient` offers of it."""

    put_artifact = AsyncAsked(put_artifact)
    set_market_price = AsyncAsked(set_market_price)
    artifact = AsyncAsked(artifact)
    artifacts = AsyncAsked(artifacts)
    claim_bounty = AsyncAsked(claim_bounty)
    bounty = AsyncAsked(bounty)
    bounties = AsyncAsked(bounties)
    compute_resource_budget = AsyncAsked(compute_resource_budget)
    get_resource_budget_rankings = AsyncAsked(get_resource_budget_rankings)
    record_resource_spending = AsyncAsked(record_resource_spending)
    resource_allocations = AsyncAsked(resource_allocations)
