"""People's units into whole numbers and back: exact or refused."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import ROUND_UP, Context, Decimal, Inexact, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callmarket import Invalid, Refused
from callmarket.bridge.api import units
from callmarket.bridge.api.errors import told_as
from callmarket.engine.events import Rejected
from callmarket.engine.limits import AT_US_MAX, LEASE_US_MAX, MICROS_MAX
from callmarket.engine.reject import Reject


def test_time_is_microseconds_since_1970_utc() -> None:
    assert units.at_us("at", datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert units.at_us("at", datetime(1970, 1, 1, 0, 0, 1, 7, tzinfo=UTC)) == 1_000_007


def test_time_zone_is_respected() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert units.at_us("at", datetime(1970, 1, 1, 5, 30, tzinfo=east)) == 0


@pytest.mark.parametrize("at", [datetime(2030, 1, 1), date(2030, 1, 1), time(1, tzinfo=UTC), "2030-01-01", 5, None])  # noqa: DTZ001
def test_time_without_zone_or_of_another_type_is_invalid(at: datetime) -> None:
    with pytest.raises(Invalid, match="ttl_at: expected a datetime with a time zone"):
        units.at_us("ttl_at", at)


@given(st.integers(0, AT_US_MAX))
def test_time_there_and_back_is_exact(at_us: int) -> None:
    assert units.at_us("at", units.datetime_of(at_us)) == at_us


def test_duration_is_whole_microseconds() -> None:
    assert units.duration_us("lease", timedelta(hours=1, microseconds=3)) == 3_600_000_003
    with pytest.raises(Invalid, match="lease: expected a timedelta, got 60"):
        units.duration_us("lease", 60)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "millionths"),
    [
        (1, 1_000_000),
        (1.5, 1_500_000),
        (0.1, 100_000),  # the decimal that Python prints, not the binary fraction
        (Decimal("0.000001"), 1),
        (Decimal("0.0000005"), 0),
        (Decimal("0.0000015"), 2),  # half to even
        (Decimal("0.0000005" + "0" * 30 + "1"), 1),  # once, however many digits it has
        (1e-9, 0),
        (0, 0),
        (-1e-9, 0),
        (9_007_199_254, 9_007_199_254_000_000),
    ],
)
def test_number_becomes_millionths(number: units.Number, millionths: int) -> None:
    assert units.micros("impact", number) == millionths


@pytest.mark.parametrize(
    "number",
    [
        float("nan"),
        float("inf"),
        Decimal("-Infinity"),
        Decimal("sNaN"),
        Decimal("1e999999"),
        True,
        None,
        "much",
        "1_0",
        Decimal("0." + "1" * 1_001),
        -2,
        -0.000001,
        9_007_199_255,
        pytest.param(10**5000, id="huge"),
    ],
)
def test_value_that_is_not_a_number_is_invalid(number: units.Number) -> None:
    with pytest.raises(Invalid, match="impact: expected a finite number from 0 to 9007199254, got"):
        units.micros("impact", number)


@pytest.mark.parametrize(
    ("b", "tokens"),
    [(100, 70), ("14.4269504088", 10), (Decimal("721.34752"), 500), ("721.347521", 501), (0.000001, 1), (1, 1)],
)
def test_the_liquidity_of_a_maker_is_funded_by_its_logarithm(b: units.Number | str, tokens: int) -> None:
    """LMSR-1: b ln 2 (Hanson), rounded up."""
    for own in (Context(prec=2), Context(rounding=ROUND_UP, Emax=1, Emin=-1)):
        with localcontext(own):
            assert units.subsidy_of("b", b, 10**9) == tokens
            assert units.liquidity_of(70_000_000) == 100.988653
    with pytest.raises(Invalid, match=r"b: expected a finite number from 0\.000001 to 1000000000, got 0"):
        units.subsidy_of("b", 0, 10**9)


@pytest.mark.parametrize("number", ["0.5", "0.500", 0.5, Decimal("0.5"), "5e-1"])
def test_a_price_is_a_number_or_its_text(number: units.Number | str) -> None:
    assert units.micros_within("limit_price", number, 1_000, 999_000) == 500_000
    assert units.on_the_wire("limit_price", number) == 0.5


@pytest.mark.parametrize("number", ["half", "0,5", " 0.5", "1_0", "", "nan", float("inf"), True, None, "1e999999", []])
def test_what_is_no_price_is_invalid_in_a_client_too(number: Any) -> None:
    with pytest.raises(Invalid, match=r"limit_price: expected a finite number from 0\.001 to 0\.999, got"):
        units.micros_within("limit_price", number, 1_000, 999_000)
    with pytest.raises(Invalid, match="limit_price: expected a finite number, got"):
        units.on_the_wire("limit_price", number)


def test_a_refusal_speaks_of_shares_and_prices_in_whole_numbers() -> None:
    """What the engine counts in millionths, under the name that the API has for it."""
    told = Refused(Rejected(Reject.SHARES_INSUFFICIENT, "microshares", 1_500_000, 250_000), 7)
    assert (told.field, told.value, told.bound) == ("shares", 1.5, 0.25)
    told = Refused(Rejected(Reject.SETTLE_PRICE_RANGE, "price_micros", 500_000, "none"), 7)
    assert (told.field, told.value, told.bound) == ("price", 0.5, "none")
    told = Refused(Rejected(Reject.UNFILLABLE, "time_in_force", "fok", 2_000_000), 7)
    assert (told.field, told.value, told.bound) == ("time_in_force", "fok", 2.0)


class Short(float):
    """A float that prints few digits, as numpy's do where a program has told them to."""

    def __str__(self) -> str:
        return f"{self:.3g}"


