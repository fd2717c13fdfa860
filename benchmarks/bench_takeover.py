"""How long a market is away when its leader ends: from the signal to the standby's first durable answer.

    python3 dev.py bench-parts benchmarks/bench_takeover.py

Rule of this file: two real processes and a real PostgreSQL; the leader is busy when it is killed, told to end, or
frozen for good. Most of what is measured is waiting that was chosen (`persistence/leadership/failure_detection.py`,
`lease_s`).
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from callmarket import Exchange, open_exchange
from callmarket.persistence.embedded import EmbeddedServer, ensure_database

ROOT = Path(__file__).resolve().parents[1]
ENDS = {"killed": signal.SIGKILL, "terminated": signal.SIGTERM, "frozen": signal.SIGSTOP}
WAIT_S = 120.0


@contextmanager
def leader(url: str, resting: int) -> Iterator[subprocess.Popen[str]]:
    """A process that leads, and is gone after the block."""
    command = [sys.executable, "-m", "benchmarks.leader_process", url, str(resting)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            # The first of those that it goes on placing is among them.
            assert process.stdout.readline() == f"ready {resting + 1}\n"
            yield process
        finally:
            process.kill()


def wait_until_followed(url: str) -> None:
    """Until the standby has said that it is near the end."""
    query = "SELECT count(*) FROM engine_standbys, engine_writer WHERE last_seq - applied_seq < 5000"
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(query).fetchone() != (1,):
            time.sleep(0.1)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("resting", [0, 100_000], ids=["empty", "100k"])
@pytest.mark.parametrize("end", ENDS)
def bench_takeover(benchmark: BenchmarkFixture, server: EmbeddedServer, end: str, resting: int) -> None:
    """The signal, and then the first answer of the one who stood by."""
    benchmark.group = f"takeover, {resting:,} bids resting"
    stage = ExitStack()
    numbers = count(1)

    def set_up() -> tuple[tuple[subprocess.Popen[str], Exchange], dict[str, object]]:
        stage.close()
        name = f"takeover_{end}_{resting}_{next(numbers)}"
        ensure_database(server.url("postgres"), name)
        process = stage.enter_context(leader(server.url(name), resting))
        market = stage.enter_context(open_exchange(server.url(name), standby=True))
        wait_until_followed(server.url(name))
        return (process, market), {}

    def take_over(process: subprocess.Popen[str], market: Exchange) -> None:
        process.send_signal(ENDS[end])
        assert market.wait_until_leading(WAIT_S)
        market.open_account("first")

    def see_the_book(process: subprocess.Popen[str], market: Exchange) -> None:
        # What was taken over is the book that the leader had, and what it went on placing.
        assert market.read(lambda state: len(state.bids)) > resting

    with stage:
        benchmark.pedantic(take_over, setup=set_up, teardown=see_the_book, rounds=5)
