"""Tables that follow the journal, as those see it who ask over HTTP: nobody is told less than he knows.

Goal: replies wait for no table; who did something sees it, who did nothing gets what is there at once; whoever waits in
vain is told so; and nothing is lost or doubled whoever is killed. Method: real services and clients; the tables are
held back by a lock of a foreign session, and the processes that write them are killed.
"""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import psycopg
import pytest

from callmarket import AsyncClient, Client
from callmarket.bridge.api.errors import Conflict, Invalid, Unavailable
from callmarket.bridge.api.operations.commitments import ARTIFACT, BOUNTY
from callmarket.bridge.fleet.research import stake, withdraw_bounty
from callmarket.persistence.verify import verify
from tests.persistence.tables.test_table_writer import assert_as_rebuilt
from tests.support.aged import age_stakes
from tests.support.databases import TestServer
from tests.support.following import held_back, level, projected
from tests.support.service_process import ServiceProcess, served

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def url(postgres_server: TestServer, template_database: str) -> Iterator[str]:
    with postgres_server.fresh_database(template_database) as name:
        yield postgres_server.url(name)


@pytest.fixture(scope="module")
def service(url: str) -> Iterator[ServiceProcess]:
    with served(url) as running:
        with Client(running.url, running.key) as market:
            market.open_market("m")
            for name in ("a", "b"):
                market.open_account(name)
                market.mint(name, 100_000, "grant:initial")
        yield running


@pytest.fixture
def market(service: ServiceProcess) -> Iterator[Client]:
    with Client(service.url, service.key) as client:
        yield client


