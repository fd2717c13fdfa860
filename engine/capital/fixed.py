"""Powers and logarithms of two in fixed point, for the market maker.

Rule of this file: integers alone, so that each machine and each version of Python has the same digits. A value has 88
bits behind the point. Each truncation loses less than 2^-87; the series leaves out less than 2^-82, and the powers that
take back five square roots make a truncation 2^-79 of a result. Of the largest subsidy, 10^15 microtokens, that is a
billionth.
"""

from math import isqrt
from typing import Final

BITS: Final = 88
ONE: Final = 1 << BITS
# Exponents have as many bits behind the point.
EXPONENT_BITS: Final = 64

_FRACTION: Final = (1 << EXPONENT_BITS) - 1
# The first 8 bits of a fraction are looked up; the series of exp does the rest.
_TABLE_BITS: Final = 8
_REST_BITS: Final = EXPONENT_BITS - _TABLE_BITS
_REST: Final = (1 << _REST_BITS) - 1
# The series of log gets the 2^5th root.
_ROOTS: Final = 5


def _atanh_of_inverse(n: int, bits: int) -> int:
    """The area tangent of 1/n, with `bits` bits behind the point."""
    total, power, k = 0, (1 << bits) // n, 1
    while power:
        total += power // k
        power //= n * n
        k += 2
    return total


def _ln2(bits: int) -> int:
    """The natural logarithm of 2: 18 atanh 1/26 - 2 atanh 1/4801 + 8 atanh 1/8749 (Gosper). Computed, not typed."""
    guard = bits + 32
    terms = ((18, 26), (-2, 4801), (8, 8749))
    return sum(factor * _atanh_of_inverse(n, guard) for factor, n in terms) >> 32


LN2: Final = _ln2(BITS)
LOG2E: Final = (1 << 2 * BITS) // LN2


def _powers() -> tuple[int, ...]:
    """2^-(k / 256) for each k, by square roots of square roots, with 32 bits more on the way."""
    guard = BITS + 32
    roots = [1 << guard - 1]
    for _ in range(_TABLE_BITS):
        roots.append(isqrt(roots[-1] << guard))
    powers = []
    for k in range(1 << _TABLE_BITS):
        power = 1 << guard
        for bit in range(_TABLE_BITS):
            if k >> bit & 1:
                power = power * roots[_TABLE_BITS - bit] >> guard
        powers.append(power >> 32)
    return tuple(powers)


_POWERS: Final = _powers()


def exp2_neg(exponent: int) -> int:
    """2^-(exponent / 2^64), for an exponent of 0 or more. 2 us."""
    fraction = exponent & _FRACTION
    power = _POWERS[fraction >> _REST_BITS] * _exp_neg((fraction & _REST) * LN2 >> EXPONENT_BITS)
    return power >> BITS + (exponent >> EXPONENT_BITS)


def _exp_neg(x: int) -> int:
    """e^-x by its series, for an x below 2^-8."""
    power = ONE - x // 7
    for k in (6, 5, 4, 3, 2, 1):
        power = ONE - (x * power >> BITS) // k
    return power


def log2_1p(y: int) -> int:
    """log2(1 + y), for y from 0 to 1; exact at both ends, else below by less than 2^-79. 2 us."""
    if y == ONE:
        return ONE
    root = ONE + y
    for _ in range(_ROOTS):
        root = isqrt(root << BITS)
    # log x = 2 atanh((x - 1) / (x + 1)).
    z = ((root - ONE) << BITS) // (root + ONE)
    square, series = z * z >> BITS, ONE // 11
    for k in (9, 7, 5, 3):
        series = ONE // k + (square * series >> BITS)
    series = ONE + (square * series >> BITS)
    return ((z * series >> BITS) * LOG2E >> BITS) << (_ROOTS + 1)


def log2_ratio(above: int, below: int) -> int:
    """log2(above / below), for positive integers of which the first is not the smaller one. 2 us."""
    whole = above.bit_length() - below.bit_length()
    if below << whole > above:
        whole -= 1
    below <<= whole
    return (whole << BITS) + log2_1p(((above - below) << BITS) // below)
