"""From capital to research: stakes on an artifact and bounties for it say how much work on it may cost.

Rule of this folder: tokens move by holds of the market alone, which are journaled; what an artifact is called, what it
is worth, the claimants of bounties and the costs of work are plain tables. All of it works over any way to a market.
"""

from callmarket.bridge.api.operations.artifacts import ArtifactDetail
from callmarket.bridge.api.operations.commitments import BountyDetail
from callmarket.bridge.api.operations.resource_budgets import AllocationDetail, ResourceBudget, ResourceBudgetDetail
from callmarket.bridge.fleet.research.budgets import (
    compute_resource_budget,
    get_resource_budget_rankings,
    order_by_resource_budget,
    record_resource_spending,
    resource_budgets_by_artifact,
)
from callmarket.bridge.fleet.research.commitments import pay_bounty, post_bounty, stake, unstake, withdraw_bounty

__all__ = [
    "AllocationDetail",
    "ArtifactDetail",
    "BountyDetail",
    "ResourceBudget",
    "ResourceBudgetDetail",
    "compute_resource_budget",
    "get_resource_budget_rankings",
    "order_by_resource_budget",
    "pay_bounty",
    "post_bounty",
    "record_resource_spending",
    "resource_budgets_by_artifact",
    "stake",
    "unstake",
    "withdraw_bounty",
]
