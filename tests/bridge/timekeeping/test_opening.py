"""Who opens a market with a wrong clock does not lead, and what an operator does about a market whose time is wrong.

Method: real processes and a real PostgreSQL, whose clock is a test's where that is wrong.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmarket import Client, Exchange, Invalid, ManualClock, Refused, Unavailable, open_exchange, system_clock
from callmarket.bridge.api.units import datetime_of
from tests.bridge.test_takeover import callmarket
from tests.support.client_log import read_rows
from tests.support.faked_clock import DAY_US, SECOND_US, START, FakedClock, FakedDatabase, command, faked_clock
from tests.support.service_process import served
from tests.support.small_market import at, furnish, until

YEARS_US = 30 * 365 * DAY_US


@pytest.fixture
def clock() -> Iterator[FakedClock]:
    with faked_clock() as found:
        yield found


def in_the_future(url: str) -> datetime:
    """A market whose clock was years ahead for one mint; when its time stands."""
    clock = ManualClock(system_clock())
    with open_exchange(url, clock=clock) as market:
        furnish(market, "a")
        clock.set_us(clock() + YEARS_US)
        stands_at = market.mint("a", 1, "grant:late").stamp.at
        clock.set_us(clock() - YEARS_US)
        assert market.mint("a", 1, "grant:later").stamp.at == stands_at
    return stands_at


def epochs(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT coalesce(max(epoch), 0) FROM engine_writer").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("apart_us", [30 * SECOND_US, -30 * SECOND_US, 400 * DAY_US, -400 * DAY_US])
def test_a_machine_whose_clock_is_not_the_databases_does_not_lead(database_url: str, apart_us: int) -> None:
    """And takes nobody's place: also not where it is told to take over."""
    open_exchange(database_url).close()
    before = epochs(database_url)
    for takeover in (False, True):
        with pytest.raises(Unavailable, match=r"(behind|ahead of) the database's"):
            open_exchange(database_url, clock=lambda: system_clock() + apart_us, takeover=takeover)
    assert epochs(database_url) == before
    with open_exchange(database_url) as market:
        market.open_account("a")


def test_the_last_leader_of_this_machine_is_a_witness(database_url: str) -> None:
    """Of a clock that machine and database share: that it has leapt since, whatever was restarted."""
    database = FakedDatabase(database_url)
    with open_exchange(database.url) as market:
        furnish(market, "a")
        until(lambda: _remembered(database_url))
    database.leap(3 * DAY_US)
    with pytest.raises(Unavailable, match="since the last leader renewed its lease"):
        open_exchange(database.url, clock=lambda: system_clock() + 3 * DAY_US)
    database.leap(0)
    open_exchange(database.url).close()


