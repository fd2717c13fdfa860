"""Figures of daily returns and the track record, against values worked out elsewhere and exact fractions.

Goal: each figure is right to its last digit, and is not there where the days cannot say it (PRT-4, PRT-5, PRT-7).
"""

import math
import random
import statistics
from fractions import Fraction
from itertools import pairwise

import pytest

from callmarket.bridge.api.portfolio.figures import (
    DAYS_PER_YEAR,
    RETURNS_MIN,
    Drawdown,
    drawdown,
    ratio_ppm,
    return_ppm,
    sharpe,
)
from callmarket.bridge.api.portfolio.track_record import Forecast, bits_micros, calibration
from callmarket.engine.capital.maker import difference_at, pool_for, price_at

MICRO = 1_000_000
# Of empyrical's own tests: 1, 10, -4, 2, 3, 2, 1 and -10 %.
KNOWN = [one * 10_000 for one in (1, 10, -4, 2, 3, 2, 1, -10)]


def test_the_ratio_is_that_of_the_usual_packages() -> None:
    """PRT-4: oracle 21. With 252 days a year they say 1.7238613961706866."""
    assert ratio_ppm(KNOWN) == 2_074_667
    assert ratio_ppm(KNOWN) / MICRO == pytest.approx(1.7238613961706866 * math.sqrt(DAYS_PER_YEAR / 252), abs=1e-6)
    assert ratio_ppm([-one for one in KNOWN]) == -2_074_667


def test_too_few_days_and_days_that_are_alike_say_nothing() -> None:
    """PRT-4: the usual packages say 174.6 of three days, and 2.4e16 or infinity of a constant return."""
    short = sharpe(KNOWN)
    assert (short.returns, short.ratio_ppm, short.error_ppm, short.days_needed) == (8, None, None, None)
    assert short.reason == sharpe([]).reason == sharpe(KNOWN[:1]).reason == "insufficient_history"
    assert sharpe([1_000] * (RETURNS_MIN - 1)).reason == "insufficient_history"
    for constant in (0, 1_000, -1_000):
        # A millionth more or less is what rounding alone does.
        for returns in ([constant] * 30, [constant, constant + 1] * 15):
            told = sharpe(returns)
            assert (told.returns, told.ratio_ppm, told.reason) == (30, None, "zero_variance")
    assert sharpe([1_000, 1_002] * 15).ratio_ppm is not None


def test_the_error_and_the_days_that_are_missing(seed: int) -> None:
    """PRT-4: sqrt((1 + SR^2 / 2) / n) of the daily ratio; with the days told it differs from 0, with one less not."""
    rng = random.Random(seed)
    for _ in range(200):
        returns = [rng.randint(-50_000, 50_000) for _ in range(rng.randint(RETURNS_MIN, 400))]
        told = sharpe(returns)
        assert told.ratio_ppm is not None and told.error_ppm is not None and told.reason is None
        daily = statistics.mean(returns) / statistics.stdev(returns)
        assert told.ratio_ppm / MICRO == pytest.approx(daily * math.sqrt(DAYS_PER_YEAR), abs=2e-6, rel=1e-9)
        error = math.sqrt((1 + daily**2 / 2) / len(returns) * DAYS_PER_YEAR)
        assert told.error_ppm / MICRO == pytest.approx(error, abs=2e-6)
        if not sum(returns):
            assert told.days_needed is None
            continue
        assert told.days_needed is not None
        squared = Fraction(statistics.mean(map(Fraction, returns))) ** 2 / statistics.variance(map(Fraction, returns))

        def differs(days: int, squared: Fraction = squared) -> bool:
            return squared > Fraction(38_416, 10_000) * (1 + squared / 2) / days

        assert differs(len(returns) + told.days_needed)
        assert told.days_needed == 0 or not differs(len(returns) + told.days_needed - 1)
    assert sharpe([10, -10] * 10).days_needed is None


