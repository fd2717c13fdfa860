"""What every way to a market owes who asks it to do something: the result, the errors, and one effect for a retry.

Goal: a client can be moved from one way to another and notices nothing. Method: the same tests for each way of `WAYS`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from callmarket import Invalid, ManualClock, Refused
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.bids import PlacedBid, all_placed, place_bid
from callmarket.bridge.api.operations.rounds import clear_request
from callmarket.engine.reject import Reject
from tests.bridge.conftest import START_US
from tests.support.small_market import at

LATE = datetime(9999, 1, 1, tzinfo=UTC)


def furnish(api: Market, *bidder_ids: str, tokens: int = 1_000) -> None:
    api.open_market("m", lease=timedelta(hours=1))
    for bidder_id in bidder_ids:
        api.open_account(bidder_id)
        api.mint(bidder_id, tokens, "grant:initial")


def test_from_opening_to_sweep(api: Market, clock: ManualClock) -> None:
    """CLR-4, BID-5, SET-1, SET-3, SET-4, SET-6, AUC-3: each verb's good path, and each stamp says it is durable."""
    opened = api.open_market(
        "m", lease=timedelta(seconds=1), reward_tokens_per_impact=50, reward_cap_tokens=500, reward_day_cap_tokens=500
    )
    assert (opened.seq, opened.at, opened.durable, opened.repeated) == (1, at(START_US), True, False)
    for bidder_id in ("a", "b"):
        assert api.open_account(bidder_id).durable
        assert api.mint(bidder_id, 1_000, "grant:initial").to_balance_tokens == 1_000
    assert api.transfer("a", "b", 100, "gift:any").from_balance_tokens == 900
    assert api.burn("b", 100, "fee:any").from_balance_tokens == 1_000
    for slot_id in ("s1", "s2", "s3"):
        assert api.offer_slot("m", slot_id).durable
    assert api.withdraw_slot("s3").durable
    bid = api.place_bid("m", "a", "t1", 50, expected_value_usd=1.5)
    assert (bid.bid_id, bid.held_tokens, bid.stamp.durable) == (1, 50, True)
    assert api.amend_bid(bid.bid_id, max_price_tokens=60).max_price_tokens == 60
    second, refused = api.place_bids([place_bid.request("m", "b", f"t{number}", 40 * number) for number in (2, 200)])
    assert isinstance(second, PlacedBid)
    assert isinstance(refused, Refused)
    assert refused.reason is Reject.FUNDS_INSUFFICIENT
    third = api.place_bid("m", "b", "t3", 30)
    assert api.cancel_bid(third.bid_id).durable
    cleared = api.clear_round("m")
    assert (cleared.round_no, cleared.clearing_price_tokens, len(cleared.awards)) == (1, 0, 2)
    by_bid = {award.bid_id: award for award in cleared.awards}
    done = by_bid[second.bid_id]
    assert api.mint("treasury", 100, "fund:rewards").to_balance_tokens == 100
    paid = api.settle(done.slot_id, 19, 0.5, award_id=done.award_id)
    assert (paid.price_tokens, paid.reward_tokens, paid.stamp.durable) == (0, 25, True)
    assert api.void(by_bid[bid.bid_id].slot_id).bid_id == bid.bid_id
    assert not api.refund_unfilled().more_due


