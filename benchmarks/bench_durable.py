"""What durability costs: commands a second through PostgreSQL, and rows a second on the way back.

    python3 dev.py bench-parts benchmarks/bench_durable.py

Rule of this file: a command counts when its journal row is committed in a real PostgreSQL with fsync on; the tables
follow meanwhile. The floor beside us is the bare COPY of the same journal bytes in the same run. Durable figures depend
on the disk: quote them with its flush time.
"""

import gc
import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workload
from callmarket.bridge.api.contract.results import accepted, stamp
from callmarket.bridge.api.messages import Request
from callmarket.bridge.api.operations.rounds import clear_request
from callmarket.bridge.api.operations.slots import offer_slot, settle
from callmarket.bridge.market.app import open_exchange
from callmarket.bridge.market.exchange import Exchange
from callmarket.engine.codec import SealedRow
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.loss.high_water import HighWater
from callmarket.persistence.recovery import recover

COMMANDS = 100_000
BATCH = 500
LIVES = 20_000
K = 100


def requests(exchange: Exchange, count: int) -> list[list[Request]]:
    """Batches of bids, made before the clock runs; the market and its bidders are opened in passing."""
    exchange.open_market(workload.MARKET)
    for number in range(workload.BIDDERS):
        as_applied = exchange.acknowledging("applied")
        as_applied.open_account(f"agent-{number}")
        as_applied.mint(f"agent-{number}", 10**12, "grant:initial")
    at_us = time.time_ns() // 1_000
    entries = workload.place_bids(1, count)
    bids = [Request(entry.actor, workload.later(entry.command, at_us)) for entry in entries]
    return [bids[start : start + BATCH] for start in range(0, count, BATCH)]


def journal_rows(url: str) -> Sequence[SealedRow]:
    """All rows of the journal of shard 0."""
    journal = PostgresJournal(url, 0)
    try:
        return list(journal.read())
    finally:
        journal.close()


@pytest.mark.benchmark(group="100,000 durable place_bid: engine, journal, commit")
def bench_durable_commands(benchmark: BenchmarkFixture, database_url: str) -> None:
    """From the first command's stamping to the last one's commit, one caller in batches of 500."""
    with open_exchange(database_url) as exchange:
        batches = requests(exchange, COMMANDS)
        gc.collect()

        def run() -> None:
            for batch in batches[:-1]:
                accepted(exchange.node.submit(batch, "applied"))
            accepted(exchange.node.submit(batches[-1], "durable"))

        benchmark.pedantic(run, rounds=1)
        assert exchange.durable_seq == exchange.read(lambda state: state.seq)
    benchmark.extra_info["commands_per_s"] = round(COMMANDS / benchmark.stats.stats.median)


