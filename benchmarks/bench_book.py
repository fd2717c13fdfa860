"""Which structure should the book be? Add, cancel, top k and memory at 10k, 100k and 1M resting bids.

    python3 dev.py bench-parts benchmarks/bench_book.py

Rule of this file: every candidate does the same work on the same bids in the same run; compare within one table.
"""

import gc
import multiprocessing
import random
from itertools import islice
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workload
from benchmarks.peers import CANDIDATES, BookLike
from callmarket.engine.book import Bid

RESTING = [10_000, 100_000, 1_000_000]
BATCH = 10_000

candidates = pytest.mark.parametrize("candidate", CANDIDATES)
resting = pytest.mark.parametrize("resting", RESTING, ids=["10k", "100k", "1M"])


def filled(candidate: str, bids: list[Bid]) -> BookLike:
    """A book of this kind with these bids."""
    book = CANDIDATES[candidate]()
    for bid in bids:
        book.add(bid)
    gc.collect()
    return book


@candidates
@resting
@pytest.mark.benchmark(group="book: add 10,000 bids")
def bench_add(benchmark: BenchmarkFixture, candidate: str, resting: int) -> None:
    book = filled(candidate, workload.bids(resting))
    batches = iter([workload.bids(BATCH, resting + 1 + number * BATCH) for number in range(5)])

    def add(bids: list[Bid]) -> None:
        for bid in bids:
            book.add(bid)

    benchmark.pedantic(add, setup=lambda: ((next(batches),), {}), rounds=5)


@candidates
@resting
@pytest.mark.benchmark(group="book: cancel 1,000 random bids")
def bench_cancel(benchmark: BenchmarkFixture, candidate: str, resting: int) -> None:
    bids = workload.bids(resting)
    book = filled(candidate, bids)
    chosen = random.Random(workload.SEED).sample(bids, 5_000)
    batches = iter([chosen[start : start + 1_000] for start in range(0, 5_000, 1_000)])

    def cancel(batch: list[Bid]) -> None:
        for bid in batch:
            book.remove(bid)

    benchmark.pedantic(cancel, setup=lambda: ((next(batches),), {}), rounds=5)


@candidates
@resting
@pytest.mark.parametrize("top", [5, 100])
def bench_top(benchmark: BenchmarkFixture, candidate: str, resting: int, top: int) -> None:
    benchmark.group = f"book: top {top}"
    book = filled(candidate, workload.bids(resting))
    best = benchmark.pedantic(lambda: list(islice(book, top)), rounds=200, warmup_rounds=10)
    assert len(best) == top


@candidates
@resting
@pytest.mark.benchmark(group="book: fill, with bytes per bid (bid included)")
def bench_memory(benchmark: BenchmarkFixture, candidate: str, resting: int) -> None:
    """In a process of its own, so that one candidate's freed memory is not the next one's gain."""
    context = multiprocessing.get_context("spawn")

    def measure() -> int:
        with context.Pool(1) as pool:
            return pool.apply(resident_bytes_of, (candidate, resting))

    benchmark.extra_info["bytes_per_bid"] = round(benchmark.pedantic(measure, rounds=1) / resting)


def resident_bytes_of(candidate: str, resting: int) -> int:
    """How much the resident memory grows for a filled book."""
    gc.collect()
    before = resident_bytes()
    book = filled(candidate, workload.bids(resting))
    after = resident_bytes()
    assert next(iter(book))
    return after - before


def resident_bytes() -> int:
    """Resident memory of this process, from Linux's /proc."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
