"""Checks of questions, each at its bounds: what is refused is named, with its value and what was expected."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from msgspec import Struct

from callmarket import Invalid
from callmarket.bridge.api import checks
from callmarket.bridge.api.contract.pages import cursor, number_below, numbered, page_of
from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence.queries import Paging

EAST, WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))

Case = tuple[Callable[..., object], tuple[Any, ...], str, object, str]

REFUSED: list[Case] = [
    (checks.check_limit, (0,), "limit", 0, "1 to 1000"),
    (checks.check_limit, (1_001,), "limit", 1_001, "1 to 1000"),
    (checks.check_limit, (-1, "depth"), "depth", -1, "1 to 1000"),
    (checks.check_limit, (True,), "limit", True, "1 to 1000"),
    (checks.check_limit, (1.0,), "limit", 1.0, "1 to 1000"),
    (checks.check_limit, ("5",), "limit", "5", "1 to 1000"),
    (checks.check_id, ("bid_id", 0), "bid_id", 0, f"a whole number from 1 to {SEQ_MAX}"),
    (checks.check_id, ("bid_id", SEQ_MAX + 1), "bid_id", SEQ_MAX + 1, f"a whole number from 1 to {SEQ_MAX}"),
    (checks.check_id, ("bid_id", True), "bid_id", True, f"a whole number from 1 to {SEQ_MAX}"),
    (checks.check_id, ("bid_id", "7"), "bid_id", "7", f"a whole number from 1 to {SEQ_MAX}"),
    (checks.check_one_of, ("status", "c", ("a", "b")), "status", "c", "one of a, b"),
    (checks.check_one_of, ("status", "", ("a", "b")), "status", "", "one of a, b"),
    (checks.check_name, ("market_id", ""), "market_id", "", "a text of length >= 1"),
    (checks.check_name, ("market_id", "x" * 129), "market_id", "x" * 129, "a text of length <= 128"),
    (checks.check_name, ("market_id", "a b"), "market_id", "a b", "visible ASCII without spaces"),
    (checks.check_name, ("market_id", "a\0"), "market_id", "a\0", "visible ASCII without spaces"),
    (checks.check_name, ("market_id", "é"), "market_id", "é", "visible ASCII without spaces"),
    (checks.check_name, ("market_id", 5), "market_id", 5, "a plain str"),
    (checks.check_since, (datetime(2026, 1, 1),), "since", datetime(2026, 1, 1), "a datetime with a time zone"),  # noqa: DTZ001
    (checks.check_since, ("2026",), "since", "2026", "a datetime with a time zone"),
    (
        checks.check_since,
        (datetime.min.replace(tzinfo=EAST),),
        "since",
        "0001-01-01T00:00:00+14:00",
        "a time that is in the years 1 to 9999 of UTC too",
    ),
    (
        checks.check_since,
        (datetime.max.replace(microsecond=0, tzinfo=WEST),),
        "since",
        "9999-12-31T23:59:59-12:00",
        "a time that is in the years 1 to 9999 of UTC too",
    ),
    (numbered, ("bids", 0, None, "newest"), "limit", 0, "1 to 1000"),
    (numbered, ("bids", 1, None, "latest"), "order", "latest", "'newest' or 'oldest'"),
]


@pytest.mark.parametrize(("check", "given", "field", "value", "expected"), REFUSED)
def test_what_is_out_of_bounds_is_named(
    check: Callable[..., object], given: tuple[Any, ...], field: str, value: object, expected: str
) -> None:
    with pytest.raises(Invalid) as caught:
        check(*given)
    assert (caught.value.field, caught.value.value, caught.value.expected) == (field, value, expected)


def test_what_stands_at_a_bound_is_let_in() -> None:
    for limit in (1, checks.ROWS_FEW, checks.ROWS_MAX):
        checks.check_limit(limit)
    for number in (1, SEQ_MAX):
        checks.check_id("bid_id", number)
    for name in ("!", "~", "x" * 128):
        checks.check_name("market_id", name)
    checks.check_one_of("status", "b", ("a", "b"))
    for since in (
        None,
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=EAST),
    ):
        checks.check_since(since)
    checks.check_names_given(market_id=None, bidder_id="b")


def test_of_several_names_the_wrong_one_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        checks.check_names_given(market_id="m", bidder_id="", task_id=None)
    assert caught.value.field == "bidder_id"


@dataclass(frozen=True)
class At:
    """Where the tables stand."""

    seq: int = 70
    durable_seq: int = 71


class Row(Struct):
    number: int


def test_a_page_asks_for_one_row_more_and_shows_none_of_it() -> None:
    """So it knows whether there is a next page; its cursor is the last row that was shown."""
    rows = [Row(number) for number in (9, 7, 4)]
    for limit, shown, goes_on in ((2, 2, 7), (3, 3, None), (4, 3, None)):
        kind, paging = numbered("bids", limit, cursor("bids-newest", 10), "newest")
        assert (kind, paging) == ("bids-newest", Paging(limit + 1, 10, newest=True))
        page = page_of(rows[: paging.limit], limit, kind, lambda row: row.number, At())  # type: ignore[arg-type]
        assert (page.items, page.seq, page.durable_seq) == (tuple(rows[:shown]), 70, 71)
        assert page.next == (None if goes_on is None else cursor("bids-newest", goes_on))
    assert numbered("bids", checks.ROWS_MAX, None, "oldest") == ("bids-oldest", Paging(1_001, None, newest=False))
    with pytest.raises(Invalid, match="after"):
        numbered("bids", 1, cursor("bids-newest", 1), "oldest")


def test_a_page_of_the_newest_begins_below_everything() -> None:
    assert number_below("rounds", None) == SEQ_MAX + 1
    assert number_below("rounds", cursor("rounds", 5)) == 5
