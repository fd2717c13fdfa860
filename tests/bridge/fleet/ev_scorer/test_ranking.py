"""The order of the backlog, what a budget buys of it, and the split of a day's tokens.

Goal: the queue is the greedy one, blocked tasks are nowhere in it, and a split loses and makes no token.
"""

import random

import pytest

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.config import Config
from callmarket.bridge.fleet.ev_scorer import get_priority_queue, get_quest_budget_allocation, score_all
from callmarket.bridge.fleet.tasks.model import Quest, Task
from callmarket.engine.limits import TOKENS_MAX
from tests.support.memory_tasks import MemoryTasks


def task(task_id: str, value: float, cost: int = 100, quest_id: str = "q", **more: object) -> Task:
    """A task of this value."""
    return Task(task_id, quest_id, value, 1.0, 1.0, estimated_cost_tokens=cost, **more)  # type: ignore[arg-type]


def test_score_all_ranks_every_open_task_and_writes_nothing() -> None:
    """BRG-2, AUC-8: best first, blocked ones too, none that has ended; a source that can only be read is enough."""
    source = MemoryTasks(
        [Quest("q", "wallet")],
        [task("a", 0.5), task("b", 0.9, blocked=True), task("c", 0.7), task("d", 1.0, status="done"), task("e", 0.7)],
    )
    assert [scored.task.task_id for scored in score_all(source).ranked()] == ["b", "c", "e", "a"]


def test_the_queue_passes_over_what_no_longer_fits() -> None:
    """BRG-2: best first while the budget lasts; what is blocked, worthless or unsound never."""
    tasks = [
        task("best", 0.9, 100),
        task("dear", 8.0, 1_000),
        task("last", 0.1, 100),
        task("blocked", 9.0, 100, blocked=True),
        task("worthless", 0.0, 1),
        task("unsound", float("nan"), 1),
    ]
    source = MemoryTasks([Quest("q", "wallet")], tasks)
    names = {budget: [one.task.task_id for one in get_priority_queue(source, budget)] for budget in (0, 99, 250, 9_999)}
    assert names == {0: [], 99: [], 250: ["best", "last"], 9_999: ["best", "dear", "last"]}


def test_the_queue_is_the_greedy_one(seed: int) -> None:
    """BRG-2: as a loop over a sorted list says."""
    rng = random.Random(seed)
    tasks = [task(f"t{n:03}", rng.random(), rng.randrange(1, 500), blocked=rng.random() < 0.2) for n in range(300)]
    budget = rng.randrange(20_000)
    expected, left = [], budget
    for one in sorted(tasks, key=lambda one: (-one.importance / (one.estimated_cost_tokens or 0), one.task_id)):
        if not one.blocked and (one.estimated_cost_tokens or 0) <= left:
            left -= one.estimated_cost_tokens or 0
            expected.append(one)
    assert [one.task for one in get_priority_queue(MemoryTasks([], tasks), budget)] == expected


def test_an_estimate_is_rounded_up() -> None:
    """BRG-2: a mean of 99.5 tokens takes a hundred of a budget."""
    source = MemoryTasks([], [Task("t", "q", 1.0, 1.0)])
    source.mean_cost_tokens = lambda: {"": 99.5}  # type: ignore[method-assign]
    assert get_priority_queue(source, 99) == []
    assert [one.cost_tokens for one in get_priority_queue(source, 100)] == [100]


@pytest.mark.parametrize("budget", [-1, TOKENS_MAX + 1, 1.5, True, "1"])
def test_a_wrong_budget_is_refused(budget: object) -> None:
    with pytest.raises(Invalid, match="budget_tokens"):
        get_priority_queue(MemoryTasks(), budget)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="day_tokens"):
        get_quest_budget_allocation(MemoryTasks(), budget)  # type: ignore[arg-type]


def test_quests_share_a_day_by_what_their_tasks_are_worth() -> None:
    """BRG-4, AUC-16: by the sum of the values, blocked tasks left out; every quest is named, also one with nothing."""
    tasks = [
        task("a1", 0.5, quest_id="a"),
        task("a2", 0.25, quest_id="a"),
        task("b1", 0.25, quest_id="b"),
        task("b2", 99.0, quest_id="b", blocked=True),
        task("x", 99.0, quest_id="of nobody"),
    ]
    source = MemoryTasks([Quest("a", "wa"), Quest("b", "wb"), Quest("c", "wc")], tasks)
    assert get_quest_budget_allocation(source, 1_000) == {"a": 750, "b": 250, "c": 0}
    assert get_quest_budget_allocation(source, config=Config(budget_day_tokens=8)) == {"a": 6, "b": 2, "c": 0}
    assert get_quest_budget_allocation(MemoryTasks([Quest("a", "wa")]), 1_000) == {"a": 0}


@pytest.mark.parametrize("huge", [1e308, 1.7e308, 10**400])
def test_numbers_without_a_sum_leave_the_other_quests_their_part(huge: float) -> None:
    """BRG-2, BRG-4: each is finite and their sum is not; they are passed over, and the day is split over the others."""
    source = MemoryTasks(
        [Quest("q", "wq"), Quest("r", "wr")],
        [task("a", huge, 1), task("b", huge, 1), task("c", 0.25, 1), task("d", 0.75, 1, quest_id="r")],
    )
    assert get_quest_budget_allocation(source, 1_000) == {"q": 250, "r": 750}
    assert [one.task.task_id for one in get_priority_queue(source, 100)] == ["d", "c"]
