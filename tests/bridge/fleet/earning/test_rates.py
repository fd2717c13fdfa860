"""What work pays: the shipped table, tables of one's own, and the arithmetic.

Goal: a reward is exactly what the table says, in whole tokens, and a wrong table is refused as a whole by what is wrong
in it. Method: exact fractions beside the code; one mistake at a time planted in a good table.
"""

import random
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import pytest

from callmarket import Invalid
from callmarket.bridge.config import from_environment
from callmarket.bridge.fleet.earning.rates import FACTORS, Factors, Rate, configured_rates, load_rates, shipped_rates

GOOD = """
daily_cap_tokens = 500
[actions.review]
base_tokens = 10
cap_tokens = 30
factors = { quality = [0.0, 2.0] }
"""


def test_the_shipped_table_pays_2_to_50_and_at_most_2_to_200() -> None:
    """The scale of the users who bring rates of their own: base rates of 2 to 50 tokens, caps of 2 to 200."""
    rates = shipped_rates()
    bases = [rate.base_tokens for rate in rates.actions.values()]
    caps = [rate.cap_tokens for rate in rates.actions.values()]
    assert (min(bases), max(bases)) == (2, 50)
    assert min(caps) >= 2
    assert max(caps) == 200
    for rate in rates.actions.values():
        best: dict[str, Any] = {name: 1 for name in FACTORS if getattr(rate.factors, name)}
        assert rate.tokens({}) == (rate.base_tokens, False)
        tokens, _ = rate.tokens(best)
        assert rate.base_tokens < tokens <= rate.cap_tokens


def test_a_reward_is_the_exact_product_rounded_down_once(seed: int) -> None:
    """Against fractions: no rounding in between, none up, and no judgement earns more than the cap."""
    rng = random.Random(seed)
    for _ in range(2_000):
        times = {name: (rng.randrange(10_001) / 1000, rng.randrange(10_001) / 1000) for name in FACTORS}
        rate = Rate(rng.randrange(1, 60), rng.randrange(60, 5_000), Factors(**times))
        judged = {name: rng.choice([None, 0, 1, rng.randrange(1_000_001) / 1_000_000]) for name in FACTORS}
        exact = Fraction(rate.base_tokens)
        for name, judgement in judged.items():
            if judgement is not None:
                at_zero, at_one = (Fraction(str(one)) for one in times[name])
                exact *= at_zero + (at_one - at_zero) * Fraction(str(judgement))
        expected = min(floor(exact), rate.cap_tokens)
        assert rate.tokens(judged) == (expected, floor(exact) > rate.cap_tokens), (rate, judged)


@pytest.mark.parametrize("judgement", [-0.1, 1.000001, float("nan"), float("inf"), "good", True])
def test_a_judgement_is_from_0_to_1(judgement: Any) -> None:
    with pytest.raises(Invalid, match="quality: expected a"):
        shipped_rates().rate("review").tokens({"quality": judgement})


def test_an_action_is_judged_by_its_own_factors() -> None:
    with pytest.raises(Invalid, match="novelty: expected nothing: this action is judged by quality and impact"):
        shipped_rates().rate("review").tokens({"novelty": 0.5})


def test_an_action_that_is_not_in_the_table_is_named() -> None:
    with pytest.raises(Invalid, match=r"action_type: expected one of contribution, debate, .*, got 'dance'"):
        shipped_rates().rate("dance")


