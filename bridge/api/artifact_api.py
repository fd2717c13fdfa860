"""What every way to a market offers about artifacts, bounties and budgets, beside `MarketApi`.

Rule of this file: that of `bridge.api.market_api`. The changes are of plain tables: they move no token, are not
journaled, need no `command_id`, and may be made again with the same result. They raise `NotFound`, `Conflict` or
`Invalid`.
"""

from typing import Protocol

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
from callmarket.bridge.api.market_api import MarketApi
from callmarket.bridge.api.results import Page
from callmarket.bridge.api.units import Number


class AllocatorApi(MarketApi, Protocol):
    """A market whose artifacts have budgets, for threads."""

    def put_artifact(self, artifact_id: str, artifact_type: str, title: str = "") -> ArtifactDetail:
        """Add an artifact, priced at 0.5 until somebody prices it; or change its type and title."""

    def set_market_price(self, artifact_id: str, market_price: Number) -> ArtifactDetail:
        """Say what an artifact is worth, from 0 to 1."""

    def artifact(self, artifact_id: str) -> ArtifactDetail:
        """An artifact."""

    def artifacts(
        self, artifact_type: str | None = None, *, limit: int = 100, after: str | None = None
    ) -> Page[ArtifactRow]:
        """The artifacts of a type, or all, by id."""

    def claim_bounty(self, bounty_id: str, account_id: str, claimant_id: str) -> BountyDetail:
        """Say that `claimant_id` works for the bounty of an account, so that no other does."""

    def bounty(self, bounty_id: str, account_id: str) -> BountyDetail:
        """An account's bounty and where it stands."""

    def bounties(
        self,
        artifact_id: str | None = None,
        status: BountyStatus | None = None,
        *,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[BountyRow]:
        """The bounties for an artifact, or all, the newest first."""

    def compute_resource_budget(self, artifact_id: str) -> ResourceBudgetDetail:
        """What may be spent on an artifact (BRG-3)."""

    def get_resource_budget_rankings(self, artifact_type: str | None = None, limit: int = 100) -> Page[ResourceBudget]:
        """The artifacts with most left to spend, of a type or of all, on one page."""

    def record_resource_spending(
        self, artifact_id: str, tokens: int, reference_type: str, reference_id: str, impact: Number | None = None
    ) -> AllocationDetail:
        """Deduct what work on an artifact has cost from its budget, once for each reference.

        Who placed the stakes and bounties that gave the budget can end them when this is a week ago.
        """

    def resource_allocations(
        self, artifact_id: str, *, limit: int = 100, after: str | None = None
    ) -> Page[AllocationRow]:
        """What was spent on an artifact, the newest first."""
