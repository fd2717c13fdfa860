"""Many bids as few calls, and lists as few pages: what is asked, and how it ends when one of the calls fails.

Method: the plans of the client are driven by hand, as `blocking` and `awaited` drive them.
"""

import asyncio
from typing import Any

import pytest

from callmarket import Invalid, Refused, Request, Unavailable, UnknownOutcome
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.operations.accounts import open_account
from callmarket.bridge.api.operations.batch import BIDS_PER_BATCH_MAX
from callmarket.bridge.api.operations.bids import place_bid
from callmarket.bridge.client import InDoubt, each, each_async
from callmarket.bridge.client.batches import calls_of, place_bids
from callmarket.bridge.client.call import Call, reader
from callmarket.engine.commands import PlaceBid
from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject

CALLS: list[Call[Any]] = [Call("POST", f"/{number}", reader(int), command_id=str(number)) for number in range(3)]


def test_adjacent_bids_of_one_bidder_and_market_share_a_call() -> None:
    """Each call has an id of its own, and bids that bring one go alone."""
    bids = [place_bid.request("m", "a", f"t{number}", 1) for number in range(BIDS_PER_BATCH_MAX + 1)]
    bids += [place_bid.request("m", "b", "t", 1), place_bid.request("n", "b", "t", 1)]
    bids += [place_bid.request("n", "b", "t2", 1, command_id="own"), place_bid.request("n", "b", "t3", 1)]
    made = calls_of(bids, "id", "durable")
    assert [(call.target.removeprefix("/api/v1/markets/"), call.command_id) for call in made] == [
        ("m/bids/batch", "id-0"),
        ("m/bids/batch", "id-1"),
        ("m/bids/batch", "id-2"),
        ("n/bids/batch", "id-3"),
        ("n/bids", "own"),
        ("n/bids/batch", "id-5"),
    ]
    assert [call.account for call in made] == ["a", "a", "b", "b", "b", "b"]
    assert {call.target for call in calls_of(bids[-1:], "id", "applied")} == {
        "/api/v1/markets/n/bids/batch?ack=applied"
    }
    with pytest.raises(Invalid, match="requests"):
        calls_of([*bids, open_account.request("c")], "id", "durable")


def test_an_invalid_bid_is_refused_before_any_is_sent() -> None:
    """Built by hand, as those of a platform may be."""
    right = place_bid.request("m", "a", "t", 1)
    wrong = Request("", PlaceBid("m", "a", "t", -1, 0, None))
    with pytest.raises(Invalid, match="max_price_tokens"):
        calls_of([right, wrong], "id", "durable")


def test_outcomes_are_those_of_all_calls_in_order() -> None:
    refused = Refused(Rejected(Reject.FUNDS_INSUFFICIENT, "max_price_tokens", 1, 0), 3)
    plan = place_bids(CALLS)
    assert next(plan) is CALLS[0]
    assert plan.send([1, 2]) is CALLS[1]
    assert plan.throw(refused) is CALLS[2]
    with pytest.raises(StopIteration) as done:
        plan.send(4)
    assert done.value.value == [1, 2, refused, 4]


def test_a_first_call_that_fails_has_done_nothing() -> None:
    error = Unavailable("away", 2.0)
    plan = place_bids(CALLS)
    next(plan)
    with pytest.raises(Unavailable) as caught:
        plan.throw(error)
    assert caught.value is error


@pytest.mark.parametrize("error", [Unavailable("away"), UnknownOutcome("not durable", range(4, 9))])
def test_after_a_failed_later_call_all_calls_are_retried(error: Exception) -> None:
    """By the same ids, so that what was placed is placed once."""
    plan = place_bids(CALLS)
    next(plan)
    plan.send([1, 2])
    with pytest.raises(InDoubt, match="2 bids were answered, then: ") as caught:
        plan.throw(error)
    assert caught.value.seqs == getattr(error, "seqs", range(0))
    again = caught.value.again()
    assert [next(again), again.send(1), again.send(2)] == CALLS


def test_after_a_first_call_in_doubt_all_calls_are_retried() -> None:
    plan = place_bids(CALLS)
    first = next(plan)
    with pytest.raises(InDoubt, match="0 bids were answered") as caught:
        plan.throw(InDoubt("lost", range(0), "0", lambda: place_bids(CALLS[:1])))
    again = caught.value.again()
    assert next(again) is first
    assert again.send(1) is CALLS[1], "not only the first of them"


@pytest.mark.parametrize("items_max", [0, -1, 1.5, True])
def test_a_bound_that_is_no_positive_number_is_refused(items_max: int) -> None:
    async def drain() -> None:
        async for _ in each_async(never_asked, items_max=items_max):
            pass

    with pytest.raises(Invalid, match="items_max"):
        next(each(never_asked, items_max=items_max))
    with pytest.raises(Invalid, match="items_max"):
        asyncio.run(drain())


def never_asked() -> Any:
    raise AssertionError("no page is to be asked for")


@pytest.mark.parametrize(("items_max", "asked"), [(1, 1), (9, 1), (10, 1), (11, 2), (20, 2), (25, 3), (1_000, 3)])
def test_only_needed_pages_are_asked_for(items_max: int, asked: int) -> None:
    begun: list[str | None] = []

    def ask(name: str, *, limit: int, after: str | None = None) -> Page[int]:
        assert (name, limit) == ("m", 10)
        begun.append(after)
        start = int(after or 0)
        return Page(tuple(range(start, min(start + limit, 25))), str(start + limit) if start < 20 else None, 1, 1)

    assert list(each(ask, "m", limit=10, items_max=items_max)) == list(range(min(items_max, 25)))
    assert begun == [None, "10", "20"][:asked]
