"""What errors say, and under which names: field, value and bound, and never more of a value than fits a line."""

from typing import Any

import pytest

from callmarket.bridge.api.errors import (
    Conflict,
    Gone,
    Invalid,
    NotFound,
    NotLeader,
    Refused,
    TooManyRequests,
    Unavailable,
    UnknownOutcome,
    shown,
    told_as,
)
from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (7, "7"),
        ("x" * 78, "'" + "x" * 78 + "'"),
        ("x" * 79, "'" + "x" * 79),
        ("x" * 5_000, "'" + "x" * 79),
        (10**79, "1" + "0" * 79),
        (10**5_000, "a int too long to print"),
        ([10**5_000], "a list too long to print"),
    ],
    ids=["a number", "fits", "one too long", "long", "digits", "too many digits", "too many digits within"],
)
def test_a_value_takes_no_more_than_a_line(value: object, words: str) -> None:
    assert shown(value) == words
    assert str(Invalid("memo", value, "less")) == f"memo: expected less, got {words}"


@pytest.mark.parametrize(
    ("rejected", "words", "parts"),
    [
        (
            Rejected(Reject.FUNDS_INSUFFICIENT, "max_price_tokens", 9, 5),
            "FUNDS_INSUFFICIENT: max_price_tokens 9 (against 5)",
            ("max_price_tokens", 9, 5),
        ),
        (
            Rejected(Reject.FUNDS_INSUFFICIENT, "max_price_tokens", 9, 0),
            "FUNDS_INSUFFICIENT: max_price_tokens 9 (against 0)",
            ("max_price_tokens", 9, 0),
        ),
        (
            Rejected(Reject.MARKET_UNKNOWN, "market_id", "m", ""),
            "MARKET_UNKNOWN: market_id 'm'",
            ("market_id", "m", ""),
        ),
        (
            Rejected(Reject.TTL_PAST, "ttl_at_us", 1, 1_800_000_000_500_000),
            "TTL_PAST: ttl_at '1970-01-01T00:00:00.000001Z' (against 2027-01-15T08:00:00.500000Z)",
            ("ttl_at", "1970-01-01T00:00:00.000001Z", "2027-01-15T08:00:00.500000Z"),
        ),
        (
            Rejected(Reject.TTL_MISSING, "ttl_at_us", "", "a deadline"),
            "TTL_MISSING: ttl_at '' (against a deadline)",
            ("ttl_at", "", "a deadline"),
        ),
    ],
)
def test_a_refusal_names_field_value_and_bound(rejected: Rejected, words: str, parts: tuple[Any, ...]) -> None:
    error = Refused(rejected, 17)
    assert str(error) == error.args[0] == words
    assert (error.field, error.value, error.bound) == parts
    assert (error.reason, error.seq) == (rejected.reason, 17)


@pytest.mark.parametrize("kind", [Invalid, NotFound, Conflict, Gone])
def test_a_field_has_the_name_that_its_caller_knows(kind: type[Invalid]) -> None:
    """Renamed on its way up, in its words too; another field, and other errors, are left as they are."""
    for field, told in (("hold_id", "stake_id"), ("account_id", "account_id")):
        with pytest.raises(kind) as caught, told_as(hold_id="stake_id", amount_tokens="tokens"):
            raise kind(field, "h", "another")
        assert caught.value.field == told
        assert str(caught.value) == f"{told}: expected another, got 'h'"
    with pytest.raises(Refused, match="HOLD_EXISTS: stake_id 'h'"), told_as(hold_id="stake_id"):
        raise Refused(Rejected(Reject.HOLD_EXISTS, "hold_id", "h", ""), 3)
    with pytest.raises(ZeroDivisionError), told_as(hold_id="stake_id"):
        raise ZeroDivisionError


def test_what_a_caller_needs_to_go_on_is_in_the_error() -> None:
    assert Unavailable("away").retry_after_s is None
    assert Unavailable("away", 2.5).retry_after_s == 2.5
    busy = TooManyRequests("slow", 0.5)
    assert (str(busy), busy.retry_after_s) == ("slow", 0.5)
    elsewhere = NotLeader("ask there", "http://one", 0.2)
    assert (str(elsewhere), elsewhere.leader, elsewhere.retry_after_s) == ("ask there", "http://one", 0.2)
    unknown = UnknownOutcome("who knows", range(5, 8))
    assert (str(unknown), unknown.seqs) == ("who knows", range(5, 8))
