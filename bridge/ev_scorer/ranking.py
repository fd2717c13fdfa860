"""The whole backlog in its order: what to do next, and what each quest's part of a day's tokens is.

Rule of this file: it reads a task source and writes nothing. While the auction runs, what a task is worth becomes a bid
(`submission`), not an allocation; `bridge.budgets` writes allocations, and only when it is asked to.
"""

from collections.abc import Mapping
from fractions import Fraction

from bridge.config import DEFAULTS, Config
from bridge.errors import Invalid
from bridge.ev_scorer.scoring import ScoredTask, Scores, score_tasks
from bridge.work.source import TaskSource
from engine.limits import TOKENS_MAX


def score_all(source: TaskSource, config: Config = DEFAULTS) -> Scores:
    """Score all open tasks, blocked or not; `ranked()` of it is the order. Writes nothing. O(n log n)."""
    return score_tasks(source.open_tasks(), source.mean_cost_tokens(), config)


def get_priority_queue(source: TaskSource, budget_tokens: int, config: Config = DEFAULTS) -> list[ScoredTask]:
    """What a budget of tokens is best spent on: best expected value first, each at its estimated cost.

    One that no longer fits is passed over, so that it does not keep the others waiting. Blocked tasks and those worth
    nothing are not in it. Raises `Invalid`.
    """
    _check_tokens("budget_tokens", budget_tokens)
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
    _check_tokens("day_tokens", tokens)
    values = _wanted(source, config).sum_by_quest()
    return split(tokens, {quest.quest_id: values.get(quest.quest_id, 0.0) for quest in source.quests()})


def split(tokens: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Divide tokens in proportion to weights by the method of largest remainders (Hamilton), exactly.

    What is left over by rounding down goes to the largest remainders, by name where they are equal. Nobody gets
    anything if all weights are 0.
    """
    exact = {name: Fraction(weight) for name, weight in sorted(weights.items())}
    total = sum(exact.values())
    if not total:
        return dict.fromkeys(exact, 0)
    quotas = {name: tokens * weight / total for name, weight in exact.items()}
    parts = {name: quota.numerator // quota.denominator for name, quota in quotas.items()}
    over = tokens - sum(parts.values())
    for name in sorted(parts, key=lambda name: parts[name] - quotas[name])[:over]:
        parts[name] += 1
    return parts


def _wanted(source: TaskSource, config: Config) -> Scores:
    """The scores of what could be worked on now."""
    tasks = [task for task in source.open_tasks() if not task.blocked]
    return score_tasks(tasks, source.mean_cost_tokens(), config)


def _check_tokens(field: str, tokens: int) -> None:
    if type(tokens) is not int or not 0 <= tokens <= TOKENS_MAX:
        raise Invalid(field, tokens, f"0 to {TOKENS_MAX} whole tokens")
