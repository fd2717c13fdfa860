"""Names and months of the texts for accounting tools."""

import random
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from callmarket.bridge.ledger_export import beancount, hledger
from callmarket.bridge.ledger_export.accounting import bounds_of, day_of, month_of, months_between

TOOLS = [beancount, hledger]
ALPHABET = [chr(code) for code in range(0x21, 0x7F)]
CLOSE = ["a-b", "a-2d-b", "a_b", "a-5f-b", "A", "a", "Id-a", "-61-", "%61", "a%2Db", "a%2DB", "issuance", "Issuance"]


@pytest.mark.parametrize("tool", TOOLS)
def test_no_two_accounts_have_one_name(tool: type, seed: int) -> None:
    """Names that look like the escapes of others, too."""
    rng = random.Random(seed)
    pieces = [*ALPHABET, "-2d-", "%2D", "Id-", "-", "--", "5f"]
    names = {"".join(rng.choices(pieces, k=rng.randint(1, 6))) for _ in range(5_000)} | set(CLOSE)
    shown = {tool.account_of(name) for name in names}
    assert len(shown) == len(names)


@pytest.mark.parametrize("name", [*CLOSE, *ALPHABET, "x" * 128, "~" * 128])
def test_names_are_of_the_form_that_a_tool_reads(name: str) -> None:
    # Of Beancount's own documentation.
    component = r"[A-Z0-9][A-Za-z0-9\-]*"
    assert re.fullmatch(rf"(Liabilities|Equity)(:{component})+", beancount.account_of(name))
    assert re.fullmatch(r"(liabilities|equity)(:[A-Za-z0-9%._-]+)+", hledger.account_of(name))


def test_months_follow_each_other() -> None:
    assert bounds_of("2026-12") == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert bounds_of("2024-02")[1] == datetime(2024, 3, 1, tzinfo=UTC)
    first, last = datetime(2025, 11, 30, 23, 59, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    assert months_between(first, last) == ["2025-11", "2025-12", "2026-01", "2026-02"]
    assert months_between(last, last) == ["2026-02"]


def test_a_day_is_one_of_utc() -> None:
    """Whatever the zone in which a time is told."""
    at = datetime(2026, 12, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert (str(day_of(at)), month_of(at)) == ("2026-11-30", "2026-11")
