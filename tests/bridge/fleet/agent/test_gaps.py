"""Which gap is next: UCB1 and budgets, blended as RES-5 says.

Goal: the order follows from the gaps and budgets alone. Method: values computed by hand, the edges, and a property:
whatever the order of the input, a naive reading of the formula gives the same.
"""

import math
import random
from typing import Any

import pytest

from callmarket.bridge.fleet.agent import Gap, get_top_gap, score_gaps
from callmarket.engine.limits import SEQ_MAX, TOKENS_MAX


def test_seventy_percent_ucb_and_thirty_percent_budget() -> None:
    """RES-5, `get_top_gap`: 0.7 * UCB1 + 0.3 * budget / largest budget; UCB1 of Auer et al. 2002."""
    gaps = [Gap("a", 1, 0.5, "h-1"), Gap("b", 3, 0.9, "h-2")]
    second, first = sorted(score_gaps(gaps, {"h-1": 50, "h-2": 200}), key=lambda one: one.gap.gap_id)
    expected_a = 0.7 * (0.5 + math.sqrt(2 * math.log(4) / 1)) + 0.3 * 0.25
    expected_b = 0.7 * (0.9 + math.sqrt(2 * math.log(4) / 3)) + 0.3
    assert (second.gap.gap_id, second.score) == ("a", pytest.approx(expected_a))
    assert (first.gap.gap_id, first.score) == ("b", pytest.approx(expected_b))
    # 1.590 against 1.603: the richer one, though it was visited more often.
    assert get_top_gap(gaps, {"h-1": 50, "h-2": 200}) == gaps[1]


def test_a_high_budget_is_picked_first() -> None:
    """RES-5: of gaps that are equal otherwise, the one with the high resource budget."""
    gaps = [Gap("a", 5, 0.5, "poor"), Gap("b", 5, 0.5, "rich")]
    top = get_top_gap(gaps, {"poor": 1.0, "rich": 9.0})
    assert top is not None
    assert top.gap_id == "b"


def test_never_visited_comes_first_and_the_better_paid_of_those() -> None:
    gaps = [Gap("good", 9, 1.0, "h-1"), Gap("new", 0, 0.0, "h-2"), Gap("paid", 0, 0.0, "h-3")]
    order = [one.gap.gap_id for one in score_gaps(gaps, {"h-1": 10**9, "h-3": 1})]
    assert order == ["paid", "new", "good"]


def test_scores_of_no_gap_one_gap_and_gaps_without_budgets() -> None:
    """No gap, one gap, no budgets at all, gaps without an artifact: nothing is divided by nothing."""
    assert get_top_gap([], {"h": 1.0}) is None
    assert score_gaps([], {}) == []
    only = Gap("only", 1, 0.25, "h")
    assert get_top_gap([only], {}) == only
    assert score_gaps([only], {"h": 0.0})[0].score == pytest.approx(0.7 * 0.25)
    assert score_gaps([Gap("none", 1, 0.25)], {"": 99.0})[0].budget == 0


def test_equal_ones_stand_in_the_order_of_their_ids() -> None:
    gaps = [Gap(name, 2, 0.5) for name in "cab"]
    assert [one.gap.gap_id for one in score_gaps(gaps, {})] == ["a", "b", "c"]
    assert get_top_gap(gaps, {}) == Gap("a", 2, 0.5)


@pytest.mark.parametrize(
    ("gap", "budgets", "field"),
    [
        (Gap("g", -1, 0.5), {}, "visits of g"),
        (Gap("g", 1.5, 0.5), {}, "visits of g"),  # type: ignore[arg-type]
        (Gap("g", 10**400, 0.5), {}, "visits of g"),
        (Gap("g", 1, 1.1), {}, "mean_reward of g"),
        (Gap("g", 1, math.nan), {}, "mean_reward of g"),
        (Gap("g", 1, "good"), {}, "mean_reward of g"),  # type: ignore[arg-type]
        (Gap("g", 1, 0.5, "h"), {"h": -1.0}, "budgets_tokens['h']"),
        (Gap("g", 1, 0.5, "h"), {"h": math.inf}, "budgets_tokens['h']"),
        (Gap("g", 1, 0.5, "h"), {"h": 10**400}, "budgets_tokens['h']"),
        (Gap("g", 1, 0.5, "h"), {"h": None}, "budgets_tokens['h']"),
    ],
)
def test_a_gap_with_impossible_numbers_is_named_and_moves_no_other(
    gap: Gap, budgets: dict[str, Any], field: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A gap of that kind is passed over, and such a budget counts as none."""
    others = [Gap("a", 3, 0.5, "i"), Gap("b", 3, 0.4, "j")]
    budgets |= {"i": 10, "j": 20}
    told = score_gaps([others[0], gap, others[1]], budgets)
    assert field in caplog.text
    if field.startswith("budgets"):
        assert told == score_gaps([*others, gap], budgets | {"h": 0})
    else:
        assert told == score_gaps(others, budgets)
    assert get_top_gap([gap, *others], budgets) == told[0].gap


def test_a_gap_at_the_bound_counts() -> None:
    """As many visits and tokens as the market can have; a mean of nothing, and of all."""
    gaps = [Gap("most", SEQ_MAX, 1.0, "rich"), Gap("least", 1, 0.0, "poor"), Gap("beyond", SEQ_MAX + 1, 1.0)]
    told = score_gaps(gaps, {"rich": TOKENS_MAX, "poor": TOKENS_MAX + 1})
    assert [(one.gap.gap_id, one.budget) for one in told] == [("least", 0.0), ("most", pytest.approx(0.3))]


def test_scores_of_random_gaps_match_the_formula_in_any_order(seed: int) -> None:
    """Against a naive reading of the formula, over random gaps."""
    rng = random.Random(seed)
    for _ in range(200):
        gaps = [Gap(f"g{n}", rng.choice([0, 0, 1, 5, 50]), rng.choice([0, 0.5, 1]), f"h{n % 5}") for n in range(1, 15)]
        budgets = {f"h{n}": rng.choice([0.0, 1.0, 100.0]) for n in range(5)}
        total, most = sum(gap.visits for gap in gaps), max(budgets.values()) or 1.0

        def naive(gap: Gap, total: int = total, most: float = most, budgets: dict[str, float] = budgets) -> Any:
            share = 0.3 * (budgets[gap.artifact_id] / most)
            if not gap.visits:
                return -math.inf, -share, gap.gap_id
            ucb = gap.mean_reward + math.sqrt(2 * math.log(total) / gap.visits)
            return -(0.7 * ucb + share), -share, gap.gap_id

        expected = sorted(gaps, key=naive)
        rng.shuffle(gaps)
        assert [one.gap for one in score_gaps(gaps, budgets)] == expected
        assert get_top_gap(gaps, budgets) == expected[0]
