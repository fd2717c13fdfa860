"""What tasks are worth: the columns against a loop in plain Python, and numbers that are none.

Goal: the vectorised scores are those of the formula, to the last bit, and no wrong row stops or moves the others.
"""

import math
import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bridge.config import DEFAULTS, Config
from bridge.errors import Invalid
from bridge.ev_scorer import score_tasks
from bridge.work.model import Task
from engine.limits import TOKENS_MAX

TYPES = ("debate", "analysis", "", "new")


def tasks_of(seed: int, count: int) -> list[Task]:
    """Random tasks, some with nothing known, some worth nothing."""
    rng = random.Random(seed)
    return [
        Task(
            task_id=f"t{number:04}",
            quest_id=f"q{rng.randrange(5)}",
            importance=rng.choice([0.0, 1.0, rng.random(), rng.random() * 1e6]),
            downstream_impact=rng.random(),
            tractability=rng.choice([None, 0.0, rng.random()]),
            estimated_cost_tokens=rng.choice([None, None, 0, 1, rng.randrange(10**6)]),
            task_type=rng.choice(TYPES),
        )
        for number in range(count)
    ]


def ev_in_plain_python(task: Task, means: dict[str, float], config: Config) -> tuple[float, float]:
    """EV per token and in tokens, as RULES.md says them."""
    cost: float | None = task.estimated_cost_tokens
    for known in (means.get(task.task_type), means.get(""), float(config.ev_default_cost_tokens)):
        cost = known if cost is None else cost
    assert cost is not None
    tractability = 0.7 if task.tractability is None else task.tractability
    value = task.importance * tractability * task.downstream_impact / max(1.0, cost)
    return value, min(value * (config.ev_default_cost_tokens * config.ev_tokens_per_impact), TOKENS_MAX)


@pytest.mark.parametrize("means", [{}, {"": 2_000.0}, {"": 2_000.0, "debate": 500.25, "analysis": 0.0}])
def test_the_columns_are_the_formula_to_the_last_bit(seed: int, means: dict[str, float]) -> None:
    """BRG-2: importance, tractability (0.7 where unknown), downstream impact, cost (own, of its type, of all)."""
    tasks = tasks_of(seed, 2_000)
    for config in (DEFAULTS, Config(ev_default_cost_tokens=7, ev_tokens_per_impact=3)):
        scores = score_tasks(tasks, means, config)
        expected = [ev_in_plain_python(task, means, config) for task in tasks]
        assert scores.ev_per_token.tolist() == [value for value, _ in expected]
        assert scores.ev_tokens.tolist() == [tokens for _, tokens in expected]
        by_hand = sorted(range(len(tasks)), key=lambda index: (-expected[index][0], index))
        assert scores.order.tolist() == by_hand
        assert [scored.task for scored in scores.ranked()] == [tasks[index] for index in by_hand]
        assert not scores.unsound


def test_one_task_by_hand() -> None:
    """BRG-2, BRG-1, AUC-9: 0.8 * 0.5 * 0.5 impact for 20,000 tokens; at the usual 10,000 it would be worth 20,000."""
    task = Task("t", "q", importance=0.8, downstream_impact=0.5, tractability=0.5, estimated_cost_tokens=20_000)
    (scored,) = score_tasks([task], {}).ranked()
    assert scored.ev_per_token == 0.8 * 0.5 * 0.5 / 20_000
    assert (scored.cost_tokens, scored.ev_tokens) == (20_000, 10_000)


def test_a_task_at_the_usual_cost_is_worth_its_expected_impact() -> None:
    """BRG-1, Precisely: EV in tokens is EV * ev_default_cost_tokens * ev_tokens_per_impact."""
    task = Task("t", "q", importance=0.5, downstream_impact=0.5, tractability=1.0)
    assert score_tasks([task], {})[0].ev_tokens == 25_000
    assert score_tasks([task], {"": 5_000.0})[0].ev_tokens == 50_000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("importance", math.nan),
        ("importance", math.inf),
        ("importance", -0.1),
        ("importance", None),
        ("importance", "much"),
        ("importance", 10**400),
        ("downstream_impact", -math.inf),
        ("downstream_impact", "x" * 500),
        ("tractability", math.nan),
        ("tractability", -1e-300),
        ("estimated_cost_tokens", -1),
        ("estimated_cost_tokens", TOKENS_MAX + 1),
        ("estimated_cost_tokens", 10**400),
        ("estimated_cost_tokens", math.nan),
        ("estimated_cost_tokens", math.inf),
    ],
)
def test_a_wrong_number_is_named_and_moves_no_other_task(seed: int, field: str, value: Any) -> None:
    """BRG-2, Precisely: a task whose numbers cannot be reckoned with has no score; the others have theirs."""
    tasks = tasks_of(seed, 50)
    before = score_tasks(tasks, {})
    tasks[20] = msgspec.structs.replace(tasks[20], **{field: value})
    after = score_tasks(tasks, {})
    assert list(after.unsound) == [20]
    assert field in after.unsound[20]
    assert len(after.unsound[20]) < 200
    assert after[20].ev_per_token == after[20].ev_tokens == 0
    for index in range(50):
        assert index == 20 or after[index] == before[index]
    assert [scored for scored in after.ranked() if scored.task is tasks[20]]


def test_a_product_beyond_all_numbers_is_no_score() -> None:
    """BRG-2, Precisely: each number is sound, their product is not."""
    huge = Task("t", "q", importance=1e200, downstream_impact=1e200, tractability=1.0)
    scores = score_tasks([huge], {})
    assert "product" in scores.unsound[0]
    assert scores[0].ev_tokens == 0


def test_what_is_worth_more_than_all_tokens_is_worth_all_tokens() -> None:
    """BRG-1: a bid is at most all the tokens that there can be."""
    scores = score_tasks([Task("t", "q", 1e305, 1.0, 1.0, estimated_cost_tokens=1)], {})
    assert (scores[0].ev_tokens, dict(scores.unsound)) == (TOKENS_MAX, {})


def test_decimals_of_a_database_are_numbers() -> None:
    """BRG-2: a platform may keep them as it likes."""
    exact = Task("t", "q", Decimal("0.5"), Decimal("0.5"), Decimal(1), 100)  # type: ignore[arg-type]
    assert score_tasks([exact], {})[0].ev_per_token == 0.25 / 100


@pytest.mark.parametrize("mean", [math.nan, math.inf, -1.0, TOKENS_MAX * 2.0])
def test_a_wrong_mean_is_refused_by_its_type(mean: float) -> None:
    """BRG-2: it would be in the score of every task, so nothing is scored."""
    with pytest.raises(Invalid, match=r"mean_cost_tokens\['debate'\]"):
        score_tasks([], {"debate": mean})


def test_no_tasks() -> None:
    """BRG-2: nothing is an order too."""
    scores = score_tasks([], {})
    assert list(scores.ranked()) == []
    assert scores.sum_by_quest() == {}
