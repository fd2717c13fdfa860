"""The service is killed in the middle of load, and its clients notice nothing but a pause.

Goal: every acknowledged bid is there once, and no bid is there that was not asked for. Method: `callmarket serve` as
processes of their own, SIGKILL, and a proxy that loses replies.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from callmarket import Client
from callmarket.bridge.api.operations.bids import PlacedBid, place_bid
from tests.support.databases import temporary_home
from tests.support.following import level
from tests.support.proxy import Proxy
from tests.support.service_process import ServiceProcess, served
from tests.support.small_market import in_threads, until

WORKERS, BIDS_EACH, REPLIES_LOST = 4, 60, 10


@pytest.fixture
def home() -> Iterator[Path]:
    """Where the services keep the admin key."""
    with temporary_home() as place:
        yield place


class Load:
    """Workers that bid, and what they were told."""

    def __init__(self, url: str, key: str) -> None:
        self.client = Client(url, key, timeout_s=100)
        self.acknowledged: dict[str, PlacedBid] = {}
        self.client.open_market("m")
        for number in range(WORKERS):
            self.client.open_account(f"w{number}")
            self.client.mint(f"w{number}", 1_000_000, "grant:initial")

    def work(self, number: int) -> None:
        for one in range(BIDS_EACH):
            task_id = f"w{number}-t{one}"
            self.acknowledged[task_id] = self.client.place_bid("m", f"w{number}", task_id, 10)

    def start(self) -> threading.Thread:
        """All workers, in threads; the thread that is returned ends with them."""
        self.raised: list[BaseException] = []
        works = [lambda number=number: self.work(number) for number in range(WORKERS)]
        thread = threading.Thread(target=lambda: self.raised.extend(in_threads(works)))
        thread.start()
        return thread

    def wait_for(self, bids: int) -> None:
        until(lambda: len(self.acknowledged) >= bids or bool(self.raised))


def audit(database_url: str, load: Load) -> None:
    """Each bid that was acknowledged is there once, as it was said, and there is no other."""
    assert load.raised == []
    assert len(load.acknowledged) == WORKERS * BIDS_EACH
    with psycopg.connect(level(database_url)) as connection:
        rows = connection.execute("SELECT task_id, id FROM compute_auction_bids").fetchall()
    assert len(rows) == WORKERS * BIDS_EACH
    assert dict(rows) == {task_id: placed.bid_id for task_id, placed in load.acknowledged.items()}


def test_a_client_survives_a_kill_and_restart_of_the_service(database_url: str, home: Path) -> None:
    with ExitStack() as stack:
        service = stack.enter_context(served(database_url, home))
        line = stack.enter_context(Proxy(f"host=127.0.0.1 port={service.port}"))
        load = Load(f"http://127.0.0.1:{line.listener.getsockname()[1]}", service.key)
        stack.callback(load.client.close)
        for number in range(REPLIES_LOST):
            line.cut(b"POST /api/v1/markets/m/bids", "answered", skip=5 * number)
        working = load.start()
        load.wait_for(WORKERS * BIDS_EACH // 3)
        service.kill()
        again = stack.enter_context(served(database_url, home, port=service.port))
        working.join()
        assert line.cuts_made == REPLIES_LOST
        audit(database_url, load)
        with Client(again.url, again.key) as client:
            outcomes = client.place_bids([place_bid.request("m", "w0", f"late-{number}", 10) for number in range(3)])
            assert all(isinstance(one, PlacedBid) for one in outcomes)
        assert again.end() == 0


def test_a_client_survives_a_kill_of_the_writing_process(database_url: str, home: Path) -> None:
    """Again and again: the service starts another, finds out what became of the batch, and goes on."""
    with ExitStack() as stack:
        service = stack.enter_context(served(database_url, home))
        load = Load(service.url, service.key)
        stack.callback(load.client.close)
        working = load.start()
        killed = set()
        for share in range(1, 6):
            load.wait_for(WORKERS * BIDS_EACH * share // 8)
            until(lambda: bool(service.children("callmarket.persistence.writer.process")) or bool(load.raised))
            for pid in service.children("callmarket.persistence.writer.process"):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        working.join()
        audit(database_url, load)
        assert len(killed) > 1
        assert service.end() == 0
        assert "the database is unavailable" in service.log


def test_a_client_follows_a_takeover_by_the_standby(database_url: str, home: Path) -> None:
    """Two addresses: the one that leads is found, whichever it is, and found again when it has died."""
    with ExitStack() as stack:
        first = stack.enter_context(served(database_url, home))
        second: ServiceProcess = stack.enter_context(served(database_url, home))
        load = Load(f"{second.url},{first.url}", second.key)
        stack.callback(load.client.close)
        heard: list[str] = []

        def listen() -> None:
            for message in load.client.events(0, kinds=("bid",)):
                heard.append(message.task_id)  # type: ignore[union-attr]
                if len(heard) == WORKERS * BIDS_EACH:
                    return

        listening = threading.Thread(target=listen, daemon=True)
        listening.start()
        working = load.start()
        load.wait_for(WORKERS * BIDS_EACH // 3)
        first.kill()
        working.join()
        audit(database_url, load)
        listening.join(60)
        by_id = sorted(load.acknowledged, key=lambda task_id: load.acknowledged[task_id].bid_id)
        assert heard == by_id, "the stream has lost something, or said it twice"
