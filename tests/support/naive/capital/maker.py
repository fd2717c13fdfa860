"""The maker's numbers (LMSR-2 to LMSR-4, LMSR-9, PRC-1), from logarithms to eighty digits.

Rule of this file: a formula stands as RULES.md has it, and is rounded once. A real number that is whole, but for the
last digits, is whole: where a logarithm is irrational it does not come that near.
"""

from functools import lru_cache
from typing import Any

import mpmath

from callmarket.engine.capital import limits

REAL = mpmath.mp.clone()
REAL.dps = 80
WHOLE = REAL.mpf(10) ** -40
TWO_64 = 2**64

Reserves = tuple[int, int]


def floor(real: Any) -> int:
    """Round down."""
    nearest = int(REAL.nint(real))
    return nearest if abs(real - nearest) < WHOLE else int(REAL.floor(real))


def ceil(real: Any) -> int:
    """Round up."""
    return -floor(-real)


def log2(real: Any) -> Any:
    """Return the logarithm to base 2."""
    return REAL.log(real) / REAL.log(2)


@lru_cache(maxsize=4096)
def pool_for(subsidy: int, reserves: Reserves) -> int:
    """Return K (LMSR-2), in microtokens."""
    spread = abs(reserves[0] - reserves[1])
    ratio = spread * TWO_64 // subsidy
    share = TWO_64
    if ratio:
        share = min(floor(TWO_64 * log2(1 + REAL.mpf(2) ** (-REAL.mpf(ratio) / TWO_64))) + 2, TWO_64)
    return max(reserves) - (-subsidy * share // TWO_64)


@lru_cache(maxsize=4096)
def price_of_long(subsidy: int, reserves: Reserves) -> int:
    """Return the price (LMSR-4), in millionths."""
    odds = REAL.mpf(2) ** (-REAL.mpf(reserves[0] - reserves[1]) / subsidy)
    return int(REAL.nint(limits.MICRO / (1 + odds)))


@lru_cache(maxsize=4096)
def spread_at(subsidy: int, price: int, upward: bool) -> int:
    """Return the d at which the maker reaches a price of long (LMSR-4)."""
    spread = subsidy * log2(REAL.mpf(price) / (limits.MICRO - price))
    return floor(spread) if upward else ceil(spread)


@lru_cache(maxsize=4096)
def shares_for(subsidy: int, own: int, other: int, money: int) -> int:
    """Return how many microshares of a side these microtokens buy (LMSR-3); V is `own` of that side and `other`."""
    paid_in = pool_for(subsidy, (own, other)) + money - 1
    return floor(paid_in + subsidy * log2(1 - REAL.mpf(2) ** (-REAL.mpf(paid_in - other) / subsidy))) - own


def average_after(average: int, price: int, waited_us: int) -> int:
    """Return e after the price was in force for a time (PRC-1), both with 20 bits beyond the millionth."""
    part = REAL.mpf(2) ** (-REAL.mpf(waited_us) / limits.AVERAGE_HALF_LIFE_US)
    moved = floor(abs(average - price) * part)
    return price + (moved if average > price else -moved)


def deviation(prices: list[int]) -> int:
    """Return the standard deviation of prices, in millionths, rounded down."""
    mean = REAL.mpf(sum(prices)) / len(prices)
    return floor(REAL.sqrt(sum((price - mean) ** 2 for price in prices) / len(prices)))


def decayed(subsidy: int, decay_ppm: int, floor_ppm: int, prices: list[int]) -> int:
    """Return S' (LMSR-9) of what was S0, in microtokens."""
    calm = 1 - REAL.mpf(deviation(prices)) / limits.MICRO
    lower = floor(subsidy * REAL.exp(-REAL.mpf(decay_ppm) / limits.PPM * calm))
    return max(subsidy * floor_ppm // limits.PPM, lower, limits.MICRO)