def test_the_decimal_context_of_a_thread_has_no_effect() -> None:
    """The decimal module's context is the thread's, and whoever computes with few digits means his own numbers."""
    numbers = [1234567.891234, Decimal("1234567.891234"), Short(1234567.891234)]
    for own in (Context(prec=2), Context(prec=2, traps=[Inexact]), Context(rounding=ROUND_UP, Emax=1, Emin=-1)):
        with localcontext(own) as context:
            assert [units.micros("impact", number) for number in numbers] == [1_234_567_891_234] * 3
            assert not any(context.flags.values())


@given(st.integers(0, MICROS_MAX // 1_000_000 * 1_000_000))
def test_number_there_and_back_is_exact(millionths: int) -> None:
    """Within what a float keeps: 2**53 millionths are printed with at most 16 digits."""
    assert units.micros("impact", Decimal(millionths) / 1_000_000) == millionths
    assert units.number_of(millionths) == millionths / 1_000_000


@pytest.mark.parametrize("at", [datetime(1969, 12, 31, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)])
def test_time_outside_the_range_of_the_engine_is_invalid(at: datetime) -> None:
    with pytest.raises(Invalid, match="ttl_at: expected a time from 1970 to 2255-06-05, got"):
        units.at_us("ttl_at", at)


@pytest.mark.parametrize("lease", [timedelta(0), timedelta(microseconds=-1), timedelta(days=31, microseconds=1)])
def test_a_lease_has_bounds(lease: timedelta) -> None:
    with pytest.raises(Invalid, match="lease: expected more than 0, at most 31 days, got"):
        units.lease_us("lease", lease)


def test_a_lease_may_be_as_short_and_as_long_as_its_bounds() -> None:
    for lease_us in (1, LEASE_US_MAX):
        assert units.lease_us("lease", timedelta(microseconds=lease_us)) == lease_us


def test_errors_use_the_callers_field_names() -> None:
    with pytest.raises(Invalid, match="stake_id: expected a name, got 7") as invalid, told_as(hold_id="stake_id"):
        raise Invalid("hold_id", 7, "a name")
    assert invalid.value.field == "stake_id"
    rejected = Rejected(Reject.HOLD_EXISTS, "hold_id", "h", "")
    with pytest.raises(Refused, match="HOLD_EXISTS: stake_id 'h'"), told_as(hold_id="stake_id"):
        raise Refused(rejected, 7)
    with pytest.raises(Invalid, match="limit: "), told_as(hold_id="stake_id"):
        raise Invalid("limit", 7, "less")


def test_a_refusal_shows_times_in_iso_8601() -> None:
    refused = Refused(Rejected(Reject.TTL_PAST, "ttl_at_us", 978_307_200_000_000, 1_800_000_000_000_000), 7)
    assert (refused.field, refused.value, refused.bound) == ("ttl_at", "2001-01-01T00:00:00Z", "2027-01-15T08:00:00Z")
    assert str(refused) == "TTL_PAST: ttl_at '2001-01-01T00:00:00Z' (against 2027-01-15T08:00:00Z)"
    missing = Refused(Rejected(Reject.TTL_MISSING, "ttl_at_us", "", "a deadline"), 7)
    assert (missing.field, missing.value, missing.bound) == ("ttl_at", "", "a deadline")