class Thread(threading.Thread):
    """A call, its result, and what it raised."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: object = None
        self.raised: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._call()
        except BaseException as error:  # noqa: BLE001 -- handed to the test
            self.raised = error

    def ended(self) -> object:
        self.join(WITHIN_S)
        assert not self.is_alive()
        if self.raised is not None:
            raise self.raised
        return self.result


def until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_caller_sees_its_own_changes_and_others_do_not_wait(
    url: str, service: ServiceProcess, market: Client
) -> None:
    with held_back(projected(url)) as blocker, Client(service.url, service.key) as other:
        placed = market.place_bid("m", "a", "own", 5)
        assert placed.stamp.durable, "a reply waits for no table"
        page = other.bids("m")
        assert page.seq < placed.stamp.seq <= page.durable_seq, "it says how far the tables are"
        assert placed.bid_id not in [one.bid_id for one in page.items]
        mine = Thread(lambda: market.bid(placed.bid_id))
        also_mine = Thread(lambda: market.acting_as("a").bids("m", "a", limit=1).items[0].bid_id)
        mine.join(0.3)
        assert mine.is_alive()
        blocker.rollback()
        assert mine.ended().status == "open"  # type: ignore[attr-defined]
        assert also_mine.ended() == placed.bid_id


def test_reads_of_a_caller_never_go_backwards(url: str, service: ServiceProcess, market: Client) -> None:
    """By the live state, by the stream, or by another client whose row it was given."""

    async def heard(seq: int) -> int:
        async with AsyncClient(service.url, service.key) as listener:
            async for message in listener.events(seq - 1):
                if getattr(message, "seq", 0) >= seq:
                    break
            return (await listener.bids("m", "a", limit=1)).seq

    with held_back(projected(url)) as blocker, Client(service.url, service.key) as other:
        seq = market.place_bid("m", "a", "seen", 5).stamp.seq
        assert other.wallet("a").durable_seq >= seq
        reading = [
            Thread(lambda: other.bids("m", "a", limit=1).seq),
            Thread(lambda: asyncio.run(heard(seq))),
            Thread(lambda: int(raw(service, seq).json()["seq"])),
        ]
        reading[0].join(0.3)
        assert all(one.is_alive() for one in reading)
        blocker.rollback()
        assert all(int(str(one.ended())) >= seq for one in reading)


def raw(service: ServiceProcess, min_seq: object) -> httpx2.Response:
    with service.client(Callmarket_Min_Seq=str(min_seq)) as client:
        return client.get("/api/v1/bids")


def test_a_wait_for_tables_that_times_out_is_an_error_and_delays_no_other(
    url: str, service: ServiceProcess, market: Client
) -> None:
    """More wait than there are connections to the tables; who knows nothing newer is answered meanwhile."""
    with held_back(projected(url)):
        seq = market.place_bid("m", "a", "vain", 5).stamp.seq
        waiting = [Thread(lambda: raw(service, seq)) for _ in range(12)]
        assert raw(service, 0).status_code == 200
        for one in waiting:
            told = one.ended()
            assert isinstance(told, httpx2.Response)
            assert told.status_code == 503
            assert "do not have row" in told.json()["detail"]
            assert "Retry-After" in told.headers
    assert raw(service, seq).status_code == 200


@pytest.mark.parametrize("given", ["x", "-1", "1.0", "", str(2**60)])
def test_a_min_seq_that_is_no_row_number_is_refused(service: ServiceProcess, given: str) -> None:
    told = raw(service, given)
    assert told.status_code == 400
    assert told.json()["field"] == "Callmarket-Min-Seq"


def test_a_min_seq_that_is_not_durable_is_refused_with_the_bound(service: ServiceProcess, market: Client) -> None:
    durable_seq = market.wallet("a").durable_seq
    told = raw(service, durable_seq + 1_000_000)
    assert (told.status_code, told.json()["field"]) == (400, "Callmarket-Min-Seq")
    assert "the last row that is durable" in told.json()["detail"]
    answer = raw(service, durable_seq)
    assert int(answer.headers["Callmarket-Seq"]) >= durable_seq


def test_an_award_that_is_waited_for_is_never_missed(url: str, service: ServiceProcess, market: Client) -> None:
    """The wake-up comes when it is durable, the reading is of tables that have it by then."""
    market.offer_slot("m", "awaited")
    market.place_bid("m", "b", "awaited", 50_000)

    def awaited() -> list[str]:
        with Client(service.url, service.key) as agent:
            return [one.task_id for one in agent.awards(bidder_id="b", status="awarded", wait_s=50).items]

    with held_back(projected(url)) as blocker:
        before = Thread(awaited)
        before.join(0.2)
        market.clear_round("m")
        after = Thread(awaited)
        after.join(0.2)
        blocker.rollback()
        for one in (before, after):
            assert one.ended() == ["awaited"]


def test_a_reply_that_is_to_be_projected_comes_when_the_tables_have_it(url: str, service: ServiceProcess) -> None:
    with Client(service.url, service.key, ack="projected") as market, psycopg.connect(url, autocommit=True) as sql:
        for number in range(20):
            bid_id = market.place_bid("m", "a", f"shim-{number}", 5).bid_id
            assert sql.execute("SELECT status FROM compute_auction_bids WHERE id = %s", (bid_id,)).fetchone() == (
                "open",
            )
        market.offer_slot("m", "shim")
        award = market.clear_round("m").awards[0]
        found = sql.execute(
            "SELECT status FROM compute_auction_clears WHERE award_id = %s", (award.award_id,)
        ).fetchone()
        assert found == ("awarded",)


def test_decisions_by_tables_use_all_durable_rows(url: str, service: ServiceProcess, market: Client) -> None:
    """A stake that was taken back gives no budget, though the tables do not know yet; and what is new can be ended."""
    market.put_artifact("paper", "paper")
    stake(market, "of-a", "a", "paper", 1_000)
    stake(market, "of-b", "b", "paper", 10_000)
    age_stakes(url)
    with (
        held_back(projected(url)) as blocker,
        Client(service.url, service.key) as other,
        Client(service.url, service.key) as stranger,
    ):
        market.release_hold("of-b", "b")
        market.place_hold("bounty", "a", 100, BOUNTY, reference_type=ARTIFACT, reference_id="paper")
        spending = Thread(lambda: other.record_resource_spending("paper", 900, "run", "1"))
        withdrawing = Thread(lambda: withdraw_bounty(stranger, "bounty", "a"))
        spending.join(0.3)
        assert spending.is_alive()
        assert withdrawing.is_alive()
        blocker.rollback()
        with pytest.raises(Conflict, match="what is left for 'paper'"):
            spending.ended()
        withdrawing.ended()


def test_tables_too_far_behind_let_nothing_be_taken_until_they_follow(
    postgres_server: TestServer, template_database: str, tmp_path: Path
) -> None:
    with postgres_server.fresh_database(template_database) as name:
        url, bounds = postgres_server.url(name), {"CALLMARKET_TABLES_LAG_ROWS_MAX": "20"}
        with (
            served(url, tmp_path, environment=bounds) as service,
            Client(service.url, service.key, timeout_s=2) as market,
        ):
            market.open_account("a")
            with held_back(projected(url)):
                for _ in range(21):
                    market.mint("a", 1, "grant:more")
                with pytest.raises(Unavailable, match=r"are 21 rows and \d+ s behind the journal"):
                    market.mint("a", 1, "grant:more")
                told = service.ready()
                assert (told.status_code, told.json()["ready"]) == (503, False)
                assert "nothing is taken beyond 20 rows" in told.json()["reason"]
                assert told.json()["tables_lag_rows"] == 21
                assert market.wallet("a").balance_tokens == 21, "reads go on"
            service.until(lambda told: told.status_code == 200 and told.json()["tables_lag_rows"] == 0)
            market.mint("a", 1, "grant:more")
        assert_as_rebuilt(level(url))


@pytest.mark.parametrize("times", [4, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3_600)])])
def test_killed_processes_and_a_takeover_leave_each_row_once(
    postgres_server: TestServer, template_database: str, tmp_path: Path, seed: int, times: int
) -> None:
    """Under load: the processes that write journal and tables are killed, then the service, with another beside it."""
    rng = random.Random(seed)
    with postgres_server.fresh_database(template_database) as name:
        url = postgres_server.url(name)
        with served(url, tmp_path) as first, served(url, tmp_path) as second:
            first.until(lambda told: told.status_code == 200)
            stop, placed = threading.Event(), []
            with Client(f"{first.url},{second.url}", first.key) as market:
                market.open_market("m")
                market.open_account("a")
                market.mint("a", 10**9, "grant:initial")

                def place() -> None:
                    while not stop.is_set():
                        market.offer_slot("m", f"slot-{len(placed)}")
                        placed.append(market.place_bid("m", "a", f"t{len(placed)}", 5).bid_id)
                        market.clear_round("m")

                load = Thread(place)
                for _ in range(times):
                    time.sleep(rng.random())
                    for pid in first.children("callmarket.persistence.writer.process"):
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                first.kill()
                second.until(lambda told: told.status_code == 200, WITHIN_S)
                count = len(placed)
                until(lambda: len(placed) > count + 5)
                stop.set()
                load.ended()
            with psycopg.connect(projected(url)) as connection:
                found = connection.execute("SELECT id FROM compute_auction_bids ORDER BY id").fetchall()
            assert [one for (one,) in found] == placed
            assert verify(url, 0).ok
        assert_as_rebuilt(level(url))


def test_invalid_is_an_error_of_the_client(service: ServiceProcess, market: Client) -> None:
    """A client that was told of rows that a market does not have is told so, and not left waiting."""
    market._seen.note(2**40)
    with pytest.raises(Invalid, match="the last row that is durable"):
        market.bids("m")