def test_tokens_set_aside_and_how_that_ends(api: Market, clock: ManualClock) -> None:
    """HLD-1 to HLD-5: each verb's good path, a sweep, and what the market then says of each hold."""
    furnish(api, "a", "b")
    soon = at(START_US + 5_000_000)
    placed = api.place_hold(
        "h1", "a", 60, "bounty", reference_type="artifact", reference_id="x", expires_at=soon, memo="hello"
    )
    assert (placed.hold_id, placed.held_tokens, placed.stamp.durable) == ("h1", 60, True)
    for hold_id, tokens in (("h2", 30), ("h3", 20)):
        api.place_hold(hold_id, "a", tokens, "stake", expires_at=soon if hold_id == "h3" else None)
    assert (api.wallet("a").held_tokens, api.wallet("a").available_tokens) == (110, 890)
    captured = api.capture_hold("h1", "a", "b", 45)
    assert (captured.captured_tokens, captured.released_tokens, captured.stamp.durable) == (45, 15, True)
    (movement, *_) = api.statement("b").items
    assert (movement.transfer_id, movement.from_account_id) == (captured.transfer_id, "a")
    assert (movement.reason, movement.reference_type, movement.reference_id, movement.memo) == (
        "bounty",
        "artifact",
        "x",
        "hello",
    )
    released = api.release_hold("h2", "a")
    assert (released.hold_id, released.released_tokens, released.stamp.durable) == ("h2", 30, True)
    clock.set_us(START_US + 5_000_000)
    assert api.refund_unfilled().holds_expired == 1
    assert (api.wallet("a").held_tokens, api.wallet("a").balance_tokens) == (0, 955)
    one = api.hold("h1", "a")
    assert (one.status, one.captured_tokens, one.captured_to, one.ended_at) == ("captured", 45, "b", at(START_US))
    assert (one.account_id, one.amount_tokens, one.reason, one.memo) == ("a", 60, "bounty", "hello")
    assert (one.reference_type, one.reference_id, one.placed_at, one.expires_at) == (
        "artifact",
        "x",
        at(START_US),
        soon,
    )
    assert one.seq == one.durable_seq == api.wallet("a").seq
    assert [api.hold(hold_id, "a").status for hold_id in ("h2", "h3")] == ["released", "expired"]
    assert {row.hold_id: row.placed_seq for row in api.holds(account_id="a", reason="stake").items} == {
        "h2": placed.stamp.seq + 1,
        "h3": placed.stamp.seq + 2,
    }


def test_clearing_releases_all_losers(api: Market) -> None:
    """BID-4, SET-6: more losers than one call and one sweep release."""
    furnish(api, "a", tokens=10_000)
    all_placed(api.place_bids([place_bid.request("m", "a", f"t{number}", 10) for number in range(750)]))
    assert api.clear_round("m").losers_remaining == 650
    assert api.wallet("a").held_tokens == 0


REFUSALS: list[tuple[Reject, Callable[[Market], object]]] = [
    (Reject.ACCOUNT_EXISTS, lambda api: api.open_account("a")),
    (Reject.REFERENCE_MISSING, lambda api: api.mint("a", 1, "earn:debate")),
    (Reject.FUNDS_INSUFFICIENT, lambda api: api.burn("a", 10_000, "fee:any")),
    (Reject.SAME_ACCOUNT, lambda api: api.transfer("a", "a", 1, "gift:any")),
    (Reject.MARKET_EXISTS, lambda api: api.open_market("m")),
    (Reject.MARKET_UNKNOWN, lambda api: api.offer_slot("none", "s")),
    (Reject.SLOT_UNKNOWN, lambda api: api.withdraw_slot("none")),
    (Reject.TTL_MISSING, lambda api: api.place_bid("m", "a", "t", 1, time_in_force="gtd")),
    (Reject.BID_UNKNOWN, lambda api: api.amend_bid(99, max_price_tokens=1)),
    (Reject.BID_UNKNOWN, lambda api: api.cancel_bid(99)),
    (Reject.MARKET_UNKNOWN, lambda api: api.clear_round("none")),
    (Reject.SLOT_UNKNOWN, lambda api: api.settle("none", 1, 1)),
    (Reject.SLOT_UNKNOWN, lambda api: api.void("none")),
    (Reject.FUNDS_INSUFFICIENT, lambda api: api.place_hold("h", "a", 10_000, "stake")),
    (Reject.HOLD_UNKNOWN, lambda api: api.capture_hold("none", "b", "a")),
    (Reject.HOLD_UNKNOWN, lambda api: api.release_hold("none", "a")),
]


