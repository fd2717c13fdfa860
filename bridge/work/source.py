"""Where tasks come from: the one Protocol by which a platform with tables of its own plugs in.

Rule of this file: signatures with their promises, which `tests/contract` proves of every implementation. Ours is
`bridge.work.tables`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bridge.work.model import Claim, Completion, Payer, Quest, Task


class TaskSource(Protocol):
    """What the scorer and the worker ask of a platform. Every call is one transaction; all of them may be repeated.

    Every method raises `Unavailable` where the source does not answer.
    """

    def quests(self) -> Sequence[Quest]:
        """All quests, by id."""

    def open_tasks(self, quest_id: str | None = None) -> Sequence[Task]:
        """The tasks with status `open`, blocked or not, by id: of one quest, or of all."""

    def tasks(self, task_ids: Sequence[str]) -> Mapping[str, Task]:
        """These tasks by id, whatever their status; those that there are not are left out."""

    def mean_cost_tokens(self) -> Mapping[str, float]:
        """What finished work has cost on average, by `task_type`; the mean of all under the empty type."""

    def claim(self, task_id: str, worker_id: str, payer: Payer, award_id: int | None = None) -> Claim | None:
        """Take a task in hand: `open` -> `awarded`.

        None if that cannot be: another claim has it, it has ended, or there is no such task. Whoever asks again for
        what they have (same worker, payer and award) gets the same claim, so a worker that was restarted finds out. Of
        any number that ask at the same moment one gets it; therefore no task is ever paid for twice.
        """

    def completion(self, task_id: str, payer: Payer, award_id: int | None = None) -> Completion | None:
        """How the claim for this award (or the budget's latest claim) ended; None if it has not, or there was none."""

    def complete(self, claim: Claim, cost_tokens: int, impact: float) -> Completion:
        """The work is done: `awarded` -> `done`. Again: the first completion, unchanged.

        Raises `Invalid` for a claim that does not hold the task.
        """

    def fail(self, claim: Claim, reason: str, *, cost_tokens: int = 0, again: bool = True) -> Completion:
        """The work failed: `awarded` -> `open`, to be tried again, or `failed` for good.

        Again: the first completion. Raises as `complete`.
        """
