"""What daily returns say: the Sharpe ratio with its error, and how far below its best an account has been.

Rule of this file: integers alone, each rounded once. A ratio is None, with the reason, where the days cannot say it:
the usual packages answer a constant or short series with infinity, or with a number that rounding has made.
"""

from collections.abc import Iterable, Sequence
from math import isqrt
from typing import Final, Literal

from msgspec import Struct

from callmarket.engine.capital.limits import PPM

# A year of days: artifact markets trade on all of them.
DAYS_PER_YEAR: Final = 365
# Below this the standard deviation itself is a guess.
RETURNS_MIN: Final = 10
# 1.96 squared, for 95 % of both sides.
_Z_SQUARED: Final = (38_416, 10_000)
# Where an index begins. It is a product of all days, so it has digits to lose.
_INDEX: Final = 10**24

NoSharpe = Literal["insufficient_history", "zero_variance"]


class SharpeRatio(Struct, frozen=True):
    """Mean return over standard deviation, a year; `error_ppm` is its standard error.

    `days_needed` are the days still to come until it would differ from 0 at 95 %, if they were like these; None where
    the mean is 0, since no number of days would do. Of `returns` days nothing can be said for a `reason`.
    """

    returns: int
    ratio_ppm: int | None
    error_ppm: int | None
    days_needed: int | None
    reason: NoSharpe | None


class Drawdown(Struct, frozen=True):
    """How far below the best before it: at the worst, and at the end. Parts of that best."""

    worst_ppm: int
    last_ppm: int


def return_ppm(earned: int, capital: int) -> int:
    """What was earned as a part of the capital, to the nearest millionth. The capital is above 0."""
    return (2 * earned * PPM + capital) // (2 * capital)


def sharpe(returns: Sequence[int]) -> SharpeRatio:
    """The Sharpe ratio of daily returns in ppm, against a return of 0. O(returns)."""
    count = len(returns)
    if count < RETURNS_MIN:
        return SharpeRatio(count, None, None, None, "insufficient_history")
    # Each is rounded to a millionth: of those that differ by one, no deviation is known.
    if max(returns) - min(returns) <= 1:
        return SharpeRatio(count, None, None, None, "zero_variance")
    above, below = _squared(returns)
    total = sum(returns)
    # Lo (2002): of independent days, the error of the daily ratio SR is sqrt((1 + SR^2 / 2) / n).
    error = isqrt(PPM**2 * DAYS_PER_YEAR * (2 * below + above) // (2 * below * count))
    return SharpeRatio(count, ratio_ppm(returns), error, _days_needed(above, below, count) if total else None, None)


def ratio_ppm(returns: Sequence[int]) -> int:
    """The ratio alone, of two returns or more that are not all equal; towards 0."""
    above, below = _squared(returns)
    ratio = isqrt(PPM**2 * DAYS_PER_YEAR * above // below)
    return ratio if sum(returns) > 0 else -ratio


def _squared(returns: Sequence[int]) -> tuple[int, int]:
    """The square of mean / sample standard deviation, as a fraction."""
    count, total = len(returns), sum(returns)
    spread = count * sum(one * one for one in returns) - total * total
    return total * total * (count - 1), count * spread


def _days_needed(above: int, below: int, count: int) -> int:
    """The least n with SR^2 > 1.96^2 (1 + SR^2 / 2) / n, less the days that there are."""
    z_above, z_below = _Z_SQUARED
    return max(z_above * (2 * below + above) // (2 * z_below * above) + 1 - count, 0)


def drawdown(returns: Iterable[int]) -> Drawdown:
    """The drawdowns of what one token would have become, from the day before the first return on. O(returns).

    Returns are not below -100 %.
    """
    index = peak = _INDEX
    worst = last = 0
    for one in returns:
        index = index * (PPM + one) // PPM
        peak = max(peak, index)
        last = (peak - index) * PPM // peak
        worst = max(worst, last)
    return Drawdown(worst, last)
