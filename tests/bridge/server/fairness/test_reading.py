"""Reads that are dear: quotes of a crowded market, metrics of many markets. A10: they take turns with all others.

Goal: no question holds the loop for longer than it is worth. Method: the loop counts who else gets a turn.
"""

import asyncio
from typing import TypeVar

import pytest

from callmarket import AsyncExchange
from callmarket.bridge.access.issue import NewKey
from callmarket.bridge.api.contract.queries import StateQuery, TableQuery
from callmarket.bridge.api.errors import TooManyRequests
from callmarket.bridge.api.operations import markets
from callmarket.bridge.api.operations.awards import awards
from callmarket.bridge.server.fairness.reading import ASKING, DEAR_WAITING_EACH
from callmarket.bridge.server.requests.caller import Caller
from tests.bridge.server.conftest import Served

T = TypeVar("T")


def test_a_quote_that_would_read_too_many_bids_is_a_conflict(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markets, "QUOTE_BIDS_MAX", 3)
    market = served.exchange
    market.offer_slot("m", "s")
    path, key = "/api/v1/markets/m/quote?max_price_tokens=5", served.key()
    assert served.ask("GET", path, key=key).json()["wins"] is True
    for number, bidder in enumerate(("a", "b", "a", "b")):
        market.place_bid("m", bidder, f"t{number // 2}", 10)
    told = served.ask("GET", path, key=key)
    assert (told.status_code, told.json()["type"], told.json()["field"]) == (409, "/problems/conflict", "market_id")
    assert "fewer than 3 bids" in told.json()["bound"]


def test_metrics_are_made_in_slices_and_once_for_all_waiting_requests(served: Served) -> None:
    for number in range(30):
        served.exchange.open_market(f"market-{number}")

    async def run() -> tuple[list[bytes], int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(others())
        texts = await asyncio.gather(*(served.metrics.text() for _ in range(20)))
        counting.cancel()
        return texts, turns

    texts, turns = asyncio.run(run())
    assert all(text is texts[0] for text in texts), "one for all"
    assert turns > texts[0].count(b"# TYPE ") > 40, "others had a turn after each family"
    # The next one knows what has happened since.
    served.exchange.open_market("late")
    assert b'callmarket_bids_open{market="late"}' in asyncio.run(served.metrics.text())


def test_a_cancelled_request_leaves_the_metrics_to_the_others(served: Served) -> None:
    async def run() -> bytes:
        first = asyncio.create_task(served.metrics.text())
        second = asyncio.create_task(served.metrics.text())
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert b"callmarket_ready 1.0" in asyncio.run(run())


def test_a_change_is_not_charged_to_earlier_requests(served: Served) -> None:
    """As the next of a pipeline it is begun by the answer to a question, and in that one's context."""
    before = Caller(
        served.service.authenticator.known(f"Bearer {served.key(rate_per_s=1, burst=4)}".encode()), "", "", ""
    )
    served.service.authenticator.charge(before.principal, 4)
    asked = ASKING.set(before)
    told = served.ask("POST", "/api/v1/bounties/a/none/pay", key=served.key(admin=True), json={})
    ASKING.reset(asked)
    assert told.status_code == 404, told.text


def test_a_wait_for_an_award_of_one_market_is_not_ended_by_that_of_another(served: Served) -> None:
    """It has come, and is none that was asked for: then the next is waited for, until the time is up."""
    service, exchange = served.service, AsyncExchange(served.exchange)
    caller = Caller(service.authenticator.known(f"Bearer {served.key()}".encode()), "", "", "")
    served.exchange.open_market("other")

    async def wait(seconds: float) -> int:
        given = {"market_id": "m", "bidder_id": "a", "limit": 1, "wait_s": seconds}
        asked = service.carry_out(caller, awards, given)
        return len((await asked).items)

    async def win(market_id: str, slot_id: str) -> None:
        await exchange.offer_slot(market_id, slot_id)
        await exchange.place_bid(market_id, "a", f"task-of-{slot_id}", 10)
        await exchange.clear_round(market_id)

    async def run() -> None:
        # Both wait before the time of the first is up: a busy machine may take a while to begin.
        waiting = [asyncio.create_task(wait(seconds)) for seconds in (2, 60)]
        while served.exchange.node.feed.watchers < 2:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0)
        await win("other", "s1")
        async with asyncio.timeout(30):
            assert await waiting[0] == 0
            await win("m", "s2")
            assert await waiting[1] == 1

    asyncio.run(run())


@pytest.mark.parametrize(("burst", "is_refused"), [(103 + 20 * 4, False), (103, True)])
def test_a_wait_for_an_award_is_charged_for_the_rows_once(served: Served, burst: int, is_refused: bool) -> None:
    """And for each time that it was looked in vain: awards of another market, which anybody may make come."""
    service, exchange = served.service, AsyncExchange(served.exchange)
    key = served.key(rate_per_s=1, burst=burst)
    caller = Caller(service.authenticator.known(f"Bearer {key}".encode()), "", "", "")
    served.exchange.open_market("other")
    looks, ask = 0, service.market.ask

    async def counted(question: StateQuery[T] | TableQuery[T]) -> T:
        nonlocal looks
        answer = await ask(question)
        looks += 1
        return answer

    async def wait() -> int:
        ASKING.set(caller)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(service.market, "ask", counted)
            page = await service.carry_out(
                caller, awards, {"market_id": "m", "bidder_id": "a", "limit": 1_000, "wait_s": 60}
            )
        return len(page.items)

    async def win(market_id: str, slot_id: str) -> None:
        await exchange.offer_slot(market_id, slot_id)
        await exchange.place_bid(market_id, "a", f"task-of-{slot_id}", 10)
        await exchange.clear_round(market_id)

    async def run() -> int:
        waiting = asyncio.create_task(wait())
        for number in range(12):
            while looks <= number and not waiting.done():  # noqa: ASYNC110 -- nobody tells
                await asyncio.sleep(0.001)
            await win("m" if number == 11 else "other", f"s{number}")
        async with asyncio.timeout(60):
            return await waiting

    if is_refused:
        with pytest.raises(TooManyRequests):
            asyncio.run(run())
        assert looks < 12
    else:
        assert asyncio.run(run()) == 1
        assert looks >= 13


def test_expensive_queries_of_a_key_at_a_time_are_bounded(served: Served) -> None:
    """One that asks for more is told to come back; another key is asked for next, and cheap questions do not wait."""
    market = served.service.market
    greedy, modest = (
        Caller(served.service.authenticator.known(f"Bearer {served.key()}".encode()), "", "", "") for _ in range(2)
    )

    async def ask(caller: Caller, order: list[str]) -> None:
        ASKING.set(caller)
        await market.markets()
        order.append("greedy" if caller is greedy else "modest")

    async def run() -> None:
        order: list[str] = []
        async with market._dear.turn("somebody"):
            tasks = [asyncio.create_task(ask(greedy, order)) for _ in range(DEAR_WAITING_EACH + 3)]
            tasks.append(asyncio.create_task(ask(modest, order)))
            await asyncio.sleep(0)
            ASKING.set(greedy)
            assert (await market.wallet("a")).account_id == "a"
            assert not order
        refused = [one for one in await asyncio.gather(*tasks, return_exceptions=True) if one is not None]
        assert [type(one) for one in refused] == [TooManyRequests] * 3
        assert order.index("modest") <= 1

    asyncio.run(run())
    assert NewKey(name="x").rate_per_s == 1_000
