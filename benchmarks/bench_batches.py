"""What one batch costs on its way to the disk, by its size, alone and beside a thread that is always busy.

    python3 dev.py bench-parts benchmarks/bench_batches.py

Rule of this file: the time is that of `PostgresJournal.append` alone, from sealed rows to the answer of the commit. The
busy thread stands for an event loop under load: each wait for the server gives the interpreter away to it.
"""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workload
from callmarket.engine.codec import GENESIS_DIGEST, SealedRow, seal
from callmarket.engine.commands import ADMIN, Command, Entry, Mint, OpenAccount, OpenMarket
from callmarket.engine.core import Engine
from callmarket.persistence.database.migrate import ensure_schema
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.statements import COPY_ROWS_MIN

BATCHES = 60
WARM_UP = 10


def sealed_bids(count: int) -> tuple[list[SealedRow], list[SealedRow]]:
    """What a sequencer would hand on: the rows of a market and its bidders, and those of so many bids."""
    opening: list[tuple[str, Command]] = [(ADMIN, OpenMarket(workload.MARKET))]
    for number in range(workload.BIDDERS):
        opening.append((ADMIN, OpenAccount(f"agent-{number}", "agent")))
        opening.append((ADMIN, Mint(f"agent-{number}", 10**12, "grant:initial")))
    entries = [Entry(seq, 0, actor, command) for seq, (actor, command) in enumerate(opening, start=1)]
    entries += workload.place_bids(len(entries) + 1, count)
    engine, rows, digest = Engine(), list[SealedRow](), GENESIS_DIGEST
    for entry in entries:
        row = seal(digest, entry, workload.accepted(engine, entry))
        rows.append(row)
        digest = row.digest
    return rows[:-count], rows[-count:]


@contextmanager
def busy_thread() -> Iterator[None]:
    """Hold the interpreter whenever nobody else asks for it."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(1_000))

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def nobody() -> Iterator[None]:
    """Leave the interpreter to the writer."""
    yield


@pytest.mark.parametrize("rows", [1, 8, 64, COPY_ROWS_MIN - 1, COPY_ROWS_MIN, 1_000])
@pytest.mark.parametrize("beside", [nobody, busy_thread])
@pytest.mark.benchmark(group="one batch of bids: fence, journal, commit")
def bench_batch(
    benchmark: BenchmarkFixture, database_url: str, beside: Callable[[], AbstractContextManager[None]], rows: int
) -> None:
    """Median of so many batches on one connection, whose statements are prepared."""
    opening, bids = sealed_bids((BATCHES + WARM_UP) * rows)
    batches = iter([bids[start : start + rows] for start in range(0, len(bids), rows)])
    with psycopg.connect(database_url) as connection:
        ensure_schema(connection)
    with PostgresJournal(database_url, 0) as journal, beside():
        journal.claim()
        journal.append(opening)
        gc.collect()
        benchmark.pedantic(lambda: journal.append(next(batches)), rounds=BATCHES, warmup_rounds=WARM_UP)
    benchmark.extra_info["rows_per_s"] = round(rows / benchmark.stats.stats.median)