def _remembered(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT time_us IS NOT NULL FROM engine_leader").fetchone() == (True,)


def test_a_market_that_nobody_led_for_long_needs_a_word(database_url: str) -> None:
    """A machine that starts with the clock of another year looks the same, if the database is on it."""
    clock = ManualClock(system_clock() - 40 * DAY_US)
    with open_exchange(database_url, clock=clock) as market:
        furnish(market, "a")
        market.place_hold("h", "a", 10, "stake", expires_at=at(clock() + DAY_US))
    with pytest.raises(Unavailable, match="was last led 4"):
        open_exchange(database_url)
    say(database_url, "it stood still over the summer")
    with open_exchange(database_url) as market:
        assert market.refund_unfilled().holds_expired == 1


def test_a_market_without_holds_may_be_led_after_any_pause(database_url: str) -> None:
    with open_exchange(database_url, clock=ManualClock(system_clock() - 4_000 * DAY_US)) as market:
        furnish(market, "a")
    with open_exchange(database_url) as market:
        market.open_account("b")


def say(url: str, reason: str, *more: str, now: datetime | None = None) -> dict[str, Any]:
    """An operator's word, by the command line; it has to be accepted."""
    now = now or datetime.now(UTC)
    ran = callmarket(url, "clock", "--accept", now.isoformat(), "--reason", reason, "--json", *more)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_a_market_in_the_future_goes_on_from_there_by_a_word(database_url: str) -> None:
    """It says so and is not led; then its time runs again, for every later leader: deadlines end, and none is past."""
    stands_at = in_the_future(database_url)
    with pytest.raises(Unavailable, match=f"time stands at {stands_at:%Y-%m-%d}") as caught:
        open_exchange(database_url)
    assert "callmarket clock" in str(caught.value)
    rows = read_rows(database_url)
    found = say(database_url, "the clock was in 2056 once")
    assert found["market_leads_by_s"] == pytest.approx(YEARS_US / SECOND_US, abs=120)
    for name in ("b", "c"):
        with open_exchange(database_url) as market:
            opened = market.open_account(name).at
            assert timedelta(0) <= opened - stands_at < timedelta(minutes=10)
            market.place_hold(name, "a", 10, "stake", expires_at=opened + timedelta(seconds=1))
            until(lambda: market.refund_unfilled().holds_expired == 1)
            with pytest.raises(Refused, match="TTL_PAST"):
                market.place_hold("past", "a", 10, "stake", expires_at=datetime.now(UTC) + timedelta(hours=1))
            assert market.verify().ok
    assert read_rows(database_url)[: len(rows)] == rows, "what happened stays as it was recorded"


def test_a_service_waits_for_the_word(database_url: str) -> None:
    """It stands by, ready for nobody, and leads as soon as the word is said; keys have the time of people."""
    in_the_future(database_url)
    with served(database_url) as service:
        told = service.until(lambda told: "the market's time stands at" in told.json()["reason"])
        assert (told.status_code, told.json()["role"]) == (503, "standby")
        assert "it would not lead" in callmarket(database_url, "status").stdout
        say(database_url, "the clock was in 2056 once")
        service.until(lambda told: told.status_code == 200)
        soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        with service.client() as client:
            made = client.post("/api/v1/keys", json={"name": "k", "bid": ["a"], "expires_at": soon}).json()
        with Client(url=service.url, key=made["key"]) as agent:
            assert agent.wallet("a").available_tokens == 1_002
        assert service.end() == 0


def test_a_machine_and_its_database_go_on_by_a_word_after_they_leapt(
    database_url: str, clock: FakedClock, tmp_path: Path
) -> None:
    """They were paused together, say: nothing tells that from a leap but who knows it."""
    database = FakedDatabase(database_url)
    with served(database.url, tmp_path / "home", clock.environment, start=START) as service:
        service.until(lambda told: told.status_code == 200)
        with Client(url=service.url, key=service.key) as market:
            market.open_market("m")
        clock.leap(DAY_US)
        database.leap(DAY_US)
        service.until(lambda told: "has leapt" in told.json()["reason"])
        later = datetime_of(system_clock() + DAY_US)
        wrong = command(
            clock, "clock", "--accept", datetime.now(UTC).isoformat(), "--reason", "x", "--url", database.url
        )
        assert wrong.returncode == 2
        assert "the time of this machine's clock" in wrong.stderr
        right = ("clock", "--accept", later.isoformat(), "--reason", "the host was asleep", "--url", database.url)
        assert command(clock, *right).returncode == 0
        service.until(lambda told: told.status_code == 200)
        with Client(url=service.url, key=service.key) as market:
            assert market.open_account("a").at >= later
        assert service.lines(event=next(line["event"] for line in service.lines() if "accepted" in line["event"]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--accept", "yesterday", "--reason", "x"], "a time with its zone"),
        (["--accept", "2026-11-30T12:00:00", "--reason", "x"], "a time with its zone"),
        (["--accept", "2001-01-01T00:00:00Z", "--reason", "x"], "the time of this machine's clock"),
        (["--accept", "NOW", "--reason", ""], "reason: expected 1 to 500"),
        (["--accept", "NOW", "--reason", "x" * 501], "reason: expected 1 to 500"),
        (["--accept", "NOW", "--reason", "a\nb"], "reason: expected 1 to 500"),
        (["--reason", "x"], "accept: expected the time that it is"),
        (["--database-is-wrong"], "accept: expected the time that it is"),
    ],
)
def test_a_word_that_is_none_is_refused(database_url: str, arguments: list[str], words: str) -> None:
    now = datetime.now(UTC).isoformat()
    ran = callmarket(database_url, "clock", *(now if one == "NOW" else one for one in arguments))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert words in ran.stderr
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM market_time_words").fetchone() == (0,)


def test_a_database_with_another_time_is_overruled_only_on_purpose(database_url: str) -> None:
    database = FakedDatabase(database_url)
    database.leap(3_600 * SECOND_US)
    with pytest.raises(Unavailable, match="behind the database's"):
        open_exchange(database.url)
    ran = callmarket(database.url, "clock", "--accept", datetime.now(UTC).isoformat(), "--reason", "x")
    assert ran.returncode == 2
    assert "--database-is-wrong" in ran.stderr
    assert say(database.url, "x", "--database-is-wrong")["database_ahead_s"] == pytest.approx(3_600, abs=60)
    with open_exchange(database.url) as market:
        stamped = market.open_account("a").at
    assert abs(stamped - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_clock_of_ones_own_making_has_a_time_of_its_own(database_url: str) -> None:
    """Nothing is compared with a `ManualClock`, and anything else that is given is taken for the machine's."""
    with open_exchange(database_url, clock=ManualClock(5)) as market:
        assert market.open_account("a").at == at(5)
    given: list[Any] = [lambda: 5, lambda: 1.8e15, lambda: None]
    for clock in given:
        with pytest.raises((Unavailable, Invalid)):
            open_exchange(database_url, clock=clock)


def test_a_manual_clock_that_leaps_is_refused(database_url: str, clock: FakedClock) -> None:
    with open_exchange(database_url, clock=lambda: clock.clocks()[0]) as market:
        market.open_account("a")
        clock.leap(YEARS_US)
        with pytest.raises(Unavailable, match="the clock has leapt"):
            market.open_account("b")
        assert stands(market) < datetime.now(UTC) + timedelta(minutes=1)
        clock.leap(0)
        until(lambda: market.node.readiness().ready)
        assert market.open_account("b").at < datetime.now(UTC) + timedelta(minutes=1)


def stands(market: Exchange) -> datetime:
    return max(market.node.now(), at(market.read(lambda state: state.at_us)))
