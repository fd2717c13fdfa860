"""A task source in memory, for tests of who uses one: quests and tasks as the test sets them, claims as promised.

Rule of this file: what `bridge.work.source.TaskSource` promises and nothing more, for any number of threads.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from bridge.errors import Invalid
from bridge.work.model import Claim, Completion, Payer, Quest, Task

START = datetime(2027, 1, 15, 8, tzinfo=UTC)


class MemoryTasks:
    """Quests and tasks by id. `now` is when things happen."""

    def __init__(
        self, quests: Iterable[Quest] = (), tasks: Iterable[Task] = (), now: Callable[[], datetime] | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._quests = {quest.quest_id: quest for quest in quests}
        self._tasks = {task.task_id: task for task in tasks}
        self._claims: dict[str, Claim] = {}
        self.completions: list[Completion] = []
        self._ticks = 0
        self._now = now or self._tick

    def put(self, *things: Quest | Task) -> None:
        """Add quests and tasks, or replace them."""
        for thing in things:
            if isinstance(thing, Quest):
                self._quests[thing.quest_id] = thing
            else:
                self._tasks[thing.task_id] = thing

    def quests(self) -> Sequence[Quest]:
        return [self._quests[quest_id] for quest_id in sorted(self._quests)]

    def open_tasks(self, quest_id: str | None = None) -> Sequence[Task]:
        with self._lock:
            tasks = [task for _, task in sorted(self._tasks.items()) if task.status == "open"]
        return [task for task in tasks if quest_id in (None, task.quest_id)]

    def tasks(self, task_ids: Sequence[str]) -> Mapping[str, Task]:
        with self._lock:
            return {task_id: self._tasks[task_id] for task_id in task_ids if task_id in self._tasks}

    def mean_cost_tokens(self) -> Mapping[str, float]:
        costs: dict[str, list[int]] = {}
        for done in self.completions:
            if done.succeeded:
                for task_type in {"", self._tasks[done.task_id].task_type}:
                    costs.setdefault(task_type, []).append(done.cost_tokens)
        return {task_type: sum(of_one) / len(of_one) for task_type, of_one in costs.items()}

    def claim(self, task_id: str, worker_id: str, payer: Payer, award_id: int | None = None) -> Claim | None:
        with self._lock:
            held = self._claims.get(task_id)
            if held is not None:
                same = (held.worker_id, held.payer, held.award_id) == (worker_id, payer, award_id)
                return held if same else None
            task = self._tasks.get(task_id)
            if task is None or task.status != "open":
                return None
            self._tasks[task_id] = msgspec.structs.replace(task, status="awarded")
            claim = Claim(task_id, worker_id, payer, award_id, self._now())
            self._claims[task_id] = claim
            return claim

    def completion(self, task_id: str, payer: Payer, award_id: int | None = None) -> Completion | None:
        with self._lock:
            held = self._claims.get(task_id)
            if held is not None and (held.payer, held.award_id) == (payer, award_id):
                return None
            return self._latest(task_id, payer, award_id)

    def complete(self, claim: Claim, cost_tokens: int, impact: float) -> Completion:
        return self._end(claim, "done", Completion(**_of(claim), **self._at(True, cost_tokens, impact)))

    def fail(self, claim: Claim, reason: str, *, cost_tokens: int = 0, again: bool = True) -> Completion:
        ended = Completion(**_of(claim), **self._at(False, cost_tokens, 0.0), reason=reason)
        return self._end(claim, "open" if again else "failed", ended)

    def _end(self, claim: Claim, status: str, completion: Completion) -> Completion:
        with self._lock:
            if self._claims.get(claim.task_id) != claim:
                before = self._latest(claim.task_id, claim.payer, claim.award_id)
                if before is not None and before.worker_id == claim.worker_id:
                    return before
                raise Invalid("claim", claim, "the claim that holds the task")
            del self._claims[claim.task_id]
            self._tasks[claim.task_id] = msgspec.structs.replace(self._tasks[claim.task_id], status=status)
            self.completions.append(completion)
            return completion

    def _latest(self, task_id: str, payer: Payer, award_id: int | None) -> Completion | None:
        of_one = (task_id, payer, award_id)
        found = [one for one in self.completions if (one.task_id, one.payer, one.award_id) == of_one]
        return found[-1] if found else None

    def _at(self, succeeded: bool, cost_tokens: int, impact: float) -> dict[str, object]:
        return {"succeeded": succeeded, "cost_tokens": cost_tokens, "impact": impact, "finished_at": self._now()}

    def _tick(self) -> datetime:
        self._ticks += 1
        return START + timedelta(microseconds=self._ticks)


def _of(claim: Claim) -> dict[str, object]:
    return {name: getattr(claim, name) for name in ("task_id", "worker_id", "payer", "award_id")}


if TYPE_CHECKING:
    from bridge.work.source import TaskSource

    def _is_one(tasks: MemoryTasks) -> TaskSource:
        return tasks