def test_every_verb_can_be_refused(api: Market) -> None:
    furnish(api, "a")
    for reason, ask in REFUSALS:
        with pytest.raises(Refused) as caught:
            ask(api)
        assert caught.value.reason is reason


def test_refusal_says_why(api: Market) -> None:
    """LED-7: reason, field, value, bound and seq."""
    furnish(api, "a", tokens=50)
    with pytest.raises(Refused) as caught:
        api.place_bid("m", "a", "t", 51)
    refused = caught.value
    assert (refused.reason, refused.field) == (Reject.FUNDS_INSUFFICIENT, "max_price_tokens")
    assert (refused.value, refused.bound, refused.seq) == (51, 50, 4)
    assert str(refused) == "FUNDS_INSUFFICIENT: max_price_tokens 51 (against 50)"


def test_rivals_for_one_task_and_private_tasks(api: Market) -> None:
    """BID-6, CLR-4: in one market the rival's bid is paid, in the other both have their task of that name."""
    for bidder_id in ("a", "b"):
        api.open_account(bidder_id)
        api.mint(bidder_id, 100, "grant:initial")
    for market_id, task_scope in (("shared", "market"), ("private", "bidder")):
        api.open_market(market_id, task_scope=task_scope)  # type: ignore[arg-type]  # the two values that there are
        assert api.market(market_id).task_scope == task_scope
        for number in range(2):
            api.offer_slot(market_id, f"{market_id}-{number}")
        api.place_bid(market_id, "a", "t", 20)
        api.place_bid(market_id, "b", "t", 15)
    assert [award.price_tokens for award in api.clear_round("shared").awards] == [15]
    lost = api.bids("shared", bidder_id="b").items[0]
    assert "a rival for its task, won with 20" in api.why(lost.bid_id).reason
    private = api.clear_round("private")
    assert [(award.bidder_id, award.price_tokens) for award in private.awards] == [("a", 0), ("b", 0)]


WORDS: dict[str, tuple[str, Callable[[Market], object]]] = {
    "task": ("visible ASCII without spaces", lambda api: api.place_bid("m", "a", "a task", 1)),
    "reason": ("as `earn:review`", lambda api: api.mint("a", 1, "Any Reason")),
    "reference": ("visible ASCII without spaces, or nothing", lambda api: api.mint("a", 1, "grant:any", "a paper")),
    "memo": ("without NUL", lambda api: api.mint("a", 1, "grant:any", memo="\0")),
    "market": ("without", lambda api: api.open_market("a/b")),
    "command id": ("visible ASCII without spaces", lambda api: api.burn("a", 1, "fee:any", command_id="an id")),
}


@pytest.mark.parametrize("what", WORDS)
def test_what_a_text_may_be_is_told_in_words(api: Market, what: str) -> None:
    """And not as the pattern that it did not match."""
    words, wrong = WORDS[what]
    with pytest.raises(Invalid, match=words) as caught:
        wrong(api)
    assert "regex" not in str(caught.value)


