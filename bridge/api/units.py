"""People's units into the engine's and back.

Rule of this file: exact or refused. Decimal arithmetic, half to even where something has to be rounded to a millionth,
whatever the caller's process has set for its own.
"""

import math
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

from callmarket.bridge.api.errors import Invalid
from callmarket.engine.limits import AT_US_MAX, LEASE_US_MAX, MICROS_MAX

Number = int | float | Decimal
"""A number as people write it. A float counts as the decimal that Python prints for it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MICROS: Final = Decimal(1_000_000)
# Not the thread's, which a program may set to few digits for its own sums. More than anybody writes; what has more is
# refused, not rounded twice.
_EXACT: Final = Context(
    prec=1_000, rounding=ROUND_HALF_EVEN, Emin=-9_999, Emax=9_999, traps=[InvalidOperation, Inexact, Overflow]
)


def check_instant(field: str, at: datetime) -> None:
    """Check that a date has a time zone. Raises `Invalid`."""
    if not isinstance(at, datetime):
        raise Invalid(field, at, "a datetime with a time zone")
    if at.utcoffset() is None:
        raise Invalid(field, at, "a datetime with a time zone")


def at_us(field: str, at: datetime) -> int:
    """Microseconds since 1970 of a date with a time zone, within what the engine knows. Raises `Invalid`."""
    check_instant(field, at)
    found = (at - _EPOCH) // _MICROSECOND
    if not 0 <= found <= AT_US_MAX:
        raise Invalid(field, at.isoformat(), f"a time from 1970 to {datetime_of(AT_US_MAX):%Y-%m-%d}")
    return found


def duration_us(field: str, duration: timedelta) -> int:
    """Microseconds of a duration. Raises `Invalid`."""
    if not isinstance(duration, timedelta):
        raise Invalid(field, duration, "a timedelta")
    return duration // _MICROSECOND


def lease_us(field: str, lease: timedelta) -> int:
    """Microseconds of a lease. Raises `Invalid` if it is not above 0, or longer than the engine lets one be."""
    found = duration_us(field, lease)
    if not 0 < found <= LEASE_US_MAX:
        raise Invalid(field, str(lease), f"more than 0, at most {duration_of(LEASE_US_MAX).days} days")
    return found


def micros(field: str, number: Number, most: int = MICROS_MAX // 1_000_000) -> int:
    """Millionths of a number from 0 to `most`, half to even. Raises `Invalid`."""
    if type(number) is float and number == 0:
        # What a bid without an expected value carries: most of them.
        return 0
    try:
        # Of a float the digits that Python prints; a subclass may be told to print fewer.
        text = float.__repr__(number) if isinstance(number, float) else str(number)
        found = int(_EXACT.multiply(_EXACT.create_decimal(text), _MICROS).to_integral_value(context=_EXACT))
    except (ArithmeticError, ValueError):
        raise Invalid(field, number, f"a finite number from 0 to {most}") from None
    if not 0 <= found <= most * 1_000_000:
        raise Invalid(field, number, f"a finite number from 0 to {most}")
    return found


def float_of(value: object) -> float:
    """A number of somebody else's table as float64; NaN for what is none, or is larger than all of them."""
    try:
        return float(value)  # type: ignore[arg-type]  # what is none is what this is about
    except (TypeError, ValueError, OverflowError):
        return math.nan


def datetime_of(at_us: int) -> datetime:
    """The date of these microseconds since 1970, in UTC."""
    return _EPOCH + at_us * _MICROSECOND


def number_of(millionths: int) -> float:
    """A number from its millionths."""
    return millionths / 1_000_000


def duration_of(duration_us: int) -> timedelta:
    """The duration of these microseconds."""
    return duration_us * _MICROSECOND
