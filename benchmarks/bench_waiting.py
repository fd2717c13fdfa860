"""What waiting costs: many agents of one asyncio loop, each with one durable command at a time.

    python3 dev.py bench-parts benchmarks/bench_waiting.py

Rule of this file: a command counts when its agent has been answered, durably, from a real PostgreSQL. The peer beside
us waits as is usual: a wake of the loop and a timer for each command. Both run in turns in one run; the ratio of their
medians is what counts. And what the feed costs the market: the writer, with nobody listening; with one who hears all,
with ten, with a thousand bidders.
"""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workload
from callmarket.bridge.api.contract.results import accepted
from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.feed import sse
from callmarket.bridge.feed.filters import filter_of
from callmarket.bridge.market.app import open_exchange
from callmarket.bridge.market.exchange import Exchange
from callmarket.bridge.market.node import Node

AGENTS: Final = 2_000
COMMANDS: Final = 20_000
ROUNDS: Final = 3
TIMEOUT_S: Final = 30.0

Submit = Callable[[Node, Request], Awaitable[list[Reply]]]


async def ours(node: Node, request: Request) -> list[Reply]:
    return await node.submit_async([request], "durable")


async def as_usual(node: Node, request: Request) -> list[Reply]:
    """A future, a wake of the loop and a timer for each command."""
    replies = await node.submit_async([request], "applied")
    loop = asyncio.get_running_loop()
    durable = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if not durable.done():
            durable.set_result(error)

    node._session.write_behind.on_durable(  # type: ignore[union-attr]  # noqa: SLF001 -- what the peer needs is not offered
        replies[0].seq, lambda error: loop.call_soon_threadsafe(settle, error)
    )
    assert await asyncio.wait_for(durable, TIMEOUT_S) is None
    return replies


def endless_requests(exchange: Exchange, count: int) -> Iterator[Request]:
    """Bids of many bidders, made before the clock runs."""
    exchange.open_market(workload.MARKET)
    quick = exchange.acknowledging("applied")
    for number in range(workload.BIDDERS):
        quick.open_account(f"agent-{number}")
        quick.mint(f"agent-{number}", 10**12, "grant:initial")
    at_us = int(exchange.node.now().timestamp() * 1_000_000)
    entries = workload.place_bids(1, count)
    return iter([Request(entry.actor, workload.later(entry.command, at_us)) for entry in entries])


async def answered(node: Node, requests: Iterator[Request], submit: Submit) -> None:
    """All agents at work until this many commands are answered."""
    shared = itertools.islice(requests, COMMANDS)

    async def agent() -> None:
        for request in shared:
            accepted(await submit(node, request))

    await asyncio.gather(*(agent() for _ in range(AGENTS)))


@pytest.mark.parametrize("way", ["ours", "as usual", "ours, again"])
@pytest.mark.benchmark(group=f"{COMMANDS:,} durable commands, one at a time by each of {AGENTS:,} agents of one loop")
def bench_waiting(benchmark: BenchmarkFixture, database_url: str, way: str) -> None:
    """Commands a second, by how they wait."""
    submit = as_usual if way == "as usual" else ours
    with open_exchange(database_url) as exchange, asyncio.Runner() as runner:
        requests = endless_requests(exchange, (ROUNDS + 1) * COMMANDS)
        gc.collect()
        benchmark.pedantic(
            lambda: runner.run(answered(exchange.node, requests, submit)), rounds=ROUNDS, warmup_rounds=1
        )
    benchmark.extra_info["commands_per_s"] = round(COMMANDS / benchmark.stats.stats.median)


@pytest.mark.parametrize("who", ["nothing", "the feed's ring", "nothing, again", "the feed's ring, again"])
@pytest.mark.benchmark(group="40,000 durable commands in batches of 500: what the journal's writer brings its rows to")
def bench_writer(benchmark: BenchmarkFixture, database_url: str, who: str) -> None:
    """What the feed costs where nobody listens: the latest rows are kept, and that is all."""
    commands, batch = 40_000, 500
    with open_exchange(database_url) as exchange:
        requests = list(endless_requests(exchange, (ROUNDS + 1) * commands))
        batches = iter([requests[start : start + batch] for start in range(0, len(requests), batch)])
        if who.startswith("nothing"):
            exchange.node._session.write_behind._listeners = ()  # type: ignore[union-attr]  # noqa: SLF001 -- the peer
        gc.collect()

        def run() -> None:
            for some in itertools.islice(batches, commands // batch - 1):
                accepted(exchange.node.submit(some, "applied"))
            accepted(exchange.node.submit(next(batches), "durable"))

        benchmark.pedantic(run, rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info["commands_per_s"] = round(commands / benchmark.stats.stats.median)


@asynccontextmanager
async def listening(node: Node, who: str) -> AsyncIterator[list[int]]:
    """Subscribers of a kind, who read all that they get, as the text that a server sends."""
    filters = {
        "nobody": [],
        "one who hears all": [filter_of()],
        "ten who hear all": [filter_of()] * 10,
        "a thousand bidders": [filter_of(bidder_id=f"agent-{number}") for number in range(1_000)],
    }[who]
    heard: list[int] = [0]

    async def read(wanted: object) -> None:
        async for piece in sse.stream(await node.feed.subscribe(wanted)):  # type: ignore[arg-type]
            heard[0] += piece.count(b"\ndata: ")

    readers = [asyncio.create_task(read(wanted)) for wanted in filters]
    await asyncio.sleep(0.1)
    yield heard
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


@pytest.mark.parametrize("who", ["nobody", "one who hears all", "ten who hear all", "a thousand bidders"])
@pytest.mark.benchmark(group=f"{COMMANDS:,} durable commands of {AGENTS:,} agents, with a feed in the same loop")
def bench_listening(benchmark: BenchmarkFixture, database_url: str, who: str) -> None:
    """Commands a second, by who listens."""
    heard_all: list[int] = []

    async def run(node: Node, requests: Iterator[Request]) -> None:
        async with listening(node, who) as heard:
            await answered(node, requests, ours)
            await asyncio.sleep(0)
        heard_all.append(heard[0])

    with open_exchange(database_url) as exchange, asyncio.Runner() as runner:
        requests = endless_requests(exchange, (ROUNDS + 1) * COMMANDS)
        gc.collect()
        benchmark.pedantic(lambda: runner.run(run(exchange.node, requests)), rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info["commands_per_s"] = round(COMMANDS / benchmark.stats.stats.median)
    benchmark.extra_info["messages_per_round"] = heard_all[-1]
