"""Work that the daily budget pays: which task is next, and what became of reservations that somebody left behind.

Rule of this file: it chooses, sets aside and tidies up. It claims nothing: the worker of a task reserves for it first,
then claims it in its source, and tells what it has cost: nothing, if another has it.
"""

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Final

from callmarket.bridge.api.clock import Clock, system_clock
from callmarket.bridge.api.errors import NotFound
from callmarket.bridge.config import DEFAULTS, Config
from callmarket.bridge.fleet.ev_scorer import ScoredTask, get_quest_budget_allocation, score_all, score_tasks
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.bridge.fleet.tasks.model import Task
from callmarket.bridge.fleet.tasks.source import TaskSource
from callmarket.persistence.stores.quest_budgets import SpendingRow

logger: Final = logging.getLogger(__name__)

# How old the ranking may be, and how often a day is split anew over the rest of the backlog.
RANKING_US_MAX: Final = 60_000_000
# Tasks that are looked at together, to see whether they are still open.
LOOKED_AT_ONCE: Final = 20
# A reservation is followed by its claim within a second; a younger one is that of a worker about to claim. A worker
# that claims later still is charged, by telling the cost; only one that is killed then, too, has burned what nobody is
# charged for.
ABANDONED_S_MIN: Final = 600.0


class FallbackServices:
    """What a worker does while the auction cannot be used: its services (which task is next) and its budget, in one.

    For many threads, and one for all workers of a process: then no two of them are sent for the same task.
    """

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
        # Tasks that somebody was told of since the ranking. One that fails comes again with the next, a minute later.
        self._told: set[str] = set()
        # Reservations that somebody in this process has and has not ended. No question waits while this lock is held.
        self._given_lock: Final = threading.Lock()
        self._given: set[int] = set()

    def next_task(self, worker_id: str) -> str | None:  # noqa: ARG002 -- here all workers are alike
        """The best open task that its quest can still pay today, and that nobody has reserved; None if there is none.

        It may be gone when it is claimed: then ask again. Raises `Unavailable`. O(n log n) once a minute, else as far
        down the ranking as it has to look.
        """
        with self._lock:
            self._rank()
            left = {row.quest: row.left_tokens for row in self._budgets.allocations(self._day)}
            taken = {row.task_id for row in self._budgets.reserved()} | self._told
            fitting = (
                scored
                for scored in self._ranked
                if scored.cost_tokens <= left.get(scored.task.quest_id, 0) and scored.task.task_id not in taken
            )
            while some := [scored.task.task_id for scored in islice(fitting, LOOKED_AT_ONCE)]:
                now = self._source.tasks(some)
                for task_id in some:
                    if _is_open(now.get(task_id)):
                        self._told.add(task_id)
                        return task_id
        return None

    def reserve(self, task: Task, worker_id: str) -> int | None:
        """Set aside what the task is thought to burn of what its quest has today; None if too little is left.

        None too where the task is set aside for another, or for another slot of this worker. Raises `Unavailable`.
        """
        scored = score_tasks([task], self._source.mean_cost_tokens(), self._config)[0]
        made = self._budgets.reserve(task.task_id, task.quest_id, scored.cost_tokens, worker_id)
        if made is None:
            return None
        with self._given_lock:
            # A worker's reservation is told to it again, and its slots share its name: one of them has it.
            if made.reservation_id in self._given:
                return None
            self._given.add(made.reservation_id)
        return made.reservation_id

    def spend(self, reservation_id: int, cost_tokens: int) -> None:
        """End a reservation with the tokens burned. Idempotent, also without one. Raises `Unavailable`."""
        # A claim from before they were kept has 0, which is none.
        if reservation_id:
            # Rows of past days may have been deleted.
            with suppress(NotFound):
                self._budgets.spend(reservation_id, cost_tokens)
        self._forget(reservation_id)

    def tidy(self) -> list[SpendingRow]:
        """End what workers have left behind: those that were killed after they reserved, or before they told the cost.

        A reservation whose worker has the task in hand stays: the worker may come back. Returns what was ended. Done
        with every ranking. Raises `Unavailable`.
        """
        ended = [self._end(row) for row in self._budgets.reserved(ABANDONED_S_MIN)]
        return [row for row in ended if row is not None]

    def _end(self, row: SpendingRow) -> SpendingRow | None:
        holder = self._source.holder(row.task_id)
        if holder is not None and holder.reservation_id == row.reservation_id:
            return None
        completion = self._source.completion(row.task_id, "budget", reservation_id=row.reservation_id)
        if completion is None:
            logger.warning(
                "budget: %s never began %s; its %d tokens go back", row.worker_id, row.task_id, row.reserved_tokens
            )
            ended = self._budgets.release(row.reservation_id)
        else:
            logger.warning("budget: %s did not tell what %s has cost; its source did", row.worker_id, row.task_id)
            ended = self._budgets.spend(row.reservation_id, completion.cost_tokens)
        self._forget(row.reservation_id)
        return ended

    def _forget(self, reservation_id: int) -> None:
        with self._given_lock:
            self._given.discard(reservation_id)

    def _rank(self) -> None:
        """Rank the backlog and split the day, if that was not done today and within the last minute."""
        now_us, day = self._clock(), self._budgets.today()
        if day == self._day and 0 <= now_us - self._ranked_at_us < RANKING_US_MAX:
            return
        self._budgets.allocate(get_quest_budget_allocation(self._source, config=self._config), day)
        scores = score_all(self._source, self._config)
        self._ranked = [scored for scored in scores.ranked() if scored.ev_per_token and not scored.task.blocked]
        self._ranked_at_us, self._day = now_us, day
        self._told.clear()
        self.tidy()


def _is_open(task: Task | None) -> bool:
    return task is not None and task.status == "open" and not task.blocked


if TYPE_CHECKING:
    from callmarket.bridge.fleet.agent.services import Budget, NextTask

    def _is_both(services: FallbackServices) -> tuple[NextTask, Budget]:
        """It has all that a worker falls back on."""
        return services, services
