"""The page of an economy: each number in its place. Numbers of which no two are alike, cell by cell."""

import re

import msgspec
import pytest

from callmarket.bridge.studies.demo.audit import Proof
from callmarket.bridge.studies.economy import report
from callmarket.bridge.studies.economy.ledger import Day
from callmarket.bridge.studies.economy.result import AccountFacts, EconomyResult


def day(number: int) -> Day:
    """Of every field a power of two of its own, times ten thousand, and the day: sums are told apart."""
    names = [field.name for field in msgspec.structs.fields(Day) if field.name not in ("day", "gini")]
    values = {name: 2**place * 10_000 + number for place, name in enumerate(names)}
    return Day(day=number, gini=number / 100, **values)  # type: ignore[arg-type]


@pytest.fixture
def result() -> EconomyResult:
    """Nine days, so that the second row has two."""
    accounts = (
        AccountFacts("alpha", "reckless", 1, 2_002, 3_003, 4_004, 5_005, 6_006, 7, 8),
        AccountFacts("beta", "idle", 9, 0, 0, 0, 0, 10, 0, 0),
    )
    proofs = (Proof("one", True, "x"), Proof("two", False, "y"), Proof("three", True, "z"))
    days = tuple(day(number) for number in range(1, 10))
    return EconomyResult(False, 5, 2, 10_000, days, accounts, (), {}, proofs, {"all": 0.5}, None)


def cells(html: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [re.findall(r"<t[hd]>([^<]*)</t[hd]>", row) for row in rows]


def test_each_account_stands_with_what_it_got_and_paid(result: EconomyResult) -> None:
    assert cells(report._accounts(result)) == [
        ["", "habit", "paid for slots", "rewards", "reviews", "demurrage", "at the end", "priced out", "back"],
        ["alpha", "reckless", "4,004", "2,002", "3,003", "5,005", "6,006", "7", "8"],
        ["beta", "idle", "-", "-", "-", "-", "10", "-", "-"],
    ]
    assert report._headline(result).startswith("1 of 2 bidders could not pay the price of a slot, 7 times; 8 times")


def test_what_was_made_and_burnt_is_told_week_by_week_and_in_all(result: EconomyResult) -> None:
    head, first, second = cells(report._supply(result))
    assert head == ["days", "minted", "burnt", "of it demurrage", "supply", "bids refused", "Gini"]
    for row, days in ((first, result.days[:7]), (second, result.days[7:])):
        assert row == [
            f"{days[0].day} to {days[-1].day}",
            f"{sum(one.minted_tokens for one in days):,}",
            f"{sum(one.burnt_tokens for one in days):,}",
            f"{sum(one.demurrage_tokens for one in days):,}",
            f"{days[-1].supply_tokens:,}",
            f"{sum(one.bids_refused for one in days):,}",
            f"{days[-1].gini:.2f}",
        ]
    assert re.findall(r"<b>([^<]*)</b><span>([^<]*)</span>", report._tiles(result)) == [
        (f"{sum(one.minted_tokens for one in result.days):,}", "tokens minted"),
        (f"{sum(one.burnt_tokens for one in result.days):,}", "tokens burnt"),
        (f"{result.days[-1].supply_tokens:,}", "tokens in circulation at the end"),
        ("2 of 3", "proofs hold"),
    ]
