"""The machine's clock leaps under a market that is served: nothing is taken, nothing ends, and it goes on by itself.

Method: `callmarket serve` as a process of its own, with the clock that the test sets, on a real PostgreSQL whose clock
is right, or leaps too. What may not happen in between is looked for in the tables.
"""

import json
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmarket import Client
from tests.bridge.test_takeover import callmarket
from tests.support.faked_clock import DAY_US, SECOND_US, START, FakedClock, FakedDatabase, faked_clock
from tests.support.following import level
from tests.support.service_process import ServiceProcess, served

LEAPS_US = (20 * SECOND_US, 400 * DAY_US, -2 * 3_600 * SECOND_US)
WAIT_S_MAX = 60.0


def new_key(service: ServiceProcess, **wanted: Any) -> str:
    with service.client() as client:
        told = client.post("/api/v1/keys", json=wanted)
    assert told.status_code == 201, told.text
    return str(told.json()["key"])


def market_of(service: ServiceProcess) -> Client:
    return Client(url=service.url, key=service.key)


def furnish(service: ServiceProcess) -> str:
    """A market with something of each kind that has a deadline; the text of a key that expires soon, too."""
    service.until(is_ready)
    soon = datetime.now(UTC) + timedelta(minutes=10)
    with market_of(service) as market:
        market.open_market("m", lease=timedelta(minutes=5), lapse_policy="charge")
        for name in ("a", "b"):
            market.open_account(name)
            market.mint(name, 1_000, "grant:initial")
        market.offer_slot("m", "s")
        market.place_bid("m", "a", "t1", 10)
        market.clear_round("m")
        market.place_bid("m", "b", "t2", 7, ttl_at=soon, time_in_force="gtd")
        market.place_hold("h", "a", 100, "stake", expires_at=soon)
    return new_key(service, name="soon", bid=["a"], expires_at=soon.isoformat())


def ends(url: str) -> tuple[Any, ...]:
    """What only time ends: bids, awards, holds; and how many rows there are."""
    with psycopg.connect(level(url)) as connection:
        row = connection.execute(
            """
            SELECT (SELECT array_agg(status ORDER BY id) FROM compute_auction_bids),
                   (SELECT array_agg(status ORDER BY award_id) FROM compute_auction_clears),
                   (SELECT array_agg(status) FROM token_holds),
                   (SELECT max(seq) FROM journal)
            """
        ).fetchone()
    assert row is not None
    return row


def refused(service: ServiceProcess, words: str = "the clock has leapt") -> None:
    with service.client() as client:
        told = client.post("/api/v1/wallets", json={"account_id": "late"})
    assert told.status_code == 503, told.text
    assert words in told.json()["detail"]
    assert "Retry-After" in told.headers


def is_held(told: Any) -> bool:
    return told.status_code == 503 and "has leapt" in told.json()["reason"]


def is_ready(told: Any) -> bool:
    return told.status_code == 200


def metric(service: ServiceProcess, name: str) -> float:
    with service.client() as client:
        text = client.get("/metrics").text
    return float(next(line.split()[1] for line in text.splitlines() if line.split()[0] == f"callmarket_{name}"))


def me(service: ServiceProcess, key: str) -> int:
    with service.client(Authorization=f"Bearer {key}") as client:
        return client.get("/api/v1/me").status_code


@pytest.fixture
def clock():
    with faked_clock() as found:
        yield found


def serve(url: str, clock: FakedClock, home: Path | None = None, **settings: str):
    environment = {f"CALLMARKET_{name.upper()}": value for name, value in settings.items()}
    return served(url, home, clock.environment | environment, start=START)


@pytest.mark.parametrize("leap_us", LEAPS_US)
def test_a_leaping_clock_ends_nothing_and_is_reported(database_url: str, clock: FakedClock, leap_us: int) -> None:
    with serve(database_url, clock, demurrage_ppm="100000", demurrage_period_s="60") as service:
        key = furnish(service)
        before = ends(database_url)
        clock.leap(leap_us)
        # Also what is asked at once, before anybody has looked at the clocks.
        refused(service)
        told = service.until(is_held).json()
        assert told["ready"] is False
        assert told["role"] == "leader"
        assert me(service, key) == 200, "its hour is not over"
        # Keys are read again because of this one.
        new_key(service, name="another", bid=["b"])
        assert me(service, key) == 200
        assert metric(service, "clock_right") == 0.0
        assert metric(service, "clock_leaps_total") == 1.0
        assert abs(metric(service, "clock_ahead_seconds") - leap_us / SECOND_US) < 5
        shown = callmarket(database_url, "status")
        assert "it takes no commands" in " ".join(shown.stdout.split())
        assert callmarket(database_url, "clock").returncode == 1
        # The cycle looks four times a second, the collector once.
        time.sleep(1.5)
        assert ends(database_url) == before
        clock.leap(0)
        service.until(is_ready)
        with market_of(service) as market:
            market.open_account("on-time")
        assert me(service, key) == 200
        assert [*ends(database_url)[:3]] == [*before[:3]]
        assert metric(service, "clock_right") == 1.0
        assert len([line for line in service.lines() if "has leapt" in line["event"]]) == 1
        assert len([line for line in service.lines() if "the time is right again" in line["event"]]) == 1
        assert service.end() == 0


