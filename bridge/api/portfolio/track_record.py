"""What an account knew before others did: bits by which its trades moved prices towards the truth, and calibration.

Rule of this file: only what was judged from outside counts, never a price of the market itself. A trade with the
market maker that is held until the settlement earns, before fees, the subsidy in tokens times its bits; so bits compare
markets of any size.
"""

from collections.abc import Iterable, Sequence
from math import isqrt
from typing import Final

from msgspec import Struct

from callmarket.engine.capital.fixed import BITS, log2_ratio
from callmarket.engine.capital.limits import MICRO

DECILES: Final = 10


class Forecast(Struct, frozen=True):
    """A trade that moved the price of long, of an artifact that was judged: `outcome_micros` is what long was worth."""

    artifact_id: str
    price_before_micros: int
    price_after_micros: int
    outcome_micros: int


class Decile(Struct, frozen=True):
    """The forecasts within a tenth of all prices, their mean price, and their mean outcome. None without any."""

    price_from_micros: int
    forecasts: int
    price_micros: int | None
    outcome_micros: int | None


def bits_micros(forecast: Forecast) -> int:
    """Score a trade: v log2(p1 / p0) + (1 - v) log2((1 - p1) / (1 - p0)), to the nearest millionth of a bit. 5 us."""
    before, after, outcome = forecast.price_before_micros, forecast.price_after_micros, forecast.outcome_micros
    bits = outcome * _log2(after, before) + (MICRO - outcome) * _log2(MICRO - after, MICRO - before)
    return bits + (1 << BITS - 1) >> BITS


def _log2(above: int, below: int) -> int:
    return log2_ratio(above, below) if above >= below else -log2_ratio(below, above)


class Bits(Struct, frozen=True):
    """The bits of all forecasts; `error_micros` is the standard error of the sum, None of fewer than two artifacts.

    The artifacts are the observations: trades in one are judged together.
    """

    artifacts: int
    forecasts: int
    micros: int
    error_micros: int | None


def bits_of(forecasts: Sequence[Forecast]) -> Bits:
    """The sum of their bits. O(forecasts)."""
    by_artifact: dict[str, int] = {}
    for one in forecasts:
        by_artifact[one.artifact_id] = by_artifact.get(one.artifact_id, 0) + bits_micros(one)
    sums = by_artifact.values()
    error = error_of_sum(len(sums), sum(sums), sum(one * one for one in sums))
    return Bits(len(sums), len(forecasts), sum(sums), error)


def error_of_sum(count: int, total: int, squares: int) -> int | None:
    """The standard error of a sum of independent observations: sqrt(n) times their sample deviation, rounded down."""
    return isqrt((count * squares - total * total) // (count - 1)) if count > 1 else None


def calibration(forecasts: Iterable[Forecast]) -> tuple[Decile, ...]:
    """The ten deciles of the prices after the trades. Of who is calibrated price and outcome are alike in each."""
    counts, prices, outcomes = [0] * DECILES, [0] * DECILES, [0] * DECILES
    for one in forecasts:
        place = min(one.price_after_micros * DECILES // MICRO, DECILES - 1)
        counts[place] += 1
        prices[place] += one.price_after_micros
        outcomes[place] += one.outcome_micros
    return tuple(
        Decile(
            place * MICRO // DECILES,
            count,
            prices[place] // count if count else None,
            outcomes[place] // count if count else None,
        )
        for place, count in enumerate(counts)
    )
