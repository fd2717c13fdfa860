"""`/readyz`: 200 where commands are taken and made durable, 503 with the reason everywhere else.

Goal: a load balancer that believes it sends nobody into a wall. Method: real processes; the database is really stopped.
"""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import run

import httpx2
import pytest

from tests.support.own_server import OwnServer, open_own_server
from tests.support.service_process import ServiceProcess, served


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    with open_own_server() as one:
        yield one


@pytest.fixture
def url(server: OwnServer) -> Iterator[str]:
    with server.market_database() as one:
        yield one


def is_ready(told: httpx2.Response) -> bool:
    return told.status_code == 200


def stands_by(service: ServiceProcess) -> str:
    """Whom a process that has handed over names as the leader, once it stands by; it is never ready on the way."""
    for _ in range(600):
        try:
            told = service.ready()
            assert told.status_code == 503
            if told.json()["role"] == "standby" and told.json()["leader"]:
                return str(told.json()["leader"])
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(service.log)


def figure(service: ServiceProcess, name: str) -> float:
    """One metric without labels."""
    with service.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"callmarket_{name} ")))


def test_a_standby_names_the_leader_and_leads_after_it(url: str, tmp_path: Path) -> None:
    with served(url, tmp_path) as leader, served(url, tmp_path) as standby:
        leader.until(is_ready)
        told = standby.until(lambda told: told.json()["leader"] != "")
        assert (told.status_code, told.json()["role"], told.json()["leader"]) == (503, "standby", leader.url)
        assert httpx2.get(standby.url + "/healthz", timeout=60).status_code == 200, "alive, though not ready"
        assert (figure(leader, "ready"), figure(standby, "ready"), figure(standby, "epoch")) == (1, 0, 0)

        leader.tell(signal.SIGTERM)
        assert leader.wait() == 0
        standby.until(is_ready)
        assert (figure(standby, "ready"), figure(standby, "epoch")) == (1, 2)


def test_after_a_handover_the_old_leader_stands_by(url: str, tmp_path: Path) -> None:
    with served(url, tmp_path) as first, served(url, tmp_path) as second:
        first.until(is_ready)
        second.until(lambda told: told.json()["leader"] == first.url)
        run([sys.executable, "-m", "callmarket", "handover", "--url", url], check=True, capture_output=True)
        second.until(is_ready)
        # It begins anew, in the same process and on the same port, which is closed for a moment.
        assert stands_by(first) == second.url
        assert first.process.poll() is None


def test_while_the_database_is_unavailable_it_is_alive_and_not_ready(
    server: OwnServer, url: str, tmp_path: Path
) -> None:
    with served(url, tmp_path) as service:
        service.until(is_ready)
        with service.client() as client:
            assert client.post("/api/v1/markets", json={"market_id": "m"}).status_code == 201
        with server.away():
            # Only what is to be written finds out.
            with service.client() as client:
                client.post("/api/v1/markets?ack=applied", json={"market_id": "n"})
            told = service.until(lambda told: told.json()["outage_s"] > 0)
            assert (told.status_code, told.json()["role"], told.json()["queue_rows"]) == (503, "leader", 1)
            assert httpx2.get(service.url + "/healthz", timeout=60).status_code == 200
            assert figure(service, "outage_seconds") > 0
            assert figure(service, "durable_lag_rows") == 1
            assert figure(service, "durable_lag_seconds") > 0
            assert figure(service, "ready") == 0
        service.until(is_ready)
        assert figure(service, "durable_lag_seconds") == figure(service, "queue_rows") == 0
