"""The cost of one trade in a position to the engine: with the maker alone, and with orders that rest.

    python3 dev.py bench-parts benchmarks/bench_capital.py

Rule of this file: whole commands, decided and applied, with ledger and events; no I/O. `place_bid` is beside them, so
that a figure can be read on any machine.
"""

import random
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workload
from callmarket.engine.capital.commands import (
    SUBSIDY_POOL,
    ClosePosition,
    OpenArtifactMarket,
    OpenPosition,
    SettleArtifact,
    Side,
)
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.commands import ADMIN, Command, Entry, ExpireDue, Mint, OpenAccount
from callmarket.engine.core import Engine
from callmarket.engine.events import Rejected

TRADES = 1_000
TRADERS = 50
SIDES: tuple[Side, Side] = ("long", "short")
# Beyond the end of every benchmark.
LATER_US = 10**15


def market(subsidy_tokens: int = 5_000) -> Engine:
    """An engine with one artifact market and accounts that may put all they have into it."""
    engine = Engine()
    run(engine, Mint(SUBSIDY_POOL, subsidy_tokens, "grant"))
    run(engine, OpenArtifactMarket("paper-7", subsidy_tokens, LATER_US, exposure_limit_ppm=MICRO))
    for number in range(TRADERS):
        run(engine, OpenAccount(f"agent-{number}", "agent"))
        run(engine, Mint(f"agent-{number}", 10**9, "grant"))
    return engine


def run(engine: Engine, command: Command) -> None:
    """Give a command that must be accepted, a millisecond after the last."""
    entry = Entry(engine.state.seq + 1, engine.state.at_us + 1_000, ADMIN, command)
    assert not isinstance(engine.apply(entry)[0], Rejected), command


def opening(rng: random.Random) -> OpenPosition:
    """A small purchase by anybody."""
    trader = f"agent-{rng.randrange(TRADERS)}"
    return OpenPosition("paper-7", trader, rng.choice(SIDES), rng.randrange(1, 100))


def rest_orders(engine: Engine, count: int, rng: random.Random) -> None:
    """Let orders rest on both sides of the price, up to twenty points from it."""
    for _ in range(count):
        long_price = engine.state.capital.markets["paper-7"].maker.price_micros
        side = rng.choice(SIDES)
        own = long_price if side == "long" else MICRO - long_price
        limit = max(1_000, own - rng.randrange(1, 200_000))
        trader = f"agent-{rng.randrange(TRADERS)}"
        run(engine, OpenPosition("paper-7", trader, side, rng.randrange(1, 50), limit, "gtd", LATER_US))


def entries(engine: Engine, commands: list[Command]) -> Callable[[], tuple[tuple[list[Entry]], dict[str, object]]]:
    """What a round applies, stamped."""

    def stamped() -> tuple[tuple[list[Entry]], dict[str, object]]:
        seq, at_us = engine.state.seq, engine.state.at_us
        return ([Entry(seq + n, at_us + n * 1_000, ADMIN, one) for n, one in enumerate(commands, 1)],), {}

    return stamped


def apply_all(engine: Engine) -> Callable[[list[Entry]], None]:
    """Apply entries one after the other."""

    def apply(some: list[Entry]) -> None:
        for entry in some:
            engine.apply(entry)

    return apply


@pytest.mark.parametrize("resting", [0, 200], ids=["maker alone", "200 orders rest"])
@pytest.mark.benchmark(group="Engine.apply: 1,000 x open_position")
def bench_open_position(benchmark: BenchmarkFixture, resting: int) -> None:
    engine, rng = market(), random.Random(7)
    rest_orders(engine, resting, rng)
    commands: list[Command] = [opening(rng) for _ in range(TRADES)]
    traded = engine.state.capital.markets["paper-7"].trades
    benchmark.pedantic(apply_all(engine), setup=entries(engine, commands), rounds=5)
    assert engine.state.capital.markets["paper-7"].trades - traded == 5 * TRADES


@pytest.mark.benchmark(group="Engine.apply: 1,000 x open_position")
def bench_place_bid_beside(benchmark: BenchmarkFixture) -> None:
    """A bid, for comparison."""
    engine = workload.open_engine()

    def bids() -> tuple[tuple[list[Entry]], dict[str, object]]:
        return (list(workload.place_bids(engine.state.seq + 1, TRADES, engine.state.seq)),), {}

    benchmark.pedantic(apply_all(engine), setup=bids, rounds=5)


@pytest.mark.benchmark(group="Engine.apply: 1,000 x close_position")
def bench_close_position(benchmark: BenchmarkFixture) -> None:
    engine, rng = market(), random.Random(7)

    def closes() -> tuple[tuple[list[Entry]], dict[str, object]]:
        for _ in range(TRADES):
            run(engine, opening(rng))
        positions = list(engine.state.capital.positions)[:TRADES]
        return entries(engine, [ClosePosition(one) for one in positions])()

    benchmark.pedantic(apply_all(engine), setup=closes, rounds=5)
    assert not engine.state.capital.positions


@pytest.mark.benchmark(group="Engine.apply: settle 20,000 positions")
def bench_settlement(benchmark: BenchmarkFixture) -> None:
    """The settlement and the sweeps that pay all positions, 500 at a time."""

    def settled() -> tuple[tuple[Engine], dict[str, object]]:
        engine, rng = market(), random.Random(7)
        for _ in range(20_000):
            run(engine, opening(rng))
        return (engine,), {}

    def settle(engine: Engine) -> None:
        run(engine, SettleArtifact("paper-7", "validated"))
        while engine.state.capital.paying:
            run(engine, ExpireDue())
        assert not engine.state.capital.positions

    benchmark.pedantic(settle, setup=settled, rounds=3)