def test_the_drawdown_begins_with_what_there_was() -> None:
    """PRT-5: oracle 22. Of 1, .90 and .75 it is 25 %, and not the 16.7 % of a peak that begins with the second."""
    equity = [100, 90, 75]
    returns = [return_ppm(after - before, before) for before, after in pairwise(equity)]
    assert drawdown(returns) == Drawdown(250_000, 250_000)
    assert drawdown([*returns, 3 * MICRO]) == Drawdown(250_000, 0)
    assert drawdown([]) == Drawdown(0, 0)
    assert drawdown([-MICRO, 10 * MICRO]) == Drawdown(MICRO, MICRO), "of nothing nothing becomes something"


def test_the_drawdown_is_the_worst_fall_between_two_days(seed: int) -> None:
    """PRT-5: against all pairs of days."""
    rng = random.Random(seed)
    for _ in range(50):
        returns = [rng.randint(-200_000, 200_000) for _ in range(rng.randint(1, 30))]
        index = [Fraction(1)]
        for one in returns:
            index.append(index[-1] * (1 + Fraction(one, MICRO)))
        falls = [1 - index[late] / index[early] for late in range(len(index)) for early in range(late + 1)]
        found = drawdown(returns)
        assert abs(found.worst_ppm - max(falls) * MICRO) <= 1
        assert abs(found.last_ppm - (1 - index[-1] / max(index)) * MICRO) <= 1


def test_a_return_is_rounded_to_the_nearest() -> None:
    assert [return_ppm(earned, 3) for earned in (1, 2, -1, -2, -3, 0)] == [
        333_333,
        666_667,
        -333_333,
        -666_667,
        -MICRO,
        0,
    ]


def bits(before: int, after: int, outcome: int) -> int:
    return bits_micros(Forecast("x", before, after, outcome))


def test_bits_are_a_logarithmic_score() -> None:
    """PRT-7: a doubt that is halved is a bit; the wrong way costs what the right way brings."""
    assert bits(500_000, 750_000, 0) == -MICRO
    assert bits(750_000, 500_000, 0) == MICRO
    assert bits(250_000, 500_000, MICRO) == MICRO
    assert bits(1_000, 999_000, MICRO) == -bits(999_000, 1_000, MICRO) == round(math.log2(999) * MICRO)
    assert bits(400_000, 400_000, 123_456) == 0
    # The price that is the outcome scores best.
    assert bits(500_000, 250_000, 250_000) > max(bits(500_000, price, 250_000) for price in (240_000, 260_000, 500_000))


def test_a_trade_that_is_held_earns_the_subsidy_times_its_bits(seed: int) -> None:
    """PRT-7: so a record of bits is one of money, of markets of all sizes. Two prices are rounded to a millionth."""
    rng = random.Random(seed)
    for _ in range(2_000):
        subsidy = rng.choice((1, 70, 500, 10**6)) * MICRO
        long = difference_at(rng.randint(20_000, 980_000), subsidy, up=True) + 10 * subsidy
        short, outcome = 10 * subsidy, rng.choice((0, 250_000, MICRO))
        bought = rng.randint(0, subsidy)
        cost = pool_for(long + bought, short, subsidy) - pool_for(long, short, subsidy)
        earned = bought * outcome // MICRO - cost
        found = bits(price_at(long - short, subsidy), price_at(long + bought - short, subsidy), outcome)
        after = price_at(long + bought - short, subsidy)
        tolerance = subsidy * 2 / (math.log(2) * min(20_000, MICRO - after)) + 3
        assert abs(earned - subsidy * found // MICRO) <= tolerance, (subsidy, long, bought, outcome)


def test_calibration_is_by_deciles() -> None:
    """PRT-7: the mean price of the forecasts in each tenth, beside the mean of what came of it."""
    told = calibration(
        Forecast("x", 500_000, price, outcome)
        for price, outcome in ((150_000, 0), (190_000, MICRO), (200_000, 250_000), (999_000, MICRO))
    )
    assert [one.price_from_micros for one in told] == [number * 100_000 for number in range(10)]
    assert [one.forecasts for one in told] == [0, 2, 1, 0, 0, 0, 0, 0, 0, 1]
    assert (told[0].price_micros, told[0].outcome_micros) == (None, None)
    assert (told[1].price_micros, told[1].outcome_micros) == (170_000, 500_000)
    assert (told[9].price_micros, told[9].outcome_micros) == (999_000, MICRO)
