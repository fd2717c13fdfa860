"""Tokens divided over quests: whole, exact, fair, and again after some were used.

Goal: no split loses or makes a token, and none takes what was used already.
"""

import random
from fractions import Fraction

import pytest

from callmarket.bridge.api.operations.quest_budgets import _paying
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.fleet.quest_budgets.split import split, split_again
from callmarket.engine.limits import TOKENS_MAX


def test_a_split_is_exact_fair_and_the_same_in_any_order(seed: int) -> None:
    """BRG-4: whole tokens whose sum is the day's; nobody is more than one token off its exact part."""
    rng = random.Random(seed)
    for _ in range(200):
        names = [f"q{number}" for number in range(rng.randrange(1, 30))]
        weights = {name: rng.choice([0.0, 1.0, rng.random(), rng.random() * 1e-300, 1e300]) for name in names}
        tokens = rng.choice([0, 1, 7, rng.randrange(1, 10**6), TOKENS_MAX])
        parts = split(tokens, weights)
        total = sum(map(Fraction, weights.values()))
        assert sum(parts.values()) == (tokens if total else 0)
        for name in names:
            if total:
                assert abs(parts[name] - Fraction(weights[name]) * tokens / total) < 1
            assert weights[name] or not parts[name]
        rng.shuffle(names)
        assert split(tokens, {name: weights[name] for name in names}) == parts


def test_a_split_by_largest_remainders_worked_out_by_hand() -> None:
    """BRG-4: 10 tokens for 3 : 3 : 1 are 4.28, 4.28, 1.42; the token that is left goes to the last, which is owed most.

    Equal remainders go by name.
    """
    assert split(10, {"a": 3.0, "b": 3.0, "c": 1.0}) == {"a": 4, "b": 4, "c": 2}
    assert split(2, {"z": 1.0, "b": 1.0, "a": 1.0}) == {"a": 1, "b": 1, "z": 0}


def test_a_second_split_takes_from_nobody_what_was_used(seed: int) -> None:
    """BRG-4, Precisely: the sum is that of the first, unless more was used; who is over its part gets nothing more."""
    rng = random.Random(seed)
    for _ in range(300):
        names = [f"q{number}" for number in range(rng.randrange(1, 12))]
        # Few tokens, too: then what was used is often just one more than a part.
        tokens_max = rng.choice([10, 10_000])
        weights = split(rng.randrange(tokens_max), {name: rng.choice([0.0, rng.random()]) for name in names})
        used = {name: rng.choice([0, rng.randrange(tokens_max // 3)]) for name in [*names[2:], "gone"]}
        parts = split_again(weights, used)
        assert set(parts) == set(names) | {"gone"}
        for name, part in parts.items():
            assert part >= used.get(name, 0)
        total = sum(weights.values())
        sharing = [name for name, part in parts.items() if part > used.get(name, 0)]
        if sharing:
            assert sum(parts.values()) == total
            # Those that share the rest do so by their weights: no two of them differ by more than rounding.
            rest, weight = sum(parts[name] for name in sharing), sum(weights[name] for name in sharing)
            for name in sharing:
                assert abs(parts[name] - Fraction(rest * weights[name], weight)) <= len(parts)
        assert split_again(weights, {}) == weights


def test_a_quest_that_has_spent_its_part_takes_nothing_of_the_others() -> None:
    """BRG-4, Precisely: `a` has used its 750; a second split leaves `b` its 250, or a newcomer shares it."""
    assert split_again({"a": 750, "b": 250}, {"a": 750}) == {"a": 750, "b": 250}
    assert split_again({"a": 600, "b": 200, "c": 200}, {"a": 750}) == {"a": 750, "b": 125, "c": 125}
    assert split_again({"a": 1, "b": 1}, {"a": 2}) == {"a": 2, "b": 0}
    assert split_again({"a": 100}, {"gone": 40}) == {"a": 60, "gone": 40}
    assert split_again({"a": 100}, {"gone": 140}) == {"a": 0, "gone": 140}
    assert split_again({}, {}) == {}


@pytest.mark.parametrize(
    ("awarded_s", "reserved_s", "paying"),
    [
        (None, None, None),
        (1, None, "auction"),
        (None, 1, "budget"),
        (1, 2, "budget"),
        (2, 1, "auction"),
        (1, 1, "auction"),
    ],
)
def test_the_quest_that_overspent_last_pays(awarded_s: int | None, reserved_s: int | None, paying: str | None) -> None:
    """BRG-5: of two at one moment, the auction, which comes first for every worker."""
    awarded_at, reserved_at = (None if one is None else datetime_of(one * 1_000_000) for one in (awarded_s, reserved_s))
    assert _paying(awarded_at, reserved_at) == paying
