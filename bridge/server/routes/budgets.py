"""The daily budgets that pay for work while the auction cannot be used.

Rule of this file: that of its folder.
"""

import re
from datetime import date
from typing import Annotated, Final

from litestar import get
from litestar.params import QueryParameter

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.quest_budgets import QuestBudgets
from callmarket.bridge.server.routes.common import QUESTION, GivenService, Limit

Day = Annotated[
    str | None,
    QueryParameter(max_length=10, description="ISO 8601, in UTC; today by default.", schema_extra={"format": "date"}),
]

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@get("/quest-budgets", operation_id="get_quest_budgets", summary="Daily budgets", responses=QUESTION)
async def get_quest_budgets(service: GivenService, day: Day = None, limit: Limit = 100) -> QuestBudgets:
    """What each quest may spend in a day while the auction cannot be used, what it has, and which of the two pays."""
    return await service.market.get_quest_budgets(_day(day), limit)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError:
        raise Invalid("day", text, "a day, as 2026-01-31") from None


HANDLERS = (get_quest_budgets,)
