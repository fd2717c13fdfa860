"""The load generator: what it says is true. Goal: its figures can be believed, and it does not rot.

Method: a short run at a small rate against the served market on a real PostgreSQL, and a server that stalls on purpose.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.load import served
from benchmarks.load.client import Plan, Told, due_of
from benchmarks.load.stages import Run
from benchmarks.load.wire import drive

ANSWER = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}"


@contextmanager
def one_at_a_time(stall_s: float) -> Iterator[tuple[str, int]]:
    """A server with one connection, that answers its first request late and the others at once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                pause_s = stall_s
                while connection.recv(65_536):
                    time.sleep(pause_s)
                    pause_s = 0.0
                    connection.sendall(ANSWER)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[:2]
        thread.join(10)


def test_a_stall_is_charged_to_every_request_that_was_due_in_it() -> None:
    due_s = [number / 100 for number in range(50)]
    with one_at_a_time(0.4) as address:
        measured = drive(address, 1, [b"x"] * 50, due_s)
    assert list(measured.statuses) == [201] * 50
    # The one that stalled waited 0.4 s; one that was due 0.2 s later waited for the rest of it, though it was not sent.
    assert measured.latencies_s[0] >= 0.4
    assert measured.latencies_s[20] >= 0.4 - due_s[20]
    assert measured.backlog_max >= 20


def test_phases_follow_each_other_at_their_rates() -> None:
    plan = Plan(host="", port=0, kind="bid", connections=1, phases=((10, 1.0), (2, 1.0)))
    assert due_of(plan) == [*(number / 10 for number in range(10)), 1.0, 1.5]


@pytest.mark.timeout(60)
def test_a_short_run_against_the_served_market(database_url: str) -> None:
    with served.market(database_url) as market:
        run = Run(database_url, market, market, market, served.furnish(database_url, market))
        singles = run.client("bid", market, connections=8, phases=((50, 2.0),))
        batches = run.client("batch", market, connections=8, count=3)
        assert (singles.statuses, batches.statuses) == ({"201": 100}, {"200": 3})
        assert len(singles.latencies_s) == 100
        audit = run.audit()
        assert (audit.acknowledged, audit.missing, audit.twice, run.not_durable) == (400, 0, 0, 0)
        # The audit can fail: a bid that nobody has placed.
        run.told.append(Told(task=10**9, bid_id=10**9))
        assert run.audit().missing == 1
