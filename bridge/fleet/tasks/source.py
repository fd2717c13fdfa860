"""Where tasks come from: the one Protocol by which a platform with tables of its own plugs in.

Rule of this file: signatures with their promises, which `tests/bridge/fleet/tasks` proves of every implementation. Ours
are `bridge.fleet.tasks.tables` and, for tests and benchmarks, `bridge.fleet.tasks.memory`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from callmarket.bridge.fleet.tasks.model import Claim, Completion, Payer, Quest, Task, TaskPage, TaskStatus
from callmarket.engine.ids import AwardId


class TaskSource(Protocol):
    """What the scorer and the worker ask of a platform. Every call is one transaction; all of them may be repeated.

    Every method raises `Unavailable` where the source does not answer; what was asked may have been done then, and
    asking again tells.
    """

    def quests(self) -> Sequence[Quest]:
        """All quests, by id."""

    def open_tasks(self, quest_id: str | None = None) -> Sequence[Task]:
        """The tasks with status `open`, blocked or not, by id: of one quest, or of all."""

    def tasks(self, task_ids: Sequence[str]) -> Mapping[str, Task]:
        """These tasks by id, whatever their status; those that there are not are left out."""

    def mean_cost_tokens(self) -> Mapping[str, float]:
        """What finished work has cost on average, by `task_type`; the mean of all under the empty type.

        Without finished work it is empty.
        """

    def claim(
        self,
        task_id: str,
        worker_id: str,
        payer: Payer,
        award_id: AwardId | None = None,
        reservation_id: int | None = None,
    ) -> Claim | None:
        """Take a task in hand: `open` -> `awarded`. It names what pays: an award, or a reservation of the budget.

        None if that cannot be: another claim has it, it has ended, there is no such task, or the award or reservation
        is not newer than the latest of its kind that had the task in hand (ids only grow, so a stale worker is fenced
        off). Asked again for a claim that it has (same worker, payer and id), a worker gets the same one. Of any number
        that ask at the same moment one gets it; therefore no task is ever paid for twice. Raises `Invalid`.
        """

    def holder(self, task_id: str) -> Claim | None:
        """The live claim on a task; None if there is none."""

    def claims(self, worker_id: str | None = None) -> Sequence[Claim]:
        """The live claims, by task: of one worker, which asks after a restart, or of all."""

    def completion(
        self, task_id: str, payer: Payer, award_id: AwardId | None = None, reservation_id: int | None = None
    ) -> Completion | None:
        """How the claim for this award or reservation ended; None if it has not, or never was. Raises `Invalid`."""

    def done(self, task_id: str) -> Completion | None:
        """The attempt that succeeded, however it was paid; None if none has. A task has at most one."""

    def complete(self, claim: Claim, cost_tokens: int, impact: float) -> Completion:
        """The work is done: `awarded` -> `done`. If the claim has ended already: how, unchanged.

        Raises `Invalid` for a claim that never held the task.
        """

    def fail(self, claim: Claim, reason: str, *, cost_tokens: int = 0, again: bool = True) -> Completion:
        """The work failed: `awarded` -> `open`, to be tried again, or `failed` for good.

        If the claim has ended already: how, unchanged. Raises as `complete`.
        """


class Backlog(TaskSource, Protocol):
    """A source that is filled from outside: what a platform needs that keeps its tasks here."""

    def put_quests(self, quests: Sequence[Quest]) -> None:
        """Add quests, or replace those of the same id, all or none. Raises `Invalid`."""

    def put_tasks(self, tasks: Sequence[Task]) -> None:
        """Add tasks, or replace those of the same id, all or none; `status` and attempts stay.

        Raises `Invalid`, also where there is no such quest, or the status is not `open`.
        """

    def block(self, task_ids: Sequence[str]) -> int:
        """These tasks wait for others: nobody bids for them. Returns how many of them there are."""

    def unblock(self, task_ids: Sequence[str]) -> int:
        """These tasks wait no longer. Returns how many of them there are."""

    def list_tasks(
        self,
        quest_id: str | None = None,
        status: TaskStatus | None = None,
        *,
        limit: int = 100,
        after: str | None = None,
    ) -> TaskPage:
        """Tasks by id, page after page: `next` is handed back as `after`. Raises `Invalid`."""

    def counts(self, quest_id: str | None = None) -> Mapping[TaskStatus, int]:
        """How many tasks have each status, zeros too: of one quest, or of all. O(tasks)."""