@pytest.mark.benchmark(group="20,000 durable lives of a slot: offered, two bids, awarded, settled")
def bench_durable_lives(benchmark: BenchmarkFixture, database_url: str) -> None:
    """One caller: each batch settles the last call's awards, offers 100 slots, places 200 bids and calls the market."""
    with open_exchange(database_url) as exchange:
        requests(exchange, 0)
        batches = [life(call_no) for call_no in range(LIVES // K + 1)]
        gc.collect()

        def run() -> None:
            for batch in batches[:-1]:
                accepted(exchange.submit(batch, "applied"))
            accepted(exchange.submit(batches[-1], "durable"))

        benchmark.pedantic(run, rounds=1)
        exchange.acknowledging("projected").mint("agent-0", 1, "grant:more")
        with psycopg.connect(database_url) as connection:
            query = "SELECT count(*) FROM compute_auction_clears WHERE status = 'settled'"
            assert connection.execute(query).fetchone() == (LIVES,)
    benchmark.extra_info["slots_per_s"] = round(LIVES / benchmark.stats.stats.median)


def life(call_no: int) -> list[Request]:
    """The batch of one call; the last one only settles."""
    batch = [settle.request(f"slot-{call_no - 1}-{number}", 0, 1) for number in range(K) if call_no]
    if call_no == LIVES // K:
        return batch
    batch += [offer_slot.request(workload.MARKET, f"slot-{call_no}-{number}") for number in range(K)]
    entries = workload.place_bids(1, 2 * K, first_task=2 * K * call_no)
    batch += [Request(entry.actor, replace(entry.command, ttl_at_us=None, time_in_force="round")) for entry in entries]
    return [*batch, clear_request(workload.MARKET)]


@pytest.mark.benchmark(group="one durable place_bid at a time: reply when committed")
def bench_durable_latency(benchmark: BenchmarkFixture, database_url: str) -> None:
    """One agent that waits for each reply: a commit and a flush each."""
    with open_exchange(database_url) as exchange:
        waiting = iter([request for batch in requests(exchange, 1_000) for request in batch])
        benchmark.pedantic(lambda: stamp(exchange.submit_one(next(waiting))), rounds=900, warmup_rounds=50)


@pytest.mark.benchmark(group="recovery of 100,000 rows")
def bench_recovery(benchmark: BenchmarkFixture, database_url: str) -> None:
    """Read, chain, decode, decide again, compare, check the state."""
    with open_exchange(database_url) as exchange:
        for batch in requests(exchange, COMMANDS):
            accepted(exchange.node.submit(batch, "durable"))

    def run() -> int:
        journal = PostgresJournal(database_url, 0)
        try:
            return recover(journal).report.rows
        finally:
            journal.close()

    rows = benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    benchmark.extra_info["rows_per_s"] = round(rows / benchmark.stats.stats.median)


@pytest.mark.benchmark(group="100,000 durable place_bid: engine, journal, commit")
def bench_bare_copy(benchmark: BenchmarkFixture, database_url: str) -> None:
    """The floor: the same journal bytes by COPY into the same table, with no engine and no tables beside it."""
    with open_exchange(database_url) as exchange:
        for batch in requests(exchange, COMMANDS):
            accepted(exchange.node.submit(batch, "durable"))
    rows = journal_rows(database_url)[-COMMANDS:]
    shards = iter(range(1, 10))

    def run() -> None:
        shard_id = next(shards)
        with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
            for start in range(0, COMMANDS, 10_000):
                with cursor.copy("COPY journal FROM STDIN (FORMAT BINARY)") as copy:
                    # JSON as its bytes: they are there already, and psycopg would encode them once more.
                    copy.set_types(["int4", "int8", "int8", "int8", "text", "text", "int4", "bytea", "bytea", "bytea"])
                    for row in rows[start : start + 10_000]:
                        entry = row.entry
                        copy.write_row(
                            (
                                shard_id,
                                entry.seq,
                                1,
                                entry.at_us,
                                entry.actor,
                                entry.command_id,
                                row.rules,
                                row.command_json,
                                row.events_json,
                                row.digest,
                            )
                        )
                connection.commit()

    benchmark.pedantic(run, rounds=3)
    benchmark.extra_info["rows_per_s"] = round(COMMANDS / benchmark.stats.stats.median)


@pytest.mark.benchmark(group="the disk: one flush of 8 kB")
def bench_flush(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """What one fdatasync costs here; every durable figure stands on it."""
    with (tmp_path / "flush").open("wb") as file:

        def flush() -> None:
            file.write(bytes(8_192))
            file.flush()
            os.fdatasync(file.fileno())

        benchmark.pedantic(flush, rounds=300, warmup_rounds=20)


@pytest.mark.benchmark(group="the mark of a durable batch, kept outside the database")
def bench_high_water(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """What is written before a batch is acknowledged, beside a flush of the disk a second."""
    with closing(HighWater(tmp_path, 0)) as marks:
        marks.begin("00000000-0000-0000-0000-000000000000", 0, bytes(32))
        benchmark(marks.keep, 1, bytes(32))
