"""What tasks are worth: their expected value for each token that they burn, and in tokens.

Rule of this file: pure, over columns of numbers. float64, one operation after the other in the order in which the
formula is written, so that a loop in plain Python gives the very same numbers.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from callmarket.bridge.api.errors import shown
from callmarket.bridge.api.units import float_of
from callmarket.bridge.config import DEFAULTS, Config
from callmarket.bridge.fleet.tasks.checks import WEIGHT_MAX
from callmarket.bridge.fleet.tasks.model import Task
from callmarket.engine.limits import TOKENS_MAX

logger: Final = logging.getLogger(__name__)

# For a task of which nobody has said how tractable it is (BRG-2).
TRACTABILITY: Final = 0.7
# Running anything burns something; and the divisor is never zero.
COST_TOKENS_MIN: Final = 1.0

Column = NDArray[np.float64]


class ScoredTask(Struct, frozen=True, gc=False):
    """A task with its expected value: per token of its cost (BRG-2), and in tokens (BRG-1), rounded down.

    `cost_tokens` is rounded up: it is what has to be set aside for the work.
    """

    task: Task
    cost_tokens: int
    ev_per_token: float
    ev_tokens: int


class Scores:
    """The scores of some tasks, as columns in the order of `tasks`.

    `ev_per_token` is 0 where `unsound` says why the task has no score.
    """

    def __init__(
        self, tasks: Sequence[Task], cost_tokens: Column, ev_per_token: Column, unsound: Mapping[int, str], scale: float
    ) -> None:
        """`score_tasks` makes one."""
        self.tasks: Final = tasks
        self.cost_tokens: Final = cost_tokens
        self.ev_per_token: Final = ev_per_token
        self.unsound: Final = unsound
        with np.errstate(over="ignore"):
            self.ev_tokens: Final = np.minimum(ev_per_token * scale, float(TOKENS_MAX))

    def __len__(self) -> int:
        """The number of tasks."""
        return len(self.tasks)

    def __getitem__(self, index: int) -> ScoredTask:
        """One of them, as a record."""
        return ScoredTask(
            self.tasks[index],
            math.ceil(self.cost_tokens[index]),
            float(self.ev_per_token[index]),
            int(self.ev_tokens[index]),
        )

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The indices of the tasks, best expected value first; equal ones in the order of `tasks`. O(n log n)."""
        return np.argsort(-self.ev_per_token, kind="stable")

    def ranked(self) -> Iterator[ScoredTask]:
        """The tasks as records, best expected value first; those without a score are the last."""
        return (self[index] for index in self.order.tolist())

    def sum_by_quest(self) -> dict[str, float]:
        """The sum of the expected values of each quest's tasks, exactly rounded, so that their order is nothing."""
        values: dict[str, list[float]] = {}
        for task, value in zip(self.tasks, self.ev_per_token.tolist(), strict=True):
            values.setdefault(task.quest_id, []).append(value)
        return {quest_id: math.fsum(of_one) for quest_id, of_one in values.items()}


def score_tasks(tasks: Sequence[Task], mean_cost_tokens: Mapping[str, float], config: Config = DEFAULTS) -> Scores:
    """Score tasks: EV = importance * tractability * downstream_impact / cost, in impact per token (BRG-2).

    `mean_cost_tokens` is what finished work has cost by `task_type`, and all of it under the empty type; it stands in
    for a task's own `estimated_cost_tokens`, and `ev_default_cost_tokens` for both. Nothing costs less than a token. A
    task whose numbers are none that can be reckoned with (not finite, negative, beyond `WEIGHT_MAX` or all tokens) has
    no score and is named in `unsound`, and a mean of that kind counts as unknown: one wrong row stops no backlog.
    O(n): 100,000 tasks in less than a tenth of a second, most of it the reading of their fields.
    """
    costs = _costs(tasks, mean_cost_tokens, float(config.ev_default_cost_tokens))
    importance = _column([task.importance for task in tasks])
    tractability = _column([TRACTABILITY if task.tractability is None else task.tractability for task in tasks])
    downstream = _column([task.downstream_impact for task in tasks])
    # Whatever is sound is small enough for any product, and any sum of them, to be finite.
    measures = (importance, tractability, downstream)
    sound = np.logical_and.reduce([(column >= 0) & (column <= WEIGHT_MAX) for column in measures])
    sound &= (costs >= 0) & (costs <= TOKENS_MAX)
    with np.errstate(over="ignore", invalid="ignore"):
        values = importance * tractability * downstream / np.maximum(costs, COST_TOKENS_MIN)
    unsound = {index: _complaint(tasks[index]) for index in np.flatnonzero(~sound).tolist()}
    costs = np.where(sound, np.maximum(costs, COST_TOKENS_MIN), COST_TOKENS_MIN)
    scale = float(config.ev_default_cost_tokens) * config.ev_tokens_per_impact
    return Scores(tasks, costs, np.where(sound, values, 0.0), unsound, scale)


def _costs(tasks: Sequence[Task], means: Mapping[str, float], default: float) -> Column:
    known = {task_type: float_of(mean) for task_type, mean in means.items()}
    for task_type, mean in means.items():
        if not _is_tokens(known[task_type]):
            logger.warning(
                "mean_cost_tokens[%r]: expected a number from 0 to %d, got %s", task_type, TOKENS_MAX, shown(mean)
            )
            del known[task_type]
    of_all = known.get("", default)
    return _column(
        [
            known.get(task.task_type, of_all) if task.estimated_cost_tokens is None else task.estimated_cost_tokens
            for task in tasks
        ]
    )


def _column(values: Sequence[Any]) -> Column:
    try:
        column = np.array(values, dtype=np.float64)
        if column.ndim == 1:
            return column
    except (TypeError, ValueError, OverflowError):
        pass
    # Some are no numbers: one by one, to find which.
    return np.array([float_of(value) for value in values], dtype=np.float64)


def _complaint(task: Task) -> str:
    """Which of its numbers is wrong, and what was expected."""
    measure, tractability, cost = f"a number from 0 to {WEIGHT_MAX:g}", task.tractability, task.estimated_cost_tokens
    bounds: tuple[tuple[str, Any, Callable[[float], bool], str], ...] = (
        ("importance", task.importance, _is_measure, measure),
        ("tractability", 0 if tractability is None else tractability, _is_measure, f"{measure}, or nothing"),
        ("downstream_impact", task.downstream_impact, _is_measure, measure),
        ("estimated_cost_tokens", 0 if cost is None else cost, _is_tokens, f"0 to {TOKENS_MAX} tokens"),
    )
    for field, value, is_sound, expected in bounds:
        if not is_sound(float_of(value)):
            return f"{field}: expected {expected}, got {shown(value)}"
    return "one of its numbers: expected one that float64 holds"


def _is_measure(value: float) -> bool:
    return 0 <= value <= WEIGHT_MAX


def _is_tokens(value: float) -> bool:
    return 0 <= value <= TOKENS_MAX
