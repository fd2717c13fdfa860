"""The trades of an artifact market as every way to a market tells them: the receipts that traders got.

Goal: the history of a price is that of the trades, to the last millionth, in pages. Method: orders that open, close,
rest and are met, over each way; what was answered to them is compared with the list.
"""

from datetime import timedelta

import pytest

from callmarket import ManualClock, NotFound
from callmarket.bridge.api.market import Market
from tests.bridge.conftest import START_US
from tests.contract.conftest import acting_as
from tests.support.small_market import at


def test_trades_are_listed_as_their_receipts(api: Market, clock: ManualClock) -> None:
    for account_id in ("a", "b"):
        api.open_account(account_id)
        api.mint(account_id, 1_000, "grant:initial")
    api.mint("lmsr_subsidy_pool", 100, "grant:initial")
    api.open_artifact_market("x", 10, closes_at=at(START_US) + timedelta(days=30))
    assert api.artifact_trades("x").items == ()
    a, b = acting_as(api, "a"), acting_as(api, "b")
    first = a.open_position("x", "a", "long", 10)
    clock.set_us(START_US + 3_600_000_000)
    rests = {"limit_price": 0.3, "time_in_force": "gtd", "expires_at": at(START_US) + timedelta(days=2)}
    second = b.open_position("x", "b", "short", 40, **rests)  # type: ignore[arg-type]
    third = a.open_position("x", "a", "yes", 12)
    assert [fill.order_id for fill in third.fills].count(None) < len(third.fills), "it meets the one that rests"
    fourth = a.close_position(first.position_id, 3)
    receipts = [first, second, third, fourth]
    told = api.artifact_trades("x", order="oldest").items
    for receipt, trade in zip(receipts, told, strict=True):
        shared = {name: getattr(receipt, name) for name in trade.__struct_fields__ if hasattr(receipt, name)}
        assert len(shared) == len(trade.__struct_fields__) - len({"at", "seq"})
        assert shared == {name: getattr(trade, name) for name in shared}
        assert (trade.at, trade.seq) == (receipt.stamp.at, receipt.stamp.seq)
    found, after = [], None
    while True:
        page = api.artifact_trades("x", limit=1, after=after)
        found += list(page.items)
        if (after := page.next) is None:
            break
    assert found == list(told[::-1])


def test_an_artifact_without_a_market_is_not_found(api: Market) -> None:
    with pytest.raises(NotFound):
        api.artifact_trades("x")
