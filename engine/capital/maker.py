"""The market maker: the logarithmic market scoring rule, as a potential in whole microtokens.

Rule of this file: what moves is the difference of two values of `pool_for`, whatever is traded and however exact the
logarithm is. So no round trip earns and the loss is bounded by the shape of the code; accuracy only makes prices fair.

With S the funded subsidy, Hanson's cost function b ln(e^(l/b) + e^(s/b)) is S log2(2^(l/S) + 2^(s/S)), where b is
S / ln 2.
"""

from functools import lru_cache

from msgspec import Struct

from callmarket.engine.capital.commands import Side
from callmarket.engine.capital.fixed import BITS, EXPONENT_BITS, ONE, exp2_neg, log2_1p, log2_ratio
from callmarket.engine.capital.limits import MICRO

_FULL = 1 << EXPONENT_BITS


class Maker(Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """The maker of one market: its subsidy S, the shares of both sides, its own offsets, and its pool.

    Its fields in order are its row of the image.
    """

    subsidy_microtokens: int
    long_microshares: int
    short_microshares: int
    long_offset_microshares: int
    short_offset_microshares: int
    pool_microtokens: int
    # The price of long (LMSR-4). It follows from the rest and is asked for often.
    price_micros: int

    @property
    def long(self) -> int:
        """What long stands at: shares and offset."""
        return self.long_microshares + self.long_offset_microshares

    @property
    def short(self) -> int:
        """What short stands at: shares and offset."""
        return self.short_microshares + self.short_offset_microshares

    def check(self) -> None:
        """Assert that the pool is that of the shares, and can pay either side (LMSR-6)."""
        assert min(self.long_microshares, self.short_microshares) >= 0, self
        assert min(self.long_offset_microshares, self.short_offset_microshares) == 0, self
        assert max(self.long_offset_microshares, self.short_offset_microshares) >= 0, self
        assert self.pool_microtokens == pool_for(self.long, self.short, self.subsidy_microtokens), self
        assert self.price_micros == price_at(self.long - self.short, self.subsidy_microtokens), self
        assert self.pool_microtokens >= max(self.long_microshares, self.short_microshares), self


def pool_for(long: int, short: int, subsidy: int) -> int:
    """What the pool has where the sides stand like this (LMSR-2). 4 us."""
    return pool_and_price(long, short, subsidy)[0]


def pool_and_price(long: int, short: int, subsidy: int) -> tuple[int, int]:
    """What the pool has and the price of long where the sides stand like this (LMSR-2, LMSR-4). 5 us.

    The logarithm is never below the true one, and less than 2.6 parts of 2^64 above it. So one more microshare costs 0
    or 1 microtokens within the bounds of price (LMSR-8).
    """
    power = _power(long - short, subsidy)
    log = min((log2_1p(power) >> (BITS - EXPONENT_BITS)) + 2, _FULL)
    # The ceiling.
    return max(long, short) - (-subsidy * log >> EXPONENT_BITS), _price(long - short, power)


def shares_for(own: int, other: int, subsidy: int, pool: int, microtokens: int) -> int:
    """Microshares of a side that these microtokens buy (LMSR-3); one of them is left over at the most. 4 us.

    From pool' = S log2(2^(own'/S) + 2^(other/S)): own' = pool' + S log2(1 - 2^-((pool' - other) / S)). The ceiling in
    `pool_for` is taken off before, so it never costs more.
    """
    pool += microtokens - 1
    power = exp2_neg((max(pool - other, 0) << EXPONENT_BITS) // subsidy)
    if power == ONE:
        return 0
    # log2(1 - 2^-u) is below 0: rounded down, it is the logarithm of the inverse rounded up.
    loss = -(-subsidy * log2_ratio(ONE, ONE - power) >> BITS)
    return max(pool - loss - own, 0)


def price_at(difference: int, subsidy: int) -> int:
    """The price of long where it stands so much above short (LMSR-4). 2 us."""
    return _price(difference, _power(difference, subsidy))


def price_of_side(side: Side, price_micros: int) -> int:
    """The price of a side where long has this one; and that of long where the side has it."""
    return price_micros if side == "long" else MICRO - price_micros


def _power(difference: int, subsidy: int) -> int:
    return exp2_neg((abs(difference) << EXPONENT_BITS) // subsidy)


def _price(difference: int, power: int) -> int:
    """1 / (1 + 2^-d) of the larger side, to the nearest; of the other one the rest."""
    price = (2 * MICRO * ONE + ONE + power) // (2 * (ONE + power))
    return price if difference >= 0 else MICRO - price


def difference_at(price_micros: int, subsidy: int, *, up: bool) -> int:
    """Where long stands above short at a price of long; rounded down for who moves it up, else up (LMSR-4). 2 us."""
    exact = subsidy * _log_odds(price_micros)
    return exact >> BITS if up else -(-exact >> BITS)


@lru_cache(maxsize=65_536)
def _log_odds(price_micros: int) -> int:
    """log2 of what a price is to the rest of a token, which most orders ask of a few prices."""
    rest = MICRO - price_micros
    return log2_ratio(price_micros, rest) if price_micros >= rest else -log2_ratio(rest, price_micros)
