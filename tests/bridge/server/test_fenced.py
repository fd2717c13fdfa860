"""A leader that stood still and was replaced meanwhile stands by again, in the same process.

Goal: of two services on one database either may freeze, again and again, and there is always one that leads and one
that stands by. Method: real processes, SIGSTOP for longer than the lease, SIGCONT; idle, and under the load of clients
that keep to the contract and note what they were told.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from subprocess import run

import httpx2
import psycopg
import pytest

from callmarket import Client
from tests.support.following import level
from tests.support.proxy import Proxy
from tests.support.service_process import ServiceProcess, served
from tests.support.small_market import WAIT_S_MAX, furnish, until

# Long enough that, as a rule, only a test lets it run out.
LEASE = {"CALLMARKET_LEASE_S": "3"}
# So long that a start on a busy machine is in it.
LONG_LEASE = {"CALLMARKET_LEASE_S": "120"}
ROUNDS = 3


def role(service: ServiceProcess) -> str:
    """What it says that it is; nothing while it begins anew, and its port is closed."""
    try:
        return str(service.ready().json()["role"])
    except httpx2.TransportError:
        return ""


def is_ready(told: httpx2.Response) -> bool:
    return told.status_code == 200


def leader_and_standby(one: ServiceProcess, two: ServiceProcess) -> tuple[ServiceProcess, ServiceProcess]:
    """Who leads and who stands by, once it is so: on a busy machine they may have changed by themselves."""
    until(lambda: {role(one), role(two)} == {"leader", "standby"})
    return (one, two) if role(one) == "leader" else (two, one)


def times_over(service: ServiceProcess) -> int:
    """How often it has begun anew."""
    return service.log.count("this process leads no longer: it stands by again")


def freeze_until_replaced(one: ServiceProcess, two: ServiceProcess) -> None:
    """Let the leader stand still until the other leads, and let it go on until it stands by."""
    # Counted before it is seen to lead: it may lose its lease by itself before the signal comes.
    times = {service: times_over(service) for service in (one, two)}
    leader, standby = leader_and_standby(one, two)
    before = times[leader]
    leader.tell(signal.SIGSTOP)
    standby.until(is_ready)
    leader.tell(signal.SIGCONT)
    until(lambda: times_over(leader) > before or leader.process.poll() is not None)
    until(lambda: role(leader) != "" or leader.process.poll() is not None)
    assert leader.process.poll() is None, leader.log


def held(service: ServiceProcess) -> dict[str, int]:
    """What a process holds of its system."""
    place = Path(f"/proc/{service.process.pid}")
    return {
        "threads": len(list((place / "task").iterdir())),
        "files": len(list((place / "fd").iterdir())),
        "writers": len(service.children("callmarket.persistence.writer.process")),
    }


# Pools of threads and connections are made as they are needed, a few more in one reign than in another. A reign that is
# left behind has twice as many of both.
SLACK = {"threads": 4, "files": 4, "writers": 0}


def assert_holds_no_more(service: ServiceProcess, before: list[dict[str, int]]) -> None:
    """Nothing of the reign that is over is left: no thread, connection, file or process."""
    if before:
        until(lambda: all(count <= before[0][what] + SLACK[what] for what, count in held(service).items()))
    before.append(held(service))


@contextmanager
def load(*services: ServiceProcess) -> Iterator[list[int]]:
    """Clients that bid at whoever leads, until the block ends; the bids that they were told of."""
    told: list[int] = []
    stop = threading.Event()
    urls = ",".join(service.url for service in services)

    def work(name: str) -> None:
        with Client(urls, services[0].key, timeout_s=WAIT_S_MAX) as client:
            number = 0
            while not stop.is_set():
                number += 1
                told.append(client.place_bid("m", "a", f"{name}-{number}", 1).bid_id)

    workers = [threading.Thread(target=work, args=(f"{name}-{id(told)}",)) for name in "wxyz"]
    for worker in workers:
        worker.start()
    try:
        until(lambda: len(told) > 20)
        yield told
    finally:
        stop.set()
        for worker in workers:
            worker.join(2 * WAIT_S_MAX)


def bids(url: str) -> set[int]:
    with psycopg.connect(level(url)) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM compute_auction_bids")}


@pytest.mark.timeout(300)
def test_a_leader_that_froze_stands_by_again_and_again(database_url: str, tmp_path: Path) -> None:
    with served(database_url, tmp_path, LEASE) as one, served(database_url, tmp_path, LEASE) as two:
        leader_and_standby(one, two)
        with Client(f"{one.url},{two.url}", one.key) as admin:
            furnish(admin, "a", tokens=10**9)  # type: ignore[arg-type]  # the same verbs
        pids = one.process.pid, two.process.pid
        told: list[int] = []
        before: dict[int, list[dict[str, int]]] = {}
        for number in range(ROUNDS):
            with load(one, two) if number % 2 else nullcontext([]) as noted:
                freeze_until_replaced(one, two)
            told += noted
            assert bids(database_url) >= set(told)
            leader, standby = leader_and_standby(one, two)
            assert_tells_the_truth(standby, leader, f"round-{number}")
            assert_holds_no_more(standby, before.setdefault(standby.process.pid, []))
        assert len(set(told)) == len(told)
        assert (one.process.pid, two.process.pid) == pids
        for service in (two, one):
            assert service.end() == 0, service.log
        assert "Traceback" not in one.log + two.log


def assert_tells_the_truth(old: ServiceProcess, new: ServiceProcess, account_id: str) -> None:
    """What the one that stands by again tells is what the new leader has made of the market meanwhile."""
    with Client(f"{new.url},{old.url}", new.key) as admin:
        seq = admin.open_account(account_id).seq
    until(lambda: tells(old, account_id, seq))


def tells(service: ServiceProcess, account_id: str, seq: int) -> bool:
    """Whether its tables have this account, and its engine has come to this row."""
    try:
        with service.client() as client:
            rows = client.get("/api/v1/wallets", params={"limit": 1000}).raise_for_status().json()["items"]
            followed = client.get("/api/v1/me").raise_for_status().json()["seq"] >= seq
    except httpx2.HTTPError:
        return False  # it begins anew once more
    return followed and account_id in [row["account_id"] for row in rows]


@pytest.mark.timeout(600)
def test_of_four_that_start_at_once_one_leads_and_the_others_stand_by(empty_database_url: str, tmp_path: Path) -> None:
    """On a database with nothing in it: tables, admin key and lead are all made in a race."""
    started: list[ServiceProcess] = []
    stop = threading.Event()
    errors: list[BaseException] = []

    def start() -> None:
        try:
            with served(empty_database_url, tmp_path, LONG_LEASE) as service:
                started.append(service)
                assert stop.wait(8 * WAIT_S_MAX)
                assert service.end() == 0, service.log
        except BaseException as error:  # noqa: BLE001 -- told below
            errors.append(error)

    starts = [threading.Thread(target=start) for _ in range(4)]
    for one in starts:
        one.start()
    try:
        # Four times as long as one alone may take.
        until(lambda: len(started) == 4 or bool(errors), 4 * WAIT_S_MAX)
        assert errors == []
        until(lambda: sorted(map(role, started)) == ["leader", "standby", "standby", "standby"])
        with psycopg.connect(empty_database_url) as connection:
            assert connection.execute("SELECT epoch FROM engine_writer").fetchone() == (1,), "nobody was pushed aside"
    finally:
        stop.set()
        for one in starts:
            one.join(2 * WAIT_S_MAX)
    assert errors == []


@pytest.mark.timeout(300)
def test_the_database_may_be_unavailable_when_it_stands_by_again(database_url: str, tmp_path: Path) -> None:
    """Who has led waits for it, as any standby does; who begins for the first time is told that it is not there."""
    with (
        Proxy(database_url) as proxy,
        served(proxy.url, tmp_path) as one,
        served(database_url, tmp_path) as two,
    ):
        one.until(is_ready)
        two.until(lambda told: told.json()["leader"] == one.url)
        run([sys.executable, "-m", "callmarket", "handover", "--url", database_url], check=True, capture_output=True)
        proxy.refusing = True
        proxy.cut_all()
        # A slow machine may find that it stands by already.
        until(lambda: "it cannot stand by yet" in one.log or role(one) == "standby")
        assert one.process.poll() is None, one.log
        proxy.refusing = False
        until(lambda: role(one) == "standby")
        two.tell(signal.SIGTERM)
        assert two.wait() == 0
        one.until(is_ready)
        assert one.end() == 0


@pytest.mark.timeout(300)
def test_a_journal_that_stops_without_a_successor_ends_the_process(database_url: str, tmp_path: Path) -> None:
    """A journal that stops for another reason than a successor: exit code 3, and the reason on stderr."""
    with served(database_url, tmp_path) as service:
        service.until(is_ready)
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE engine_writer SET last_seq = 7")
        with service.client() as client:
            told = client.post("/api/v1/markets", json={"market_id": "m"})
        assert told.status_code == 504, told.text
        assert service.wait() == 3
        assert "The journal ends at seq 7" in service.log
