"""What there is to do in this example, what it really costs, and what others think of it: all from one seed.

Rule of this file: pure. A platform has its backlog in place of this, and does the work in place of `outcome`.
"""

import random
from collections.abc import Sequence
from typing import Final

from callmarket.bridge.fleet.agent import Finished
from callmarket.bridge.fleet.tasks.model import Quest, Task

QUESTS: Final = (Quest("cures", "cures"), Quest("maps", "maps"), Quest("tools", "tools"))
# This one begins with less than any slot costs, and has to earn by reviews before it can win one.
POOR: Final = "tools"

ARTIFACT_TYPE: Final = "hypothesis"
ARTIFACTS: Final = ("h-amyloid", "h-atlas", "h-parser")

# Fails for good, whichever worker tries it.
_HOPELESS: Final = 1


def tasks_of(quest: Quest, count: int, seed: int) -> list[Task]:
    """The backlog of a quest. Each third task waits for the one before it."""
    return [_task(quest.quest_id, number, seed) for number in range(1, count + 1)]


def task_id_of(quest_id: str, number: int) -> str:
    """The name of a task."""
    return f"{quest_id}-{number:03}"


def artifact_of(number: int) -> str:
    """What a task is about."""
    return ARTIFACTS[number % len(ARTIFACTS)]


def waits_for(task: Task) -> str | None:
    """The task that has to be done before this one; None if there is none."""
    number = int(task.task_id.rpartition("-")[2])
    return None if number % 3 else task_id_of(task.quest_id, number - 1)


def is_hopeless(task: Task) -> bool:
    """Whether no work can help."""
    return task.task_id == task_id_of(task.quest_id, _HOPELESS)


def outcome(task: Task, seed: int) -> Finished:
    """What the work burns, and what it brings."""
    draw = random.Random(f"{seed} {task.task_id} outcome")
    promised = task.importance * task.downstream_impact
    return Finished(draw.randint(50, 130), round(promised * draw.uniform(0.5, 1.2), 3))


def quality_of(task: Task, seed: int) -> float:
    """How good a review of this task's work is, from 0 to 1."""
    return round(random.Random(f"{seed} {task.task_id} review").uniform(0.6, 1.0), 3)


def mean(numbers: Sequence[float]) -> float:
    """Their mean; 0 where there are none."""
    return sum(numbers) / len(numbers) if numbers else 0.0


def _task(quest_id: str, number: int, seed: int) -> Task:
    draw = random.Random(f"{seed} {quest_id} {number}")
    return Task(
        task_id=task_id_of(quest_id, number),
        quest_id=quest_id,
        importance=draw.uniform(0.5, 1.0),
        downstream_impact=draw.uniform(0.5, 1.0),
        # Of some nobody has said how tractable they are, or what they cost: then the scorer's own rules hold.
        tractability=draw.choice((None, 0.6, 0.9)),
        estimated_cost_tokens=draw.choice((None, 60, 90, 120)),
        task_type=draw.choice(("analysis", "extraction")),
        artifact_id=artifact_of(number),
        blocked=number % 3 == 0,
    )
