"""The served market under load: durable bids over HTTP, one a request and in batches, beside the framework's ceiling.

    python3 dev.py bench-parts -k load        # these three, by turns
    python3 dev.py load                 # the whole run: capacity, latency below it, overload, audit

Rule of this file: a bid counts when its client has been told that it is durable, and it is in the database afterwards.
"""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.load.stages import BIDS_EACH, Run, open_run
from callmarket.persistence.embedded import ensure_database, ensure_server

REQUESTS = {"empty": 10_000, "bid": 10_000, "batch": 200}
ROUNDS = 5


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Yield one served market for all; what it acknowledged is looked up at the end."""
    with TemporaryDirectory(prefix="callmarket-load-") as home, ExitStack() as stack:
        # PostgreSQL may run as another account than this one.
        Path(home).chmod(0o711)
        server = stack.enter_context(ensure_server(Path(home)))
        ensure_database(server.url("postgres"), "load")
        running = open_run(server.url("load"), stack)
        yield running
        audit = running.audit()
        assert (audit.missing, audit.twice, running.not_durable) == (0, 0, 0), audit


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["empty", "bid", "batch"])
@pytest.mark.benchmark(group="requests over HTTP on 64 connections that never pause")
def bench_load(benchmark: BenchmarkFixture, run: Run, kind: str) -> None:
    """Seconds for so many requests with the start of the client; without it `per_s`. `empty` is the ceiling."""
    where = run.framework if kind == "empty" else run.market
    rates: list[float] = []

    def ask() -> None:
        result = run.client(kind, where, count=REQUESTS[kind])
        assert set(result.statuses) <= {"200", "201"}, result.statuses
        rates.append(result.good_per_s * BIDS_EACH[kind])

    benchmark.pedantic(ask, rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info["per_s"] = round(statistics.median(rates))
