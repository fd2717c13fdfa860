"""The cost of one command to the engine, and of one call, whatever rests.

    python3 dev.py bench-parts benchmarks/bench_engine.py

Rule of this file: whole commands as a user means them: decided, applied, ledger and events included; no I/O.
"""

import gc
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workload
from callmarket.engine.codec import GENESIS_DIGEST, seal
from callmarket.engine.commands import OPERATOR, CancelBid, ClearRound, Entry, OfferSlot, PlaceBid, SettleAward
from callmarket.engine.core import Engine
from callmarket.engine.events import RoundCleared

RESTING = [10_000, 100_000, 1_000_000]
BATCH = 10_000


@pytest.fixture(scope="module", params=RESTING, ids=["10k", "100k", "1M"])
def full_engine(request: pytest.FixtureRequest) -> Engine:
    """An engine in whose book so many bids rest. Shared: each benchmark leaves about as many as it found."""
    engine = workload.open_engine()
    workload.fill(engine, request.param)
    gc.collect()
    gc.freeze()
    return engine


@pytest.mark.benchmark(group="Engine.apply: 10,000 x place_bid")
def bench_place_bid(benchmark: BenchmarkFixture, full_engine: Engine) -> None:
    engine, count = full_engine, len(full_engine.state.bids)

    def entries() -> tuple[tuple[list[Entry]], dict[str, object]]:
        first_task = 10_000_000 + engine.state.seq
        return (list(workload.place_bids(engine.state.seq + 1, BATCH, first_task)),), {}

    benchmark.pedantic(apply_all(engine), setup=entries, rounds=7)
    latest = sorted(engine.state.bids)[count:]
    for bid_id in latest:
        workload.apply(engine, "admin", CancelBid(bid_id))


@pytest.mark.benchmark(group="Engine.apply: 10,000 x place_bid")
def bench_place_bid_at_round_prices(benchmark: BenchmarkFixture) -> None:
    """991 prices instead of 99,001: bids share levels, as they do where people choose the prices."""
    engine = workload.open_engine()
    workload.fill(engine, 100_000, price_step_tokens=100)

    def entries() -> tuple[tuple[list[Entry]], dict[str, object]]:
        first_task = 10_000_000 + engine.state.seq
        return (list(workload.place_bids(engine.state.seq + 1, BATCH, first_task, 100)),), {}

    benchmark.pedantic(apply_all(engine), setup=entries, rounds=7)


@pytest.mark.parametrize("command_id", ["", "k"], ids=["without an id", "with an id"])
@pytest.mark.benchmark(group="Engine.apply: 10,000 x transfer")
def bench_transfer(benchmark: BenchmarkFixture, command_id: str) -> None:
    """With an id it is looked up among the retries of a day, and is one of them from then on (IDM-1)."""
    engine = workload.open_engine()

    def entries() -> tuple[tuple[list[Entry]], dict[str, object]]:
        return (list(workload.transfers(engine.state.seq + 1, BATCH, command_id)),), {}

    benchmark.pedantic(apply_all(engine), setup=entries, rounds=7)


