"""The verbs for asyncio: the same results and errors as for threads, awaited, and a thousand agents at once."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import wraps
from typing import Any

import pytest

from callmarket import (
    AsyncExchange,
    Exchange,
    Invalid,
    ManualClock,
    Refused,
    Unavailable,
    UnknownOutcome,
    open_exchange,
)
from callmarket.bridge.api.contract.results import accepted
from callmarket.bridge.api.operations.accounts import open_account
from callmarket.bridge.api.operations.bids import PlacedBid, place_bid
from callmarket.bridge.api.operations.rounds import clear_request
from callmarket.engine import limits
from callmarket.engine.reject import Reject
from tests.bridge.conftest import START_US
from tests.support.own_server import OwnServer
from tests.support.small_market import WAIT_S_MAX, at, furnish, impatient, last_seq

VERBS = ("open_account", "mint", "place_bid", "settle", "void", "amend_bid")


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a loop of its own, for a bounded time."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), WAIT_S_MAX))

    return run


@awaited
async def test_every_verb_works_over_asyncio(market: Exchange, clock: ManualClock) -> None:
    """CLR-4, SET-1, SET-4, BID-5: from the opening of a market to its sweep."""
    exchange = AsyncExchange(market)
    assert (await exchange.open_market("m", lease=timedelta(seconds=1))).seq == 1
    for name in ("a", "b"):
        await exchange.open_account(name)
        assert (await exchange.mint(name, 1_000, "grant:initial")).to_balance_tokens == 1_000
    assert (await exchange.transfer("a", "b", 100, "gift:any")).from_balance_tokens == 900
    assert (await exchange.burn("b", 100, "fee:any")).from_balance_tokens == 1_000
    for slot_id in ("s1", "s2", "s3"):
        await exchange.offer_slot("m", slot_id)
    await exchange.withdraw_slot("s3")
    bid = await exchange.place_bid("m", "a", "t1", 50)
    assert (await exchange.amend_bid(bid.bid_id, max_price_tokens=60)).max_price_tokens == 60
    await exchange.place_bid("m", "b", "t2", 40)
    await exchange.cancel_bid((await exchange.place_bid("m", "b", "t3", 30)).bid_id)
    await exchange.place_bid("m", "b", "t4", 20)
    cleared = await exchange.clear_round("m")
    assert (cleared.clearing_price_tokens, len(cleared.awards)) == (20, 2)
    settled = await exchange.settle("s1", 19, 0.5, award_id=cleared.awards[0].award_id)
    assert (settled.price_tokens, settled.stamp.durable) == (20, True)
    assert (await exchange.void("s2")).released_tokens == 20
    assert (await exchange.wallet("a")).balance_tokens == 880
    assert (await exchange.get_order_book("m")).bids_total == 0
    clock.set_us(START_US + 2_000_000)
    assert not (await exchange.refund_unfilled()).more_due
    assert market.verify().ok


@awaited
async def test_async_methods_raise_the_errors_of_the_blocking_ones(market: Exchange) -> None:
    exchange = AsyncExchange(market)
    with pytest.raises(Refused) as caught:
        await exchange.clear_round("none")
    assert (caught.value.reason, caught.value.seq) == (Reject.MARKET_UNKNOWN, 1)
    with pytest.raises(Invalid):
        await exchange.open_account("no name")
    with pytest.raises(Invalid):
        await exchange.submit([], ack="applied")
    with pytest.raises(Invalid):
        await exchange.submit([open_account.request("a")], ack="soon")  # type: ignore[arg-type]
    assert last_seq(market) == 1
    market.close()
    with pytest.raises(Unavailable, match="closed"):
        await exchange.open_account("a")


@awaited
async def test_acknowledging_and_acting_carry_over(market: Exchange) -> None:
    furnish(market, "a", "b")
    exchange = AsyncExchange(market.acting_as("b").acknowledging("applied"))
    with pytest.raises(Refused) as caught:
        await exchange.place_bid("m", "a", "t", 5)
    assert (caught.value.reason, caught.value.value) == (Reject.NOT_PERMITTED, "b")
    replies = accepted(await exchange.submit([open_account.request(f"n{number}") for number in range(1_000)]))
    assert len({reply.seq for reply in replies}) == 1_000


@awaited
async def test_a_thousand_agents_wait_at_once(market: Exchange) -> None:
    """BID-2: all are answered, durably, each with a seq of its own; one loop waits for all of them together."""
    furnish(market, "a", tokens=1_000_000)
    exchange = AsyncExchange(market)

    async def agent(number: int) -> PlacedBid:
        return await exchange.place_bid("m", "a", f"t{number}", 5, command_id=f"bid-{number}")

    placed = await asyncio.gather(*(agent(number) for number in range(1_000)))
    assert {one.stamp.seq for one in placed} == set(range(4, 1_004))
    assert all(one.stamp.durable for one in placed)
    again = await asyncio.gather(*(agent(number) for number in range(1_000)))
    assert [one.bid_id for one in again] == [one.bid_id for one in placed]
    assert all(one.stamp.repeated for one in again)
    assert market.wallet("a").held_tokens == 5_000


@awaited
async def test_clear_round_releases_all_losers(market: Exchange) -> None:
    """BID-4, SET-6: as `Exchange.clear_round`."""
    furnish(market, "a", tokens=10_000)
    exchange = AsyncExchange(market)
    accepted(await exchange.submit([place_bid.request("m", "a", f"t{number}", 10) for number in range(750)]))
    cleared = await exchange.clear_round("m", at(START_US))
    assert cleared.losers_remaining == 750 - limits.LOSERS_PER_CALL_MAX
    assert (await exchange.wallet("a")).held_tokens == 0


@awaited
async def test_cancelled_task_does_not_undo_its_command(market: Exchange) -> None:
    """Whoever gives up waiting learns by the command id how it ended (IDM-1)."""
    exchange = AsyncExchange(market)
    task = asyncio.create_task(exchange.open_account("a", command_id="open"))
    await asyncio.sleep(0)  # it has been applied and waits for the journal
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    again = await exchange.open_account("a", command_id="open")
    assert (again.seq, again.repeated) == (1, True)


@awaited
async def test_unknown_outcome_while_the_database_is_frozen(own_server: OwnServer, own_url: str) -> None:
    """IDM-1: no confirmation in time is said as that; the loop is not blocked; the retry tells how it ended."""
    with open_exchange(own_url) as market:
        exchange = AsyncExchange(market)
        await exchange.open_account("a")
        with own_server.frozen(), impatient(market, 0.3):
            asked = [exchange.open_account(f"b{number}", command_id=f"open-{number}") for number in range(3)]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(one) for one in outcomes] == [UnknownOutcome] * 3
            assert [one.seqs for one in outcomes if isinstance(one, UnknownOutcome)] == [
                range(seq, seq + 1) for seq in (2, 3, 4)
            ]
            assert (await exchange.wallet("b1")).seq == 4, "reads go on"
        again = await asyncio.to_thread(until_answered, market)
        assert again == (3, True)


def until_answered(market: Exchange) -> tuple[int, bool]:
    """Ask again as a client does, until there is an answer."""
    for _ in range(100):
        try:
            stamp = market.open_account("b1", command_id="open-1")
        except (UnknownOutcome, Unavailable):
            continue
        return stamp.seq, stamp.repeated
    raise AssertionError("the database did not come back")


@awaited
async def test_place_bids_has_one_outcome_for_each_and_takes_only_bids(market: Exchange) -> None:
    furnish(market, "a", tokens=100)
    exchange = AsyncExchange(market)
    first, second = await exchange.place_bids([place_bid.request("m", "a", f"t{number}", 60) for number in range(2)])
    assert isinstance(first, PlacedBid)
    assert isinstance(second, Refused)
    before = last_seq(market)
    with pytest.raises(Invalid, match="requests: expected bids"):
        await exchange.place_bids([clear_request("m")])
    assert last_seq(market) == before
