"""What the tables say of a day's budgets, to whoever looks on.

Rule of this file: it decides nothing: each worker has a switch of its own
(`switch`), so who pays now is told by what was paid.
"""

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from callmarket.bridge.api.checks import check_limit
from callmarket.bridge.api.contract.fields import Limit
from callmarket.bridge.api.contract.operation import operation
from callmarket.bridge.api.contract.queries import TableQuery, Tables, weight_of_page
from callmarket.bridge.api.errors import Invalid
from callmarket.persistence.stores import quest_budgets
from callmarket.persistence.stores.quest_budgets import AllocationRow, DayTotals


class QuestBudget(Struct, frozen=True):
    """What a quest may spend in a day while the auction cannot be used, what it has, and what is left."""

    quest: str
    allocated_tokens: int
    reserved_tokens: int
    spent_tokens: int
    overrun_tokens: int
    left_tokens: int


class QuestBudgets(Struct, frozen=True):
    """How a day (UTC) is split, the largest part first; `totals` counts all quests.

    `paying` is which of the two gave out work last, the auction or the daily budget, as the two times say; None where
    neither ever has.
    """

    day: date
    paying: Literal["auction", "budget"] | None
    last_awarded_at: datetime | None
    last_reserved_at: datetime | None
    totals: DayTotals
    quests: tuple[QuestBudget, ...]
    seq: int
    durable_seq: int


Day = Annotated[date, Meta(description="ISO 8601, in UTC; today by default.")]


@operation("GET", "/quest-budgets", "Budgets", "Daily budgets")
def get_quest_budgets(day: Day | None = None, limit: Limit = 100) -> TableQuery[QuestBudgets]:
    """What each quest may spend in a day while the auction cannot be used, what it has, and which of the two pays.

    By default of today. A day that was never split has no quests.
    """
    check_limit(limit)
    if day is not None and type(day) is not date:
        raise Invalid("day", repr(day), "a date")

    def answer(at: Tables) -> QuestBudgets:
        found = day or at.now.date()
        rows = quest_budgets.largest_allocations(at.connection, at.shard_id, found, limit)
        awarded_at = quest_budgets.last_awarded_at(at.connection, at.shard_id)
        reserved_at = quest_budgets.last_reserved_at(at.connection, at.shard_id)
        return QuestBudgets(
            day=found,
            paying=_paying(awarded_at, reserved_at),
            last_awarded_at=awarded_at,
            last_reserved_at=reserved_at,
            totals=quest_budgets.day_totals(at.connection, at.shard_id, found),
            quests=tuple(map(_budget, rows)),
            seq=at.seq,
            durable_seq=at.durable_seq,
        )

    return TableQuery(answer, weight_of_page(limit))


def _paying(awarded_at: datetime | None, reserved_at: datetime | None) -> Literal["auction", "budget"] | None:
    if reserved_at is None or (awarded_at is not None and awarded_at >= reserved_at):
        return "auction" if awarded_at else None
    return "budget"


def _budget(row: AllocationRow) -> QuestBudget:
    return QuestBudget(
        row.quest, row.allocated_tokens, row.reserved_tokens, row.spent_tokens, row.overrun_tokens, row.left_tokens
    )


class QuestBudgetsOfDays:
    """The operation about daily budgets, as a method of a market."""

    get_quest_budgets = get_quest_budgets
