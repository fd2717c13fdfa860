"""The daily budgets of quests, read from the tables.

Rule of this file: read-only. Each worker has its own fallback switch, so which of auction and budget pays at present is
inferred from what was paid last.
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
    """The part of a quest in a daily budget: allocated, reserved, spent and left, in whole tokens."""

    quest: str
    allocated_tokens: int
    reserved_tokens: int
    spent_tokens: int
    overrun_tokens: int
    left_tokens: int


class QuestBudgets(Struct, frozen=True):
    """The daily budget of a day (UTC) by quest, largest allocation first. `totals` counts all quests.

    `paying`: whether the auction or the daily budget paid for work last, by the later of `last_awarded_at` and
    `last_reserved_at`; None if neither has yet.
    """

    day: date
    paying: Literal["auction", "budget"] | None
    last_awarded_at: datetime | None
    last_reserved_at: datetime | None
    totals: DayTotals
    quests: tuple[QuestBudget, ...]
    seq: int
    durable_seq: int


Day = Annotated[date, Meta(description="A date in UTC, ISO 8601; by default today.")]


@operation("GET", "/quest-budgets", "Budgets", "List the daily budgets of quests")
def get_quest_budgets(day: Day | None = None, limit: Limit = 100) -> TableQuery[QuestBudgets]:
    """What each quest may spend in a day while the auction cannot be used, and what it has spent.

    Also says which of the two gave out work last, the auction or the daily budget. A day without a budget has no
    quests.
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
    """The operation on daily budgets, as a method of a market."""

    get_quest_budgets = get_quest_budgets
