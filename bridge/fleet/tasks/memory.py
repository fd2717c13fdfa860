"""Work in memory: a source of tasks for tests, benchmarks and simulations; what it knows ends with the process.

Rule of this file: as `bridge.fleet.tasks.tables` in everything that can be seen, which one suite proves of both. Plain
dictionaries under one lock.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, get_args

import msgspec

from callmarket.bridge.api.checks import check_limit
from callmarket.bridge.api.clock import Clock, system_clock
from callmarket.bridge.api.contract.pages import name_after
from callmarket.bridge.api.errors import Invalid, NotFound
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.fleet.tasks import checks
from callmarket.bridge.fleet.tasks.model import Claim, Completion, Payer, Quest, Task, TaskPage, TaskStatus
from callmarket.bridge.fleet.tasks.tables import means, page_of
from callmarket.engine.ids import AwardId


class MemoryWork:
    """Quests and tasks of this process, for many threads."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._quests: dict[str, Quest] = {}
        self._tasks: dict[str, Task] = {}
        self._claims: dict[str, Claim] = {}
        # The latest award, and the latest reservation, that had a task in hand.
        self._latest_ids: dict[tuple[str, Payer], int] = {}
        # How each claim ended, in the order of their ends.
        self._ended: list[tuple[Claim, Completion]] = []
        self._costs: dict[str, list[int]] = {}

    # --- what a platform fills in --------------------------------------------------------------------------------

    def put_quests(self, quests: Sequence[Quest]) -> None:
        """Add quests, or replace those of the same id."""
        checks.check_quests(quests)
        with self._lock:
            self._quests |= {quest.quest_id: quest for quest in quests}

    def put_tasks(self, tasks: Sequence[Task]) -> None:
        """Add tasks, or replace those of the same id."""
        checks.check_tasks(tasks)
        with self._lock:
            missing = sorted({task.quest_id for task in tasks} - self._quests.keys())
            if missing:
                raise NotFound("quest_id", missing[0], "a quest that was put before")
            for task in tasks:
                known = self._tasks.get(task.task_id, task)
                attempts = known.failed_attempts if known is not task else 0
                self._tasks[task.task_id] = msgspec.structs.replace(task, status=known.status, failed_attempts=attempts)

    def block(self, task_ids: Sequence[str]) -> int:
        """These tasks wait for others."""
        return self._set_blocked(task_ids, True)

    def unblock(self, task_ids: Sequence[str]) -> int:
        """These tasks wait no longer."""
        return self._set_blocked(task_ids, False)

    def list_tasks(
        self,
        quest_id: str | None = None,
        status: TaskStatus | None = None,
        *,
        limit: int = 100,
        after: str | None = None,
    ) -> TaskPage:
        """Tasks by id, page after page. O(tasks)."""
        checks.check_filter(quest_id, status)
        check_limit(limit)
        begin = name_after("tasks", after) or ""
        return page_of([task for task in self._found(quest_id, status) if task.task_id > begin][: limit + 1], limit)

    def counts(self, quest_id: str | None = None) -> Mapping[TaskStatus, int]:
        """How many tasks have each status, zeros too. O(tasks)."""
        checks.check_filter(quest_id, None)
        return {status: len(self._found(quest_id, status)) for status in get_args(TaskStatus)}

    # --- what the scorer and the worker ask ----------------------------------------------------------------------

    def quests(self) -> Sequence[Quest]:
        """All quests, by id."""
        with self._lock:
            return sorted(self._quests.values(), key=lambda quest: quest.quest_id)

    def open_tasks(self, quest_id: str | None = None) -> Sequence[Task]:
        """The open tasks by id."""
        checks.check_filter(quest_id, None)
        return self._found(quest_id, "open")[: checks.OPEN_TASKS_MAX]

    def tasks(self, task_ids: Sequence[str]) -> Mapping[str, Task]:
        """These tasks by id."""
        checks.check_task_ids(task_ids)
        with self._lock:
            return {task_id: self._tasks[task_id] for task_id in task_ids if task_id in self._tasks}

    def mean_cost_tokens(self) -> Mapping[str, float]:
        """What finished work has cost on average, by the type that it had then. O(completions)."""
        with self._lock:
            return means([(name, len(tokens), sum(tokens)) for name, tokens in self._costs.items()])

    def claim(
        self,
        task_id: str,
        worker_id: str,
        payer: Payer,
        award_id: AwardId | None = None,
        reservation_id: int | None = None,
    ) -> Claim | None:
        """Take a task in hand."""
        checks.check_claim(task_id, worker_id, payer, award_id, reservation_id)
        wanted = Claim(task_id, worker_id, payer, award_id, reservation_id, datetime_of(self._clock()))
        with self._lock:
            held = self._claims.get(task_id)
            if held is not None:
                return held if msgspec.structs.replace(wanted, claimed_at=held.claimed_at) == held else None
            task = self._tasks.get(task_id)
            if task is None or task.status != "open":
                return None
            pays_id = award_id or reservation_id or 0
            if pays_id <= self._latest_ids.get((task_id, payer), 0):
                return None
            self._latest_ids[task_id, payer] = pays_id
            self._tasks[task_id] = msgspec.structs.replace(task, status="awarded")
            self._claims[task_id] = wanted
            return wanted

    def holder(self, task_id: str) -> Claim | None:
        """The live claim on a task; None if there is none."""
        checks.check_task_ids([task_id])
        with self._lock:
            return self._claims.get(task_id)

    def claims(self, worker_id: str | None = None) -> Sequence[Claim]:
        """The live claims, by task."""
        with self._lock:
            found = [claim for claim in self._claims.values() if worker_id in (None, claim.worker_id)]
        return sorted(found, key=lambda claim: claim.task_id)[: checks.CLAIMS_MAX]

    def completion(
        self, task_id: str, payer: Payer, award_id: AwardId | None = None, reservation_id: int | None = None
    ) -> Completion | None:
        """How the claim for this award or reservation ended. O(completions)."""
        checks.check_task_ids([task_id])
        checks.check_payer(payer, award_id, reservation_id)
        wanted = (task_id, payer, award_id, reservation_id)
        with self._lock:
            ended = (one for _, one in self._ended)
            return next(
                (one for one in ended if (one.task_id, one.payer, one.award_id, one.reservation_id) == wanted), None
            )

    def done(self, task_id: str) -> Completion | None:
        """The attempt that succeeded. O(completions)."""
        checks.check_task_ids([task_id])
        with self._lock:
            return next((one for _, one in self._ended if one.task_id == task_id and one.succeeded), None)

    def complete(self, claim: Claim, cost_tokens: int, impact: float) -> Completion:
        """The work is done."""
        checks.check_outcome(cost_tokens, impact)
        return self._end(claim, "done", cost_tokens, impact, "")

    def fail(self, claim: Claim, reason: str, *, cost_tokens: int = 0, again: bool = True) -> Completion:
        """The work failed: it may be tried again, or not."""
        checks.check_outcome(cost_tokens, 0.0)
        return self._end(claim, "open" if again else "failed", cost_tokens, 0.0, checks.reason_of(reason))

    def _end(self, claim: Claim, status: TaskStatus, cost_tokens: int, impact: float, reason: str) -> Completion:
        checks.check_claim(claim.task_id, claim.worker_id, claim.payer, claim.award_id, claim.reservation_id, least=0)
        with self._lock:
            if self._claims.get(claim.task_id) != claim:
                for ended, completion in reversed(self._ended):
                    if ended == claim:
                        return completion
                raise Invalid("claim", claim, "one that this source has given")
            del self._claims[claim.task_id]
            succeeded = status == "done"
            completion = Completion(
                task_id=claim.task_id,
                worker_id=claim.worker_id,
                payer=claim.payer,
                award_id=claim.award_id,
                reservation_id=claim.reservation_id,
                succeeded=succeeded,
                cost_tokens=cost_tokens,
                impact=impact,
                finished_at=datetime_of(self._clock()),
                reason=reason,
            )
            self._ended.append((claim, completion))
            task = self._tasks[claim.task_id]
            if succeeded:
                self._costs.setdefault(task.task_type, []).append(cost_tokens)
            attempts = task.failed_attempts + (not succeeded)
            self._tasks[claim.task_id] = msgspec.structs.replace(task, status=status, failed_attempts=attempts)
            return completion

    def _found(self, quest_id: str | None, status: TaskStatus | None) -> list[Task]:
        with self._lock:
            found = [
                task
                for task in self._tasks.values()
                if quest_id in (None, task.quest_id) and status in (None, task.status)
            ]
        return sorted(found, key=lambda task: task.task_id)

    def _set_blocked(self, task_ids: Sequence[str], blocked: bool) -> int:
        checks.check_task_ids(task_ids)
        with self._lock:
            known = set(task_ids) & self._tasks.keys()
            for task_id in known:
                self._tasks[task_id] = msgspec.structs.replace(self._tasks[task_id], blocked=blocked)
            return len(known)


if TYPE_CHECKING:
    from callmarket.bridge.fleet.tasks.source import Backlog

    def _is_one(work: MemoryWork) -> Backlog:
        """It has all that a source that is filled from outside has."""
        return work