@pytest.mark.benchmark(group="Engine.apply: 1,000 x cancel_bid")
def bench_cancel_bid(benchmark: BenchmarkFixture, full_engine: Engine) -> None:
    engine = full_engine
    spread = iter(list(engine.state.bids)[:: len(engine.state.bids) // 5_000])

    def entries() -> tuple[tuple[list[Entry]], dict[str, object]]:
        seq, at_us = engine.state.seq, engine.state.at_us
        cancels = [Entry(seq + 1 + number, at_us, "admin", CancelBid(next(spread))) for number in range(1_000)]
        return (cancels,), {}

    benchmark.pedantic(apply_all(engine), setup=entries, rounds=5)


@pytest.mark.parametrize("slots", [5, 100])
def bench_clear_round(benchmark: BenchmarkFixture, full_engine: Engine, slots: int) -> None:
    """A call that sells `slots` slots; the bids it takes out are a ten-thousandth of what rests."""
    benchmark.group = f"clear_round: k = {slots}"
    engine = full_engine

    def setup() -> tuple[tuple[Entry], dict[str, object]]:
        workload.offer_slots(engine, slots)
        return (Entry(engine.state.seq + 1, engine.state.at_us, OPERATOR, ClearRound(workload.MARKET)),), {}

    events = benchmark.pedantic(engine.apply, setup=setup, rounds=30, warmup_rounds=2)
    cleared = events[-1]
    assert isinstance(cleared, RoundCleared)
    assert cleared.awards_granted == slots
    benchmark.extra_info["bids_visited"] = cleared.bids_visited


@pytest.fixture(scope="module", params=["first_rejected", "vickrey"])
def priced_engine(request: pytest.FixtureRequest) -> Engine:
    """An engine under a pricing rule with 100,000 resting bids, no two of them for one task."""
    engine = workload.open_engine(request.param)
    workload.fill(engine, 100_000)
    gc.collect()
    gc.freeze()
    return engine


@pytest.mark.parametrize(
    ("rivals", "whale"),
    [(0, 0), (1, 0), (10, 0), (0, 50)],
    ids=["no task shared", "1 rival", "10 rivals", "50 winners of one bidder"],
)
@pytest.mark.benchmark(group="clear_round: k = 100, 100k resting")
def bench_clear_round_with_rivals(benchmark: BenchmarkFixture, priced_engine: Engine, rivals: int, whale: int) -> None:
    """A call that sells 100 slots, by what its winners have beside them: rivals for each task, or a large bidder."""
    engine, slots = priced_engine, 100
    undo: list[CancelBid | SettleAward] = []

    def setup() -> tuple[tuple[Entry], dict[str, object]]:
        tidy()
        undo.extend(CancelBid(bid_id) for bid_id in workload.place_winners(engine, slots, rivals, whale))
        undo.extend(SettleAward(slot_id, 0, 0) for slot_id in workload.offer_slots(engine, slots))
        return (Entry(engine.state.seq + 1, engine.state.at_us, OPERATOR, ClearRound(workload.MARKET)),), {}

    def tidy() -> None:
        while undo:
            workload.apply(engine, OPERATOR if isinstance(undo[-1], SettleAward) else "admin", undo.pop())

    events = benchmark.pedantic(engine.apply, setup=setup, rounds=30, warmup_rounds=2)
    tidy()
    cleared = events[-1]
    assert isinstance(cleared, RoundCleared)
    assert cleared.awards_granted == slots
    benchmark.extra_info["bids_visited"] = cleared.bids_visited


@pytest.mark.benchmark(group="Engine.apply: a whole life (offer, place, clear, settle) of 1,000 bids")
def bench_life(benchmark: BenchmarkFixture) -> None:
    engine = workload.open_engine()

    def live() -> None:
        for number in range(1_000):
            slot_id, bidder_id = f"slot-{number}", f"agent-{number}"
            workload.apply(engine, OPERATOR, OfferSlot(workload.MARKET, slot_id, 0))
            workload.apply(engine, bidder_id, PlaceBid(workload.MARKET, bidder_id, f"task-{number}", 1_000))
            workload.apply(engine, OPERATOR, ClearRound(workload.MARKET))
            workload.apply(engine, OPERATOR, SettleAward(slot_id, 10, 1_000_000))

    benchmark.pedantic(live, rounds=7)


@pytest.mark.benchmark(group="codec: seal 10,000 rows")
def bench_seal(benchmark: BenchmarkFixture) -> None:
    """Encoding and chaining, which durability adds to each command before any I/O."""
    engine = workload.open_engine()
    applied = [(entry, workload.accepted(engine, entry)) for entry in workload.place_bids(engine.state.seq + 1, BATCH)]

    def seal_all() -> None:
        digest = GENESIS_DIGEST
        for entry, events in applied:
            digest = seal(digest, entry, events).digest

    benchmark.pedantic(seal_all, rounds=7)


@pytest.mark.benchmark(group="codec: seal the row of a call, k = 100")
def bench_seal_call(benchmark: BenchmarkFixture) -> None:
    """The longest row there is in a usual market: its bytes are encoded, digested, sent, stored and decoded."""
    engine, slots = workload.open_engine(), 100
    workload.fill(engine, 10_000)
    workload.offer_slots(engine, slots)
    entry = Entry(engine.state.seq + 1, engine.state.at_us, OPERATOR, ClearRound(workload.MARKET))
    events = engine.apply(entry)
    sealed = benchmark.pedantic(seal, (GENESIS_DIGEST, entry, events), rounds=200, warmup_rounds=5)
    benchmark.extra_info["bytes_per_award"] = round(len(sealed.events_json) / slots)


def apply_all(engine: Engine) -> Callable[[list[Entry]], None]:
    """Apply a batch."""

    def run(entries: list[Entry]) -> None:
        for entry in entries:
            workload.accepted(engine, entry)

    return run