def test_a_table_of_ones_own_is_the_whole_table(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(GOOD)
    rates = configured_rates(from_environment({"CALLMARKET_EARNINGS_FILE": str(path)}))
    assert list(rates.actions) == ["review"]
    assert rates.daily_cap_tokens == 500
    assert rates.rate("review").tokens({"quality": 0.85}) == (17, False)
    assert configured_rates(from_environment({})) is shipped_rates()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("base_tokens = 10", "base_tokens = -10", "actions.review.base_tokens: expected a whole number >= 1, got -10"),
        ("base_tokens = 10", "base_tokens = 1.5", "actions.review.base_tokens: expected a whole number, got 1.5"),
        ("cap_tokens = 30", "cap_tokens = 9", "cap_tokens: expected base_tokens or more, which is 10, got 9"),
        ("cap_tokens = 30", "cap_tokens = 1000001", "cap_tokens: expected a whole number <= 1000000, got 1000001"),
        ("cap_tokens = 30", "", "actions.review: expected Object missing required field `cap_tokens`"),
        (
            "cap_tokens = 30",
            "cap_tokens = 30\nbonus = 1",
            "actions.review: expected Object contains unknown field `bonus`",
        ),
        ("quality =", "charm =", "actions.review.factors: expected Object contains unknown field `charm`"),
        ("[0.0, 2.0]", "[0.0, 10.5]", r"factors.quality\[1\]: expected a number <= 10.0, got 10.5"),
        ("[0.0, 2.0]", "[-0.5, 2.0]", r"factors.quality\[0\]: expected a number >= 0.0, got -0.5"),
        ("[0.0, 2.0]", "[0.0]", "factors.quality: expected a list of length 2"),
        ("[0.0, 2.0]", "[0.0, nan]", r"factors.quality\[1\]: expected a number >= 0.0, got nan"),
        ("actions.review", "actions.Review", "actions.Review: expected at most 59 of a-z"),
        ("actions.review", "actions.grant", "actions.grant: expected at most 59 of a-z, .* and not 'grant'"),
        ("actions.review", "actions.bridge", "actions.bridge: expected .* or 'bridge'"),
        ("actions.review", f"actions.{'a' * 60}", "expected at most 59"),
        ("daily_cap_tokens = 500", "daily_cap_tokens = -1", "daily_cap_tokens: expected a whole number >= 0, got -1"),
        ("daily_cap", "weekly_cap", "unknown field `weekly_cap_tokens`"),
        ("[actions.review]", "[actions]\n[other.review]", "unknown field `other`"),
        ("= 10", "= = 10", "a file in TOML"),
        ("= 10", "= [10]", "actions.review.base_tokens: expected a whole number"),
        ("{ quality = [0.0, 2.0] }", "5", "actions.review.factors: expected an object, got 5"),
        (GOOD, "actions = 5", "actions: expected an object, got 5"),
        (GOOD, "[actions]\nreview = 5", r"actions\[...\]: expected an object"),
        (GOOD, "[actions.review]\nbase_tokens.x = 1", "actions.review.base_tokens: expected a whole number"),
        (GOOD, "[actions]", "actions: expected 1 to 100 actions, got 0"),
        (GOOD, "", "missing required field `actions`"),
    ],
)
def test_a_wrong_table_is_refused_by_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "own.toml"
    text = GOOD.replace(old, new)
    assert text != GOOD
    path.write_text(text)
    with pytest.raises(Invalid, match=said) as caught:
        load_rates(path)
    assert str(path) in (caught.value.value, caught.value.field.partition(":")[0])


def test_a_table_may_be_as_large_as_its_bounds(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(GOOD.encode().ljust(65_536, b"#"))
    assert list(load_rates(path).actions) == ["review"]
    names = ["a" * 59, *(f"a-{number}_b" for number in range(99))]
    table = "[actions.{}]\nbase_tokens = 1\ncap_tokens = 1\nfactors = {{ quality = [10.0, 10.0] }}\n"
    path.write_text("".join(table.format(name) for name in names))
    rates = load_rates(path)
    assert set(rates.actions) == set(names)
    assert rates.daily_cap_tokens == 0
    assert rates.rate("a-0_b").tokens({"quality": 0}) == (1, True), "ten, cut to one"
    path.write_text("".join(table.format(name) for name in [*names, "one-more"]))
    with pytest.raises(Invalid, match="expected 1 to 100 actions, got 101"):
        load_rates(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(Invalid, match="a file that can be read") as caught:
            load_rates(path)
        assert caught.value.value == str(path)
    big = tmp_path / "big.toml"
    big.write_bytes(b"#" * 70_000)
    with pytest.raises(Invalid, match="at most 65536 bytes"):
        load_rates(big)
    big.write_bytes(GOOD.encode().ljust(65_537, b"#"))
    with pytest.raises(Invalid, match="at most 65536 bytes"):
        load_rates(big)
    big.write_bytes(b"\xff")
    with pytest.raises(Invalid, match="UTF-8"):
        load_rates(big)
