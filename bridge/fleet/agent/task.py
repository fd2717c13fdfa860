"""A task in hand: worked in a thread of its own, and its end written down.

Rule of this file: it knows claims and completions, and no market. Whatever the work raises or returns, the claim ends
once; what the source says of that end is what counts, not what this process remembers.
"""

import logging
import threading
from concurrent.futures import Future
from typing import Final

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.operations.awards import AwardRow
from callmarket.bridge.fleet.agent.backoff import StopSignal
from callmarket.bridge.fleet.agent.services import Assignment, Finished, Work, WorkFailed
from callmarket.bridge.fleet.tasks.checks import check_outcome, check_tokens
from callmarket.bridge.fleet.tasks.model import Claim, Completion, Task
from callmarket.bridge.fleet.tasks.source import TaskSource

logger: Final = logging.getLogger(__name__)


class TaskRunner:
    """Does one task after the other. For one thread at a time."""

    def __init__(self, source: TaskSource, work: Work, ending: StopSignal, attempts_max: int) -> None:
        self._source: Final = source
        self._work: Final = work
        self._stop: Final = ending
        self._attempts_max: Final = attempts_max

    def do(self, claim: Claim, award: AwardRow | None) -> Completion | None:
        """Work a claimed task and write down how that ended; None where the source knows nothing of the claim.

        Raises `Unavailable` where the worker ends and the source does not answer: the next start finds the claim.
        """
        task = self._stop.retry(lambda: self._source.tasks([claim.task_id]))[claim.task_id]
        assignment = Assignment(
            task=task,
            claim=claim,
            price_tokens=None if award is None else award.price_tokens,
            lease_until=None if award is None else award.lease_until,
            ending=lambda: self._stop.at_once,
        )
        running: Future[Finished] = Future()
        # A daemon: work that does not end must not keep a process that was told to end at once.
        threading.Thread(
            target=_run, args=(self._work, assignment, running), name=f"work {claim.task_id}", daemon=True
        ).start()
        if not self._stop.wait_for(running):
            return self._fail(claim, "the worker was told to end at once", 0, again=True)
        return self._end(task, claim, running)

    def give_up(self, claim: Claim, reason: str) -> Completion | None:
        """Let a claim fail whose work is lost; it counts as an attempt."""
        found = self._stop.retry(lambda: self._source.tasks([claim.task_id])).get(claim.task_id)
        return self._fail(claim, reason, 0, again=found is None or self._may_try_again(found))

    def _end(self, task: Task, claim: Claim, running: "Future[Finished]") -> Completion | None:
        try:
            finished = _finished(running.result())
            check_outcome(finished.cost_tokens, finished.impact)
        except WorkFailed as failed:
            again = failed.again and self._may_try_again(task)
            return self._fail(claim, str(failed), _tokens_of(failed), again=again)
        except BaseException as error:
            logger.warning("the work on task %s failed", task.task_id, exc_info=error)
            return self._fail(claim, f"{type(error).__name__}: {error}", 0, again=self._may_try_again(task))
        try:
            return self._stop.retry(lambda: self._source.complete(claim, finished.cost_tokens, finished.impact))
        except Invalid:
            logger.exception("the work on task %s is done, and nobody knows of its claim", task.task_id)
            return None

    def _may_try_again(self, task: Task) -> bool:
        return task.failed_attempts + 1 < self._attempts_max

    def _fail(self, claim: Claim, reason: str, cost_tokens: int, *, again: bool) -> Completion | None:
        try:
            return self._stop.retry(lambda: self._source.fail(claim, reason, cost_tokens=cost_tokens, again=again))
        except Invalid:
            logger.exception("the work on task %s has failed, and nobody knows of its claim", claim.task_id)
            return None


def _run(work: Work, assignment: Assignment, running: "Future[Finished]") -> None:
    try:
        running.set_result(work(assignment))
    except BaseException as error:  # noqa: BLE001 -- it is raised again where the result is asked for
        running.set_exception(error)


def _finished(result: object) -> Finished:
    if not isinstance(result, Finished):
        raise Invalid("the result of the work", result, "a Finished")
    return result


def _tokens_of(failed: WorkFailed) -> int:
    """What failed work says that it has burned; nothing, where that makes no sense."""
    try:
        check_tokens("cost_tokens", failed.cost_tokens)
    except Invalid:
        return 0
    return failed.cost_tokens
