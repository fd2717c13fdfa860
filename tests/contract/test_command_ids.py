"""Each operation that takes a command id hands it on, by every way to a market: sent again, it is not done again.

Goal: an operation whose id gets lost between its caller and the journal would be done twice by whoever retries it.
Method: one life in which each such operation succeeds once, and is called again with its id right after.
"""

import inspect
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from callmarket.bridge.api.market import Market, all_operations
from tests.bridge.conftest import START_US
from tests.support.small_market import at

SOON = at(START_US) + timedelta(days=8)

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


def life(api: Any) -> Iterator[Call]:
    """The operations in an order in which each finds what it needs; what takes no id is done in between."""
    yield "open_market", ("m",), {}
    for account_id in ("a", "b"):
        yield "open_account", (account_id,), {}
        yield "mint", (account_id, 1_000, "grant:initial"), {}
    yield "burn", ("a", 1, "fee"), {}
    yield "transfer", ("a", "b", 2, "pay"), {}
    for slot_id in ("s1", "s2", "s3"):
        yield "offer_slot", ("m", slot_id), {}
    yield "withdraw_slot", ("s3",), {}
    for bidder_id, price in (("a", 10), ("b", 9), ("a", 3)):
        yield "place_bid", ("m", bidder_id, f"t{price}", price), {}
    (bid,) = [one for one in api.bids("m").items if one.max_price_tokens == 3]
    yield "amend_bid", (bid.bid_id,), {"max_price_tokens": 4}
    yield "cancel_bid", (bid.bid_id,), {}
    yield "clear_round", ("m",), {}
    yield "settle", ("s1", 3, 1.0), {}
    yield "void", ("s2",), {}
    yield "refund_unfilled", (), {}
    for hold_id in ("h1", "h2"):
        yield "place_hold", (hold_id, "a", 5, "deposit"), {}
    yield "capture_hold", ("h1", "a", "b", 4), {}
    yield "release_hold", ("h2", "a"), {}
    api.put_artifact("x", "hypothesis", "Sleep clears amyloid")
    yield "stake", ("st", "a", "x", 50), {}
    yield "unstake", ("st", "a"), {}
    for bounty_id in ("b1", "b2"):
        yield "post_bounty", (bounty_id, "a", "x", 20), {"expires_at": SOON}
    api.claim_bounty("b1", "a", "b")
    yield "pay_bounty", ("b1", "a"), {}
    yield "withdraw_bounty", ("b2", "a"), {}
    yield from life_of_a_market(api)


def life_of_a_market(api: Any) -> Iterator[Call]:
    """The operations on a market for positions, and on addresses."""
    yield "mint", ("lmsr_subsidy_pool", 70, "grant:initial"), {}
    yield "open_artifact_market", ("y", 70), {"decay": 2.0}
    yield "open_position", ("y", "a", "long", 10), {}
    (position,) = api.positions("a").items
    yield "close_position", (position.position_id, "0.5"), {}
    resting = {"limit_price": "0.1", "time_in_force": "gtd", "expires_at": SOON}
    yield "open_position", ("y", "b", "long", 3), resting
    (order,) = api.orders("b").items
    yield "cancel_order", (order.order_id,), {}
    yield "freeze_artifact", ("y", at(START_US) + timedelta(days=1)), {}
    yield "unfreeze_artifact", ("y",), {}
    yield "settle_artifact", ("y", "validated"), {}


def test_an_operation_that_is_sent_again_with_its_id_is_not_done_again(api: Market) -> None:
    called = set()
    for number, (name, given, options) in enumerate(life(api)):
        results = [getattr(api, name)(*given, **options, command_id=f"id-{number}") for _ in range(2)]
        first, again = (getattr(result, "stamp", result) for result in results)
        assert (first.repeated, again.repeated) == (False, True), name
        assert (again.seq, again.at) == (first.seq, first.at), name
        called.add(name)
    # A decay needs fifty trades and an hour: `tests/contract/test_artifact_markets.py` has them.
    assert called == {one.name for one in all_operations() if one.has_command_id} - {"decay_subsidy"}


@pytest.mark.parametrize("name", [one.name for one in all_operations() if one.has_command_id])
def test_without_an_id_of_the_callers_there_is_none(name: str) -> None:
    """A default that were an id would make of two callers' commands one."""
    (operation,) = [one for one in all_operations() if one.name == name]
    assert inspect.signature(operation.plan).parameters["command_id"].default == ""
