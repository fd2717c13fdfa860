"""Waiting for an award: no wake-up is lost between reading and waiting, and who waits costs nobody anything."""

import asyncio

import pytest

from callmarket import AsyncExchange, Exchange
from callmarket.bridge.api.errors import Unavailable
from callmarket.bridge.feed import limits
from callmarket.persistence.journal.postgres import wait_for_tables
from tests.bridge.feed.test_feed import awaited
from tests.support.small_market import WAIT_S_MAX, furnish


async def award(exchange: AsyncExchange, bidder_id: str, slot_id: str) -> int:
    await exchange.offer_slot("m", slot_id)
    await exchange.place_bid("m", bidder_id, f"task-of-{slot_id}", 10)
    return (await exchange.clear_round("m")).awards[0].award_id


@awaited
async def test_a_waiter_registered_before_reading_misses_no_award(market: Exchange) -> None:
    """The award comes after the reading and before the waiting, or while waiting; another's does not wake."""
    furnish(market, "a", "b")
    exchange = AsyncExchange(market)
    with market.node.feed.awards_of("a") as awards:
        first = await award(exchange, "a", "s1")
        assert await awards.wait(0, WAIT_S_MAX)
        assert not await awards.wait(first, 0.01), "that one is known"
        waiting = asyncio.create_task(awards.wait(first, WAIT_S_MAX))
        await award(exchange, "b", "s2")
        await asyncio.sleep(0.02)
        assert not waiting.done()
        second = await award(exchange, "a", "s3")
        assert await waiting
        assert second > first
        assert not await awards.wait(second, 0.01)


@awaited
async def test_agents_that_poll_are_all_woken_and_each_award_is_seen_once(market: Exchange) -> None:
    """As a server does: register, read the table, wait, read again. Many agents; awards come one after the other."""
    names = [f"a{number}" for number in range(20)]
    furnish(market, *names)
    exchange, seen = AsyncExchange(market), {name: [0] for name in names}

    def read(name: str, after: int, upto_seq: int) -> list[int]:
        with market.node.connect() as connection:
            wait_for_tables(connection, 0, upto_seq, WAIT_S_MAX)
            query = "SELECT award_id FROM compute_auction_clears WHERE bidder_id = %s AND award_id > %s ORDER BY 1"
            return [row[0] for row in connection.execute(query, (name, after))]

    async def poll(name: str) -> None:
        while len(seen[name]) < 4:
            with market.node.feed.awards_of(name) as awards:
                new = await asyncio.to_thread(read, name, seen[name][-1], awards.seq)
                if not new and await awards.wait(seen[name][-1], WAIT_S_MAX):
                    new = await asyncio.to_thread(read, name, seen[name][-1], awards.seq)
                assert new, "a wake-up for nothing, and nobody was behind"
                seen[name] += new

    polls = [asyncio.create_task(poll(name)) for name in names]
    for number in range(3):
        for name in names:
            await award(exchange, name, f"{name}-{number}")
    await asyncio.gather(*polls)
    for name in names:
        assert seen[name] == [0, *read(name, 0, market.durable_seq)]


@awaited
async def test_award_waiters_are_bounded_and_released(market: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AWARD_WAITERS_MAX", 2)
    feed = market.node.feed
    with feed.awards_of("a") as first, feed.awards_of("a"):
        with pytest.raises(Unavailable, match="the most"):
            feed.awards_of("b")
        first.close()
        feed.awards_of("b").close()
        giving_up = asyncio.create_task(feed.awards_of("c").wait(0, WAIT_S_MAX))
        await asyncio.sleep(0)
        giving_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await giving_up
    market.close()
    with pytest.raises(Unavailable, match="closed"):
        _ = market.node.feed
