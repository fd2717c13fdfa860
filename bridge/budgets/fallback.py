"""Work that the daily budget pays: which task is next, and what became of reservations that somebody left behind.

Rule of this file: it chooses and tidies up. It claims nothing: whoever works a task reserves, then claims it in its
source, and gives the reservation back if another has it.
"""

import logging
import threading
from collections.abc import Sequence
from datetime import date
from itertools import islice
from typing import Final

from bridge.budgets.daily import DailyBudgets
from bridge.clock import Clock, system_clock
from bridge.config import DEFAULTS, Config
from bridge.ev_scorer import ScoredTask, get_quest_budget_allocation, score_all
from bridge.units import datetime_of
from bridge.work.model import Task
from bridge.work.source import TaskSource
from persistence.quest_budgets import SpendingRow

logger: Final = logging.getLogger(__name__)

# How old the ranking may be, and how often a day is split anew over what is left of the backlog.
RANKING_US_MAX: Final = 60_000_000
# Tasks that are looked at together, to see whether they are still open.
LOOKED_AT_ONCE: Final = 20
# A reservation is followed by its claim within a second; a younger one is somebody's who is about to.
ABANDONED_US_MIN: Final = 60_000_000


class Fallback:
    """The next task within today's budget, for many threads. Calling it is `services.next_task` of a worker."""

    def __init__(
        self, source: TaskSource, budgets: DailyBudgets, clock: Clock = system_clock, config: Config = DEFAULTS
    ) -> None:
        """Nothing is read yet, and nothing written: the first question splits the day."""
        self._source: Final = source
        self._budgets: Final = budgets
        self._clock: Final = clock
        self._config: Final = config
        self._lock: Final = threading.Lock()
        self._ranked: Sequence[ScoredTask] = ()
        self._ranked_at_us = 0
        self._day: date | None = None

    def next_task(self) -> ScoredTask | None:
        """The best open task that its quest can still pay today, and that nobody has reserved; None if there is none.

        It may be gone when it is claimed: then ask again. Raises `Unavailable`. O(n log n) once a minute, else as far
        down the ranking as it has to look.
        """
        with self._lock:
            self._rank()
            left = {row.quest: row.left_tokens for row in self._budgets.allocations(self._day)}
            taken = {row.task_id for row in self._budgets.reserved()}
            fitting = (
                scored
                for scored in self._ranked
                if scored.cost_tokens <= left.get(scored.task.quest_id, 0) and scored.task.task_id not in taken
            )
            while some := list(islice(fitting, LOOKED_AT_ONCE)):
                now = self._source.tasks([scored.task.task_id for scored in some])
                for scored in some:
                    if _is_open(now.get(scored.task.task_id)):
                        return scored
        return None

    def tidy(self) -> list[SpendingRow]:
        """End what workers have left behind: those that were killed after they reserved, or before they told the cost.

        A reservation whose worker has the task in hand stays: the worker may come back. Returns what was ended. Raises
        `Unavailable`.
        """
        before = datetime_of(self._clock() - ABANDONED_US_MIN)
        ended = [self._end(row) for row in self._budgets.reserved() if row.reserved_at < before]
        return [row for row in ended if row is not None]

    def _end(self, row: SpendingRow) -> SpendingRow | None:
        holder = self._source.holder(row.task_id)
        if holder is not None and (holder.payer, holder.worker_id) == ("budget", row.worker_id):
            return None
        completion = self._source.completion(row.task_id, "budget")
        if completion is None or completion.worker_id != row.worker_id or completion.finished_at < row.reserved_at:
            logger.warning(
                "budget: %s never began %s; its %d tokens go back", row.worker_id, row.task_id, row.reserved_tokens
            )
            return self._budgets.release(row.reservation_id)
        logger.warning("budget: %s did not tell what %s has cost; its source did", row.worker_id, row.task_id)
        return self._budgets.spend(row.reservation_id, completion.cost_tokens)

    def _rank(self) -> None:
        """Rank the backlog and split the day, if that was not done today and within the last minute."""
        now_us, day = self._clock(), self._budgets.today()
        if day == self._day and 0 <= now_us - self._ranked_at_us < RANKING_US_MAX:
            return
        self._budgets.allocate(get_quest_budget_allocation(self._source, config=self._config), day)
        scores = score_all(self._source, self._config)
        self._ranked = [scored for scored in scores.ranked() if scored.ev_per_token and not scored.task.blocked]
        self._ranked_at_us, self._day = now_us, day


def _is_open(task: Task | None) -> bool:
    return task is not None and task.status == "open" and not task.blocked
