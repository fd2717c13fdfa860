"""What a source of tasks takes, and what it refuses.

Rule of this file: every bound of what people give, checked at the edge, before anything is written. The same for every
source of ours.
"""

from collections.abc import Iterable, Sequence
from typing import Final, get_args

from callmarket.bridge.api.checks import check_name
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.fleet.tasks.model import Payer, Quest, Task, TaskStatus
from callmarket.engine.ids import AwardId
from callmarket.engine.limits import MICROS_MAX, SEQ_MAX, TOKENS_MAX

# A thousandth of a second for each is about what PostgreSQL takes to add them: a batch stays under its time.
BATCH_MAX: Final = 10_000
# Open tasks beyond this wait, by id, until some are done. A bidder has 10,000 open bids in a market at most.
OPEN_TASKS_MAX: Final = 1_000_000
CLAIMS_MAX: Final = 100_000
# Importance, tractability and impact are between 0 and 1 as a rule; products of a few of them stay exact enough.
WEIGHT_MAX: Final = 1_000_000.0
BID_FRACTION_MAX: Final = 10.0
# What a market can record (`actual_impact` in millionths).
IMPACT_MAX: Final = float(MICROS_MAX // 1_000_000)
REASON_CHARS_MAX: Final = 512


def check_quests(quests: Sequence[Quest]) -> None:
    """Check a batch of quests. Raises `Invalid`."""
    _check_batch("quests", quests)
    for number, quest in enumerate(quests):
        at = f"quests[{number}]."
        check_name(at + "quest_id", quest.quest_id)
        check_name(at + "account_id", quest.account_id)
        _check_number(at + "bid_fraction", quest.bid_fraction, BID_FRACTION_MAX)
    _check_once("quests", "quest_id", (quest.quest_id for quest in quests))


def check_tasks(tasks: Sequence[Task]) -> None:
    """Check a batch of tasks. Raises `Invalid`."""
    _check_batch("tasks", tasks)
    for number, task in enumerate(tasks):
        at = f"tasks[{number}]."
        check_name(at + "task_id", task.task_id)
        check_name(at + "quest_id", task.quest_id)
        _check_number(at + "importance", task.importance, WEIGHT_MAX)
        _check_number(at + "downstream_impact", task.downstream_impact, WEIGHT_MAX)
        if task.tractability is not None:
            _check_number(at + "tractability", task.tractability, WEIGHT_MAX)
        if task.estimated_cost_tokens is not None:
            check_tokens(at + "estimated_cost_tokens", task.estimated_cost_tokens, least=1)
        _check_reference(at + "task_type", task.task_type)
        _check_reference(at + "artifact_id", task.artifact_id)
        if type(task.blocked) is not bool:
            raise Invalid(at + "blocked", task.blocked, "true or false")
        if task.status != "open":
            raise Invalid(at + "status", task.status, "'open': what becomes of a task follows from its claims")
    _check_once("tasks", "task_id", (task.task_id for task in tasks))


def check_task_ids(task_ids: Sequence[str]) -> None:
    """Check a list of tasks by name. Raises `Invalid`."""
    _check_batch("task_ids", task_ids)
    for number, task_id in enumerate(task_ids):
        check_name(f"task_ids[{number}]", task_id)


def check_filter(quest_id: str | None, status: TaskStatus | None) -> None:
    """Check which tasks are asked for. Raises `Invalid`."""
    if quest_id is not None:
        check_name("quest_id", quest_id)
    if status is not None and status not in get_args(TaskStatus):
        raise Invalid("status", status, f"one of {', '.join(get_args(TaskStatus))}")


def check_claim(
    task_id: str, worker_id: str, payer: Payer, award_id: AwardId | None, reservation_id: int | None, least: int = 1
) -> None:
    """Check what a claim is made of. Raises `Invalid`."""
    check_name("task_id", task_id)
    check_name("worker_id", worker_id)
    check_payer(payer, award_id, reservation_id, least)


def check_payer(payer: Payer, award_id: AwardId | None, reservation_id: int | None, least: int = 1) -> None:
    """Check the payer, and its award or reservation. Raises `Invalid`."""
    if payer not in get_args(Payer):
        raise Invalid("payer", payer, f"one of {', '.join(get_args(Payer))}")
    ids = {"auction": ("award_id", award_id), "budget": ("reservation_id", reservation_id)}
    field, number = ids.pop(payer)
    ((other_field, other),) = ids.values()
    if other is not None:
        raise Invalid(other_field, other, f"None where the {payer} pays")
    if type(number) is not int or not least <= number <= SEQ_MAX:
        raise Invalid(field, number, f"what pays, {least} to {SEQ_MAX}")


def check_outcome(cost_tokens: int, impact: float) -> None:
    """Check what work has cost and brought. Raises `Invalid`."""
    check_tokens("cost_tokens", cost_tokens)
    _check_number("impact", impact, IMPACT_MAX)


def check_tokens(field: str, tokens: int, least: int = 0) -> None:
    """Check a number of tokens. Raises `Invalid`."""
    if type(tokens) is not int or not least <= tokens <= TOKENS_MAX:
        raise Invalid(field, tokens, f"whole tokens from {least} to {TOKENS_MAX}")


def reason_of(text: str) -> str:
    """Why work failed, as it is kept: without what PostgreSQL cannot hold, and cut where it is too long."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:REASON_CHARS_MAX] or "no reason given"


def _check_batch(field: str, items: Sequence[object]) -> None:
    if len(items) > BATCH_MAX:
        raise Invalid(field, len(items), f"at most {BATCH_MAX} at a time")


def _check_once(field: str, name: str, ids: Iterable[str]) -> None:
    """Two of one id in a batch contradict each other."""
    seen: set[str] = set()
    for number, one in enumerate(ids):
        if one in seen:
            raise Invalid(f"{field}[{number}].{name}", one, "each id once in a batch")
        seen.add(one)


def _check_number(field: str, number: float, most: float) -> None:
    # bool is an int, and no number that anybody means. NaN is in no range.
    if type(number) not in (int, float) or not 0 <= number <= most:
        raise Invalid(field, number, f"a finite number from 0 to {most:g}")


def _check_reference(field: str, text: str) -> None:
    """Check an optional reference: empty, or a name."""
    if text != "":
        check_name(field, text)