def test_two_that_leap_together_wait_for_a_word(database_url: str, clock: FakedClock, tmp_path: Path) -> None:
    """The database is on the same machine: by itself no time makes this right, nor does a restart."""
    database = FakedDatabase(database_url)
    with serve(database.url, clock, tmp_path / "home") as service:
        furnish(service)
        before = ends(database_url)
        clock.leap(2 * DAY_US)
        database.leap(2 * DAY_US)
        service.until(is_held)
        time.sleep(6)
        refused(service)
        service.kill()
    with serve(database.url, clock, tmp_path / "home") as service:
        told = service.until(lambda told: "leapt" in told.json()["reason"])
        assert told.json()["role"] == "standby"
        time.sleep(1)
        assert ends(database_url) == before
        clock.leap(0)
        database.leap(0)
        service.until(is_ready)
        assert ends(database_url)[:3] == before[:3]


def test_time_that_has_really_passed_is_no_leap(database_url: str, clock: FakedClock, tmp_path: Path) -> None:
    """The process is stopped for longer than the bound; then machine and database are suspended for an hour."""
    database = FakedDatabase(database_url)
    with serve(database.url, clock, tmp_path / "home", clock_leap_s_max="1") as service:
        furnish(service)
        service.tell(signal.SIGSTOP)
        time.sleep(3)
        service.tell(signal.SIGCONT)
        service.until(is_ready)
        with market_of(service) as market:
            market.open_account("thawed")
        assert ends(database_url)[:3] == (["won", "open"], ["awarded"], ["open"])
        clock.leap(3_600 * SECOND_US, 3_600 * SECOND_US)
        database.leap(3_600 * SECOND_US)
        end_s = time.monotonic() + WAIT_S_MAX
        while ends(database_url)[:3] != (["lapsed", "expired"], ["lapsed"], ["expired"]):
            assert time.monotonic() < end_s, (ends(database_url), service.log)
            time.sleep(0.05)
        assert is_ready(service.ready())
        assert metric(service, "clock_leaps_total") == 0.0


def test_a_database_clock_that_leaps_alone_stops_no_leader(
    database_url: str, clock: FakedClock, tmp_path: Path
) -> None:
    """It is said, and who starts then does not lead."""
    database = FakedDatabase(database_url)
    with serve(database.url, clock, tmp_path / "home") as service:
        furnish(service)
        before = ends(database_url)
        database.leap(400 * DAY_US)
        end_s = time.monotonic() + WAIT_S_MAX
        while metric(service, "clock_database_ahead_seconds") < 86_400:
            assert time.monotonic() < end_s, service.log
            time.sleep(0.05)
        with market_of(service) as market:
            market.open_account("later")
        assert is_ready(service.ready())
        assert len([line for line in service.lines() if "the database's clock is" in line["event"]]) == 1
        service.kill()
    with serve(database.url, clock, tmp_path / "home") as service:
        service.until(lambda told: "behind the database's" in told.json()["reason"])
        database.leap(0)
        service.until(is_ready)
        assert ends(database_url)[:3] == before[:3]


def test_a_standby_whose_clock_is_wrong_does_not_lead(database_url: str, clock: FakedClock) -> None:
    """And the one beside it does."""
    with serve(database_url, clock, lease_s="0.5") as leader:
        furnish(leader)
        before = ends(database_url)
        with faked_clock() as fast:
            fast.leap(90 * SECOND_US)
            with served(database_url, leader.home, fast.environment, start=START) as standby:
                standby.until(lambda told: "does not lead" in told.json()["reason"])
                leader.kill()
                time.sleep(2)
                assert standby.ready().json()["role"] == "standby"
                status = json.loads(callmarket(database_url, "status", "--json").stdout)
                assert "90.0 s ahead of the database's" in status["standbys"][0]["clock_fault"]
                with serve(database_url, clock, leader.home) as third:
                    third.until(is_ready)
                    assert ends(database_url)[:3] == before[:3]
                    third.kill()
                fast.leap(0)
                standby.until(is_ready)
                assert ends(database_url)[:3] == before[:3]
