"""What tasks are worth: the columns against a loop in plain Python, and numbers that are none.

Goal: the vectorised scores are those of the formula, to the last bit, and no wrong row stops or moves the others.
"""

import math
import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from callmarket.bridge.config import DEFAULTS, Config
from callmarket.bridge.fleet.ev_scorer import score_tasks
from callmarket.bridge.fleet.quest_budgets.split import split
from callmarket.bridge.fleet.tasks.model import Task
from callmarket.engine.limits import TOKENS_MAX

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


def test_the_score_of_one_task_worked_out_by_hand() -> None:
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
        pytest.param("importance", 10**5_000, id="importance-too-long-to-print"),
        ("importance", 1e308),
        ("importance", 1_000_001),
        ("downstream_impact", -math.inf),
        ("downstream_impact", "x" * 500),
        ("tractability", math.nan),
        ("tractability", -1e-300),
        ("tractability", 1e7),
        ("tractability", ""),
        ("tractability", [0.5]),
        ("estimated_cost_tokens", ""),
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


@pytest.mark.parametrize("huge", [1e308, 1.7e308, 1e200])
def test_numbers_whose_product_or_sum_is_none_stop_no_other_task(huge: float) -> None:
    """BRG-2, Precisely: each of them is finite; their product, or the sum over a quest, would not be."""
    tasks = [Task(f"t{number}", "q", huge, huge if number else 1.0, 1.0, 1) for number in range(3)]
    scores = score_tasks([*tasks, Task("good", "q", 0.5, 0.5, 1.0, 1)], {})
    assert sorted(scores.unsound) == [0, 1, 2]
    assert scores.sum_by_quest() == {"q": 0.25}


def test_the_largest_sound_numbers_have_finite_sums() -> None:
    """BRG-2: at the bounds nothing overflows, however many there are."""
    scores = score_tasks([Task(f"t{number}", "q", 1e6, 1e6, 1e6, 1) for number in range(1_000)], {})
    assert not scores.unsound
    assert scores.sum_by_quest() == {"q": 1e21}
    assert split(1_000, scores.sum_by_quest()) == {"q": 1_000}


def test_a_value_is_capped_at_all_tokens() -> None:
    """BRG-1: a bid is at most all the tokens that there can be."""
    scores = score_tasks([Task("t", "q", 1e6, 1e6, 1.0, estimated_cost_tokens=1)], {})
    assert (scores[0].ev_tokens, dict(scores.unsound)) == (TOKENS_MAX, {})


def test_decimals_of_a_database_are_numbers() -> None:
    """BRG-2: a platform may keep them as it likes."""
    exact = Task("t", "q", Decimal("0.5"), Decimal("0.5"), Decimal(1), 100)  # type: ignore[arg-type]
    assert score_tasks([exact], {})[0].ev_per_token == 0.25 / 100


@pytest.mark.parametrize("mean", [math.nan, math.inf, -1.0, TOKENS_MAX * 2.0, 10**400, None, "many"])
@pytest.mark.parametrize("task_type", ["debate", ""])
def test_a_wrong_mean_is_named_and_counts_as_unknown(
    task_type: str, mean: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """BRG-2, Precisely: the next of what a cost is estimated by stands in for it."""
    tasks = [Task("t", "q", 1.0, 1.0, 1.0, task_type="debate"), Task("u", "q", 1.0, 1.0, 1.0, task_type="other")]
    means: dict[str, Any] = {"": 200.0, "debate": 50.0}
    known = {name: tokens for name, tokens in means.items() if name != task_type}
    expected = score_tasks(tasks, known).cost_tokens.tolist()
    assert score_tasks(tasks, means | {task_type: mean}).cost_tokens.tolist() == expected
    assert f"mean_cost_tokens[{task_type!r}]" in caplog.text


def test_no_tasks_give_an_empty_ranking() -> None:
    """BRG-2: nothing is an order too."""
    scores = score_tasks([], {})
    assert list(scores.ranked()) == []
    assert scores.sum_by_quest() == {}
