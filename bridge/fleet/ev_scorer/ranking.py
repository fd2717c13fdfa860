"""The whole backlog in its order: what to do next, and what each quest's part of a day's tokens is.

Rule of this file: it reads a task source and writes nothing. While the auction runs, what a task is worth becomes a bid
(`submission`), not an allocation; `bridge.fleet.fallback` writes allocations, and only when it is asked to.
"""

from callmarket.bridge.config import DEFAULTS, Config
from callmarket.bridge.fleet.ev_scorer.scoring import ScoredTask, Scores, score_tasks
from callmarket.bridge.fleet.quest_budgets.split import split
from callmarket.bridge.fleet.tasks.checks import check_tokens
from callmarket.bridge.fleet.tasks.source import TaskSource


def score_all(source: TaskSource, config: Config = DEFAULTS) -> Scores:
    """Score all open tasks, blocked or not; `ranked()` of it is the order. Writes nothing. O(n log n)."""
    return score_tasks(source.open_tasks(), source.mean_cost_tokens(), config)


def get_priority_queue(source: TaskSource, budget_tokens: int, config: Config = DEFAULTS) -> list[ScoredTask]:
    """What a budget of tokens is best spent on: best expected value first, each at its estimated cost.

    One that no longer fits is passed over, so that it does not keep the others waiting. Blocked tasks and those worth
    nothing are not in it. Raises `Invalid`.
    """
    check_tokens("budget_tokens", budget_tokens)
    queue = []
    left = budget_tokens
    for scored in _wanted(source, config).ranked():
        if not scored.ev_per_token or not left:
            break
        if scored.cost_tokens <= left:
            left -= scored.cost_tokens
            queue.append(scored)
    return queue


def get_quest_budget_allocation(
    source: TaskSource, day_tokens: int | None = None, config: Config = DEFAULTS
) -> dict[str, int]:
    """Split a day's tokens (`budget_day_tokens` by default) over all quests, by the sum of their tasks' values.

    Blocked tasks do not count. Whole tokens whose sum is exactly the day's, unless nothing is worth anything: then
    nobody gets any. Writes nothing. Raises `Invalid`.
    """
    tokens = config.budget_day_tokens if day_tokens is None else day_tokens
    check_tokens("day_tokens", tokens)
    values = _wanted(source, config).sum_by_quest()
    return split(tokens, {quest.quest_id: values.get(quest.quest_id, 0.0) for quest in source.quests()})


def _wanted(source: TaskSource, config: Config) -> Scores:
    """The scores of what could be worked on now."""
    tasks = [task for task in source.open_tasks() if not task.blocked]
    return score_tasks(tasks, source.mean_cost_tokens(), config)
