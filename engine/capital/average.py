"""The average price, in which what a price was counts for how long it was (PRC-1).

Rule of this file: O(1) for each change. A price that is pushed and let go at one time leaves no trace in it.
"""

from typing import Final

from msgspec import Struct

from callmarket.engine.capital import limits
from callmarket.engine.capital.fixed import BITS, EXPONENT_BITS, exp2_neg

_EXTRA_BITS: Final = 20


class Average(Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """An average as of a time. `value` is millionths of a token, with 20 more bits.

    Its fields in order are its row of the image.
    """

    value: int
    at_us: int

    @staticmethod
    def begin(price_micros: int, at_us: int) -> "Average":
        """The average of one price."""
        return Average(price_micros << _EXTRA_BITS, at_us)

    @property
    def micros(self) -> int:
        """The average in whole millionths, to the nearest."""
        return self.value + (1 << _EXTRA_BITS - 1) >> _EXTRA_BITS

    def at(self, now_us: int, price_micros: int) -> "Average":
        """The average now, if this price was in force since."""
        if now_us == self.at_us:
            return self
        weight = exp2_neg((now_us - self.at_us << EXPONENT_BITS) // limits.AVERAGE_HALF_LIFE_US)
        price = price_micros << _EXTRA_BITS
        left = abs(self.value - price) * weight >> BITS
        return Average(price + left if self.value >= price else price - left, now_us)

    def resumed(self, now_us: int) -> "Average":
        """The same average, of which the time up to now does not count (STL-7)."""
        return Average(self.value, now_us)