INVALID: list[tuple[str, object, Callable[[Market], object]]] = [
    ("account_id", "no name", lambda api: api.open_account("no name")),
    ("amount_tokens", 0, lambda api: api.mint("a", 0, "grant:any")),
    ("amount_tokens", 5.0, lambda api: api.mint("a", 5.0, "grant:any")),  # type: ignore[arg-type]
    ("amount_tokens", -1, lambda api: api.burn("a", -1, "fee:any")),
    ("reason", "", lambda api: api.transfer("a", "b", 1, "")),
    ("awards_per_bidder_max", -1, lambda api: api.open_market("x", awards_per_bidder_max=-1)),
    ("task_scope", "slot", lambda api: api.open_market("x", task_scope="slot")),  # type: ignore[arg-type]
    ("slot_id", "", lambda api: api.offer_slot("m", "")),
    ("max_price_tokens", 0, lambda api: api.place_bid("m", "a", "t", 0)),
    ("bid_id", 0, lambda api: api.amend_bid(0, max_price_tokens=1)),
    ("bid_id", 0, lambda api: api.cancel_bid(0)),
    ("market_id", "", lambda api: api.clear_round("")),
    ("actual_cost_tokens", -1, lambda api: api.settle("s", -1, 0)),
    ("slot_id", "", lambda api: api.void("")),
    ("amount_tokens", 0, lambda api: api.place_hold("h", "a", 0, "stake")),
    ("reason", "No", lambda api: api.place_hold("h", "a", 1, "No")),
    ("amount_tokens", 0, lambda api: api.capture_hold("h", "b", "a", 0)),
    ("hold_id", "", lambda api: api.release_hold("", "a")),
    ("account_id", "", lambda api: api.release_hold("h", "")),
    ("command_id", "no id", lambda api: api.open_account("fine", command_id="no id")),
    # By the names that were given, not by those of the engine.
    ("ttl_at", LATE.isoformat(), lambda api: api.place_bid("m", "a", "t", 5, ttl_at=LATE)),
    ("ttl_at", LATE.isoformat(), lambda api: api.amend_bid(1, ttl_at=LATE)),
    ("available_at", LATE.isoformat(), lambda api: api.offer_slot("m", "s", LATE)),
    ("expires_at", LATE.isoformat(), lambda api: api.place_hold("h", "a", 1, "stake", expires_at=LATE)),
    ("now", LATE.isoformat(), lambda api: api.clear_round("m", LATE)),
    ("lease", "0:00:00", lambda api: api.open_market("x", lease=timedelta(0))),
    ("lease", "32 days, 0:00:00", lambda api: api.offer_slot("m", "s", lease=timedelta(days=32))),
    ("expected_value_usd", -1, lambda api: api.place_bid("m", "a", "t", 5, expected_value_usd=-1)),
    ("actual_impact", 1e300, lambda api: api.settle("s", 1, 1e300)),
]


def test_what_makes_no_sense_is_invalid_and_not_recorded(api: Market) -> None:
    furnish(api, "a")
    before = api.wallet("a").seq
    for field, value, ask in INVALID:
        with pytest.raises(Invalid) as caught:
            ask(api)
        assert (caught.value.field, caught.value.value) == (field, value)
        assert "got" not in caught.value.expected, "what was sent is told once"
        assert caught.value.expected
    with pytest.raises(Invalid, match="requests: expected bids"):
        api.place_bids([clear_request("m")])
    for requests in (None, 5, object(), [None], [5], "bids", b"bids", [{"task_id": "t"}], iter(())):
        with pytest.raises(Invalid, match="requests: expected"):
            api.place_bids(cast(Any, requests))
    assert api.wallet("a").seq == before


def test_a_retry_is_answered_with_the_first_reply(api: Market) -> None:
    """IDM-1: the same seq and values, done once; refusals too; another command under the id is refused."""
    furnish(api, "a", tokens=100)
    first, again = (api.place_bid("m", "a", "t", 60, command_id="bid") for _ in range(2))
    assert (again.bid_id, again.stamp.seq) == (first.bid_id, first.stamp.seq)
    assert (first.stamp.repeated, again.stamp.repeated, again.stamp.durable) == (False, True, True)
    seqs = []
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            api.place_bid("m", "a", "t2", 60, command_id="too-much")
        seqs.append(caught.value.seq)
    assert seqs[0] == seqs[1]
    with pytest.raises(Refused) as caught:
        api.place_bid("m", "a", "t3", 1, command_id="bid")
    assert (caught.value.reason, caught.value.bound) == (Reject.COMMAND_ID_REUSED, first.stamp.seq)
    sweeps = [api.refund_unfilled(command_id="sweep") for _ in range(2)]
    assert sweeps[0].stamp.seq == sweeps[1].stamp.seq
    rounds = [api.clear_round("m", command_id="call") for _ in range(2)]
    assert [one.round_no for one in rounds] == [1, 1]
    assert api.market("m").rounds_called == 1
