"""The allocator under the names of the platform's own: what research on an artifact may cost, and what comes first.

Rule of this file: over any way to a market, and nothing that only one of them could do. The formula is BRG-3's, and is
in the tables' view `resource_budgets`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from callmarket.bridge.api.checks import ROWS_MAX
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.resource_budgets import AllocationDetail, ResourceBudget, ResourceBudgetDetail
from callmarket.bridge.api.units import Number, float_of
from callmarket.bridge.fleet.tasks.model import Task

_NONE: Final[Mapping[str, float]] = {}


def compute_resource_budget(market: Market, artifact_id: str) -> ResourceBudgetDetail:
    """What research on an artifact may cost, in tokens, with all parts of the formula (BRG-3).

    `left_tokens` is the budget less what was spent: a demand that grows again gives new budget. Raises `NotFound`.
    """
    return market.compute_resource_budget(artifact_id)


def get_resource_budget_rankings(
    market: Market, artifact_type: str | None = None, limit: int = 100
) -> Page[ResourceBudget]:
    """The artifacts with most left to spend, of a type or of all; equals by id.

    One that nothing is committed to is not among them.
    """
    return market.get_resource_budget_rankings(artifact_type, limit)


def record_resource_spending(
    market: Market,
    artifact_id: str,
    tokens: int,
    reference_type: str,
    reference_id: str,
    impact: Number | None = None,
) -> AllocationDetail:
    """Deduct what work on an artifact has cost from its budget, once for each reference.

    Raises `Conflict` beyond the budget; of two at once that would overspend together one is refused.
    """
    return market.record_resource_spending(artifact_id, tokens, reference_type, reference_id, impact)


def resource_budgets_by_artifact(market: Market, artifact_type: str | None = None) -> dict[str, int]:
    """The tokens left to spend on each artifact, in one question.

    Those are the thousand with most left; any other counts as having none.
    """
    ranked = market.get_resource_budget_rankings(artifact_type, ROWS_MAX)
    return {one.artifact_id: one.left_tokens for one in ranked.items}


def order_by_resource_budget(
    tasks: Sequence[Task], budgets: Mapping[str, int], expected_values: Mapping[str, float] = _NONE
) -> list[Task]:
    """The tasks whose artifacts have most left to spend first; equals by expected value, by task id, then by id.

    An id in neither mapping counts as 0, and so does a value that is no number: it moves no other task. O(n log n).
    """

    def place(task: Task) -> tuple[float, float, str]:
        return -_number(budgets.get(task.artifact_id)), -_number(expected_values.get(task.task_id)), task.task_id

    return sorted(tasks, key=place)


def _number(given: object) -> float:
    number = float_of(given)
    # NaN is neither more nor less than anything, and would leave the others in no order at all.
    return 0.0 if math.isnan(number) else number
