"""The end of a service: who was answered finds what it was told, who waits is answered, and the exit code is 0.

Goal: SIGTERM loses nothing and leaves nobody without a word. Method: a real process, a real PostgreSQL that stands
still at the right moment, and an audit of the tables afterwards.
"""

import os
import pty
import random
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psycopg
import pytest

from tests.support.following import level
from tests.support.own_server import OwnServer, open_own_server
from tests.support.service_process import ROOT, ServiceProcess, clean, command, served
from tests.support.small_market import until

WAITING = 12


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    with open_own_server() as one:
        yield one


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    """A hang-up is as usual for what is started here, also where these tests themselves run under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def url(server: OwnServer) -> Iterator[str]:
    with server.market_database() as one:
        yield one


def furnish(service: ServiceProcess) -> None:
    """A market and an agent with tokens."""
    service.until(lambda told: told.status_code == 200)
    with service.client() as client:
        for path, body in (
            ("/api/v1/markets", {"market_id": "m"}),
            ("/api/v1/wallets", {"account_id": "a"}),
            ("/api/v1/wallets/a/mint", {"amount_tokens": 10**9, "reason": "grant:initial"}),
        ):
            assert client.post(path, json=body).status_code in (200, 201), path


def place(client: httpx2.Client, task_id: str) -> httpx2.Response:
    return client.post("/api/v1/markets/m/bids", json={"task_id": task_id, "max_price_tokens": 5})


def placed(url: str) -> dict[int, str]:
    """The bids that are in the tables."""
    with psycopg.connect(level(url)) as connection:
        return {row[0]: row[1] for row in connection.execute("SELECT id, task_id FROM compute_auction_bids")}


def test_commands_answered_under_load_are_there_after_sigterm(url: str, seed: int) -> None:
    rng = random.Random(seed)
    with served(url) as service:
        furnish(service)
        answered: dict[int, str] = {}
        others: list[httpx2.Response] = []
        enough = threading.Event()

        def work(number: int) -> None:
            with service.client(Callmarket_Account="a") as client:
                for count in range(100_000):
                    try:
                        told = place(client, f"{number}-{count}")
                    except httpx2.TransportError:
                        return  # the service has ended
                    if told.status_code == 201:
                        answered[told.json()["bid_id"]] = f"{number}-{count}"
                    else:
                        others.append(told)
                    if len(answered) > 200:
                        enough.set()

        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(work, number) for number in range(8)]
            assert enough.wait(60)
            threading.Event().wait(rng.random() * 0.3)
            service.tell(signal.SIGTERM)
            assert service.wait() == 0, service.log
            for future in futures:
                future.result()
        assert not others, others[0].text
    found = placed(url)
    assert {bid_id: found.get(bid_id) for bid_id in answered} == answered
    assert service.process.returncode == 0


def test_requests_waiting_for_the_database_are_answered_before_the_end(server: OwnServer, url: str) -> None:
    with served(url) as service, ThreadPoolExecutor(WAITING) as pool:
        furnish(service)
        with server.frozen():
            futures = [pool.submit(place_alone, service, str(number)) for number in range(WAITING)]
            # One batch may be on its way already; all rows count until they are durable.
            service.until(lambda told: told.json()["queue_rows"] == WAITING)
            service.tell(signal.SIGTERM)
            until_closed(service)
        told = [future.result() for future in futures]
        assert [one.status_code for one in told] == [201] * WAITING
        assert service.wait() == 0
    assert {one.json()["bid_id"] for one in told} == set(placed(url))


def test_after_a_second_signal_only_the_journal_is_waited_for(server: OwnServer, url: str) -> None:
    with served(url) as service, ThreadPoolExecutor(WAITING) as pool:
        furnish(service)
        with server.frozen():
            futures = [pool.submit(place_alone, service, str(number)) for number in range(WAITING)]
            service.until(lambda told: told.json()["queue_rows"] == WAITING)
            service.tell(signal.SIGTERM)
            until_closed(service)
            service.tell(signal.SIGTERM)
            # Nobody has an answer that says it is durable, and all have been let go, while the database stands still.
            for future in futures:
                with pytest.raises(httpx2.TransportError):
                    future.result(30)
        assert service.wait() == 0, service.log
    assert len(placed(url)) == WAITING


def test_a_signal_ends_a_standby_too(url: str, tmp_path: Path) -> None:
    with served(url, tmp_path) as leader, served(url, tmp_path) as standby:
        leader.until(lambda told: told.status_code == 200)
        standby.until(lambda told: told.json()["leader"] == leader.url)
        standby.tell(signal.SIGINT)
        assert standby.wait() == 0
        assert leader.ready().status_code == 200


def test_sighup_shuts_down_in_order_too(url: str, tmp_path: Path) -> None:
    """SIGHUP, as when a terminal closes: the standby need not wait for the lease, and nothing is left to clear up."""
    with served(url, tmp_path) as leader, served(url, tmp_path) as standby:
        leader.until(lambda told: told.status_code == 200)
        standby.until(lambda told: told.json()["leader"] == leader.url)
        leader.tell(signal.SIGHUP)
        assert leader.wait() == 0, leader.log
        assert leader.lines(event="ended in order")
        standby.until(lambda told: told.status_code == 200)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT released_at FROM engine_leader").fetchone() == (None,)


def test_sighup_is_left_ignored_if_it_was_ignored(url: str, tmp_path: Path) -> None:
    """`nohup callmarket serve` is to outlive its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with served(url, tmp_path) as service:
            signal.signal(signal.SIGHUP, before)
            service.until(lambda told: told.status_code == 200)
            service.tell(signal.SIGHUP)
            for _ in range(5):
                assert service.ready().status_code == 200
            assert service.end() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_closing_the_terminal_shuts_down_in_order(url: str, tmp_path: Path) -> None:
    """All of its processes get the signal, and nobody reads its log any more."""
    environment = clean() | {"CALLMARKET_DATABASE_URL": url, "CALLMARKET_HOME": str(tmp_path)}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, command(), environment)
    told = b""
    while b"}\r\n" not in told or b'"url"' not in told:
        told += os.read(terminal, 4_096)
    address = re.search(rb'"url": "([^"]+)"', told)
    assert address is not None, told
    until(lambda: httpx2.get(f"{address[1].decode()}/readyz", timeout=60).status_code == 200)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT released_at IS NOT NULL FROM engine_leader").fetchone() == (True,)


def place_alone(service: ServiceProcess, task_id: str) -> httpx2.Response:
    with service.client(Callmarket_Account="a") as client:
        return place(client, task_id)


def until_closed(service: ServiceProcess) -> None:
    """Return when the service takes no connections any more."""
    address = httpx2.URL(service.url)
    for _ in range(1_000):
        try:
            socket.create_connection((address.host, address.port or 0), 5).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass  # it was closed while this one waited to be taken: the next one is refused
        threading.Event().wait(0.01)
    raise AssertionError(service.log)
