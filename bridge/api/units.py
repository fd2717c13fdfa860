"""Conversion between user-facing units and those of the engine.

Rule of this file: exact or refused. Decimal arithmetic; rounding to a millionth is half to even. The decimal context of
the caller's thread has no influence.
"""

import math
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

from callmarket.bridge.api.errors import Invalid
from callmarket.engine.limits import AT_US_MAX, LEASE_US_MAX, MICROS_MAX

Number = int | float | Decimal
"""A number from a user. A float means the decimal that Python prints for it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MICROS: Final = Decimal(1_000_000)
# A context of its own, since a program may set a low precision for its thread. A number with more digits than this is
# refused, so that none is rounded twice.
_EXACT: Final = Context(
    prec=1_000, rounding=ROUND_HALF_EVEN, Emin=-9_999, Emax=9_999, traps=[InvalidOperation, Inexact, Overflow]
)
# For what is not exact: far more digits than any subsidy in millionths has.
_FIFTY_DIGITS: Final = Context(prec=50, rounding=ROUND_HALF_EVEN, Emin=-9_999, Emax=9_999)
_LN2: Final = _FIFTY_DIGITS.ln(Decimal(2))


def check_instant(field: str, at: datetime) -> None:
    """Check that a time has a time zone. Raises `Invalid`."""
    if not isinstance(at, datetime):
        raise Invalid(field, at, "a datetime with a time zone")
    if at.utcoffset() is None:
        raise Invalid(field, at, "a datetime with a time zone")


def at_us(field: str, at: datetime) -> int:
    """Microseconds since 1970 of a time with a time zone. Raises `Invalid`, also outside the range of the engine."""
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
    """Microseconds of a lease. Raises `Invalid` if it is not above 0 or exceeds the bound of the engine."""
    found = duration_us(field, lease)
    if not 0 < found <= LEASE_US_MAX:
        raise Invalid(field, str(lease), f"more than 0, at most {duration_of(LEASE_US_MAX).days} days")
    return found


def micros(field: str, number: Number, most: int = MICROS_MAX // 1_000_000) -> int:
    """Millionths of a number from 0 to `most`, half to even. Raises `Invalid`."""
    if type(number) is float and number == 0:
        # A fast path for bids without an expected value, which most are.
        return 0
    return micros_within(field, number, 0, most * 1_000_000)


def micros_within(field: str, number: Number | str, least_micros: int, most_micros: int) -> int:
    """Millionths of a number, half to even, that are within these bounds. Text is a number too. Raises `Invalid`."""
    try:
        found = int(_EXACT.multiply(_decimal(number), _MICROS).to_integral_value(context=_EXACT))
    except (ArithmeticError, ValueError):
        found = -1
    if not least_micros <= found <= most_micros:
        raise Invalid(field, number, f"a finite number from {_in_digits(least_micros)} to {_in_digits(most_micros)}")
    return found


def on_the_wire(field: str, number: Number | str) -> float:
    """A number as JSON has it, for a client; its bounds are the service's to check. Raises `Invalid`."""
    try:
        found = float(_decimal(number))
    except (ArithmeticError, ValueError):
        found = math.inf
    if not math.isfinite(found):
        raise Invalid(field, number, "a finite number")
    return found


def _decimal(number: Number | str) -> Decimal:
    """The number itself. Raises `ArithmeticError` or `ValueError`."""
    # `float.__repr__`, because a subclass of float may print fewer digits.
    return _EXACT.create_decimal(float.__repr__(number) if isinstance(number, float) else str(number))


def subsidy_of(field: str, b: Number | str, most_tokens: int) -> int:
    """The whole tokens that fund a market maker of liquidity `b`: b ln 2, rounded up. Raises `Invalid`."""
    b_micros = micros_within(field, b, 1, most_tokens * 1_000_000)
    tokens = _FIFTY_DIGITS.divide(_FIFTY_DIGITS.multiply(_LN2, Decimal(b_micros)), _MICROS)
    return int(tokens.to_integral_value(ROUND_CEILING, _FIFTY_DIGITS))


def liquidity_of(subsidy_micros: int) -> float:
    """The `b` of a subsidy, to six decimal places: subsidy / ln 2."""
    return number_of(int(_FIFTY_DIGITS.divide(Decimal(subsidy_micros), _LN2).to_integral_value(context=_FIFTY_DIGITS)))


def float_of(value: object) -> float:
    """A value of a foreign table as float64; NaN if it is not a number or too large for one."""
    try:
        return float(value)  # type: ignore[arg-type]  # other types raise, which is handled
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _in_digits(millionths: int) -> str:
    """A number without an exponent, and without zeros at its end."""
    whole, rest = divmod(millionths, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")


def decimal_text(value: float, *, grouped: bool = False) -> str:
    """A number to the millionth, without zeros at its end; `grouped` with commas between thousands."""
    text = (f"{value:,.6f}" if grouped else f"{value:.6f}").rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def datetime_of(at_us: int) -> datetime:
    """The UTC time of these microseconds since 1970."""
    return _EPOCH + at_us * _MICROSECOND


def number_of(millionths: int) -> float:
    """A number from its millionths."""
    return millionths / 1_000_000


def duration_of(duration_us: int) -> timedelta:
    """The duration of these microseconds."""
    return duration_us * _MICROSECOND
