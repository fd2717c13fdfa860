"""What live commands feel while snapshots are taken: latency at 1M resting bids, alone and beside snapshots.

    python3 dev.py bench-parts benchmarks/bench_pause.py -s

Rule of this file: an open loop. Each command has a time at which it is due, whatever became of those before, and its
latency counts from then: a pause is felt by all who came while it lasted. The snapshots are taken by the very command
that a user runs, in a process of its own, one right after the other, on the same machine and database.
"""

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workload
from callmarket import open_exchange
from callmarket.bridge.api.contract.results import accepted
from callmarket.bridge.api.messages import Ack, Request
from callmarket.bridge.market.exchange import Exchange
from callmarket.persistence.embedded import EmbeddedServer, ensure_database
from callmarket.persistence.snapshots.postgres import PostgresSnapshots

RESTING = 1_000_000
SECONDS = 20
# Enough that one is free while the others wait for a commit, though a commit be slow.
CLIENTS = 128
BATCH = 1_000
DURABLE_EVERY = 50

numbers = itertools.count()


def requests(count: int) -> list[Request]:
    """So many further bids, with deadlines on the machine's time."""
    first = next(numbers) * 10_000_000
    at_us = time.time_ns() // 1_000
    bids = workload.place_bids(1, count, first_task=first)
    # `place_bids` counts its time from the first task.
    return [Request(one.actor, workload.later(one.command, at_us - one.at_us)) for one in bids]


@pytest.fixture(scope="module")
def market(server: EmbeddedServer) -> Iterator[Exchange]:
    """An exchange on a database of its own in which so many bids rest, all placed through it."""
    ensure_database(server.url("postgres"), "pause")
    with open_exchange(server.url("pause")) as exchange:
        exchange.open_market(workload.MARKET)
        for number in range(workload.BIDDERS):
            exchange.acknowledging("applied").open_account(f"agent-{number}")
            exchange.acknowledging("applied").mint(f"agent-{number}", 10**12, "grant:initial")
        for batch in range(RESTING // BATCH):
            ack: Ack = "applied" if batch % DURABLE_EVERY else "durable"
            accepted(exchange.node.submit(requests(BATCH), ack))
        gc.collect()
        gc.freeze()
        yield exchange


@contextmanager
def snapshots_taken(url: str) -> Iterator[None]:
    """Take one snapshot after the other as long as this lasts, having begun with the first."""
    command = [sys.executable, "-m", "callmarket", "snapshot", "--every", "1"]
    environment = {**os.environ, "CALLMARKET_DATABASE_URL": url}
    root = Path(__file__).parents[1]
    process = subprocess.Popen(command, env=environment, cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        # The first is a recovery of its own; those that follow cost the rows since, and the image.
        assert process.stdout.readline(), "no snapshot was taken"
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def latencies_ms(exchange: Exchange, rate: int, ack: Ack) -> list[float]:
    """Latency of each command, from the time at which it was due, in ascending order."""
    bids = requests(rate * SECONDS)
    begin = time.perf_counter() + 0.2
    ready = threading.Barrier(CLIENTS)

    def client(number: int) -> list[float]:
        taken = []
        ready.wait()
        for turn in range(number, len(bids), CLIENTS):
            due = begin + turn / rate
            early = due - time.perf_counter()
            if early > 0:
                time.sleep(early)
            accepted(exchange.node.submit([bids[turn]], ack))
            taken.append((time.perf_counter() - due) * 1_000)
        return taken

    with ThreadPoolExecutor(CLIENTS) as clients:
        return sorted(itertools.chain.from_iterable(clients.map(client, range(CLIENTS))))


def kept(url: str) -> set[str]:
    """The names of the snapshots that are there."""
    with PostgresSnapshots(url, 0) as store:
        return {info.name for info in store.list()}


@pytest.mark.timeout(900)  # placing the first million takes a minute, or some
@pytest.mark.parametrize("beside", ["alone", "snapshots"])
@pytest.mark.parametrize("ack", ["applied", "durable"])
@pytest.mark.parametrize("rate", [500, 2_000])
def bench_pause(benchmark: BenchmarkFixture, market: Exchange, rate: int, ack: Ack, beside: str) -> None:
    """The time measured is that of the whole run; what counts is printed (`-s` shows it) and kept in `extra_info`."""
    benchmark.group = f"{rate} commands/s, {ack}, {RESTING:,} resting bids"
    seqs = 0

    def run() -> list[float]:
        nonlocal seqs
        if beside == "alone":
            return latencies_ms(market, rate, ack)
        with snapshots_taken(market.node.url):
            before = max(map(int, kept(market.node.url)))
            taken = latencies_ms(market, rate, ack)
            seqs = max(map(int, kept(market.node.url))) - before
        return taken

    found = benchmark.pedantic(run, rounds=1)
    figures = {f"p{share}": found[int(len(found) * share / 100)] for share in (50, 99, 99.9)} | {"worst": found[-1]}
    benchmark.extra_info.update({name: round(ms, 2) for name, ms in figures.items()} | {"snapshots": seqs})
    words = ", ".join(f"{name} {ms:.2f}" for name, ms in figures.items())
    print(f"\n{benchmark.group}, {beside}: {words} ms; {seqs} snapshots meanwhile")
