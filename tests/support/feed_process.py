"""A market that is worked and streamed: `python -m tests.support.feed_process URL SEED [standby]`.

It prints `standing` if it stands by, `ready PORT` once it leads, and `over` when it leads no longer. Who connects to
the port sends a last event id and a line end, and gets the stream. It ends by being killed.
Rule of this file: what it sends is what a server would send, `sse.stream`, and nothing else.
"""

import asyncio
import random
import sys
from datetime import timedelta

from callmarket import AsyncExchange, Exchange, Unavailable, UnknownOutcome, open_exchange
from callmarket.bridge.api.errors import ExchangeError
from callmarket.bridge.feed import sse

BIDDERS = tuple(f"bidder-{number}" for number in range(5))
MARKETS = ("one", "two")


def say(word: str) -> None:
    """Tell the parent."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


async def serve(market: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client."""
    last_event_id = (await reader.readline()).decode().strip()
    try:
        subscription = await market.node.feed.subscribe(after_seq=sse.after_seq_of(last_event_id))
        async for piece in sse.stream(subscription, 0.2):
            writer.write(piece)
            await writer.drain()
    except (ExchangeError, ConnectionError):
        pass  # the client comes again
    finally:
        writer.close()


async def work(market: Exchange, rng: random.Random, name: str) -> None:
    """Bids, offers, calls and settlements without end; an outcome that is unknown is no concern here."""
    exchange, number = AsyncExchange(market), 0
    while market.role == "leader":
        number += 1
        market_id = rng.choice(MARKETS)
        try:
            bid = await exchange.place_bid(market_id, rng.choice(BIDDERS), f"{name}-{number}", rng.randint(1, 50))
            if number % 5 == 0:
                await exchange.amend_bid(bid.bid_id, max_price_tokens=rng.randint(1, 50))
            if number % 7 == 0:
                await exchange.cancel_bid(bid.bid_id)
            if number % 10 == 0:
                await exchange.offer_slot(market_id, f"{name}-{number}")
                for award in (await exchange.clear_round(market_id)).awards:
                    await (
                        exchange.void(award.slot_id) if rng.random() < 0.3 else exchange.settle(award.slot_id, 1, 0.5)
                    )
        except (Unavailable, UnknownOutcome):
            await asyncio.sleep(0.01)
        except ExchangeError:
            continue  # refused: another worker was first


async def run(market: Exchange, seed: int) -> None:
    """Serve and work until the end."""
    exchange = AsyncExchange(market)
    for market_id in MARKETS:
        await exchange.open_market(market_id, lease=timedelta(hours=1), command_id=f"open-{market_id}")
    for bidder in BIDDERS:
        await exchange.open_account(bidder, command_id=f"open-{bidder}")
        await exchange.mint(bidder, 10**9, "grant:initial", command_id=f"mint-{bidder}")
    server = await asyncio.start_server(lambda *pipes: serve(market, *pipes), "127.0.0.1", 0)
    say(f"ready {server.sockets[0].getsockname()[1]}")
    rng = random.Random(seed)
    await asyncio.gather(*(work(market, random.Random(rng.random()), f"s{seed}-{number}") for number in range(8)))
    say("over")
    await server.serve_forever()


def main() -> None:
    """Open, lead, and go on until killed."""
    url, seed, *role = sys.argv[1:]
    market = open_exchange(url, standby="standby" in role)
    if market.role == "standby":
        say("standing")
        market.wait_until_leading()
    asyncio.run(run(market, int(seed)))


if __name__ == "__main__":
    main()
