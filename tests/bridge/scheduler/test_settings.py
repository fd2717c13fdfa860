"""Settings from people's words, and in the table."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from functools import wraps
from typing import Any

import psycopg
import pytest

from callmarket import Exchange, Invalid
from callmarket.bridge.scheduler import settings
from callmarket.bridge.scheduler.settings import Settings, cycle_of, period_of, set_cycle
from callmarket.persistence.stores.market_cycles import PERIOD_US_MAX, PERIOD_US_MIN, Cycle, read_cycles, write_cycle
from tests.support.following import projected
from tests.support.proxy import Proxy
from tests.support.small_market import WAIT_S_MAX


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("500ms", 500_000),
        ("60s", 60_000_000),
        ("60", 60_000_000),
        (" 0.1s ", 100_000),
        ("1.5m", 90_000_000),
        ("1h", 3_600_000_000),
        ("7d", PERIOD_US_MAX),
        ("0.000001", 1),
        ("0.5ms", 500),
    ],
)
def test_a_period_is_parsed_from_its_text(text: str, us: int) -> None:
    assert period_of(text) == timedelta(microseconds=us)


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1 s", "1.s", "1e3", "1w", "nan", "8d", "999999999d", "1.0000001", "\uff11s"]
)
def test_a_text_that_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="period"):
        period_of(text)


def test_a_cycle_setting_is_checked_against_its_bounds() -> None:
    assert cycle_of("asked") == Cycle("asked")
    assert cycle_of("on_offer") == Cycle("on_offer")
    for us in (PERIOD_US_MIN, PERIOD_US_MAX):
        assert cycle_of("every", timedelta(microseconds=us)) == Cycle("every", us)
    for us in (PERIOD_US_MIN - 1, PERIOD_US_MAX + 1, 0, -PERIOD_US_MIN):
        with pytest.raises(Invalid, match=r"period: expected 0\.1 s to 604800 s"):
            cycle_of("every", timedelta(microseconds=us))
    with pytest.raises(Invalid, match="mode: expected one of every, on_offer, asked, got 'soon'"):
        cycle_of("soon")
    with pytest.raises(Invalid, match="period"):
        cycle_of("every")
    with pytest.raises(Invalid, match="period"):
        cycle_of("asked", timedelta(seconds=1))
    with pytest.raises(Invalid, match="period"):
        cycle_of("every", 60)  # type: ignore[arg-type]


def test_the_table_holds_one_setting_for_each_market(market: Exchange, database_url: str) -> None:
    for market_id in ("a", "b"):
        market.open_market(market_id)
    with psycopg.connect(projected(database_url), autocommit=True) as connection:
        assert [(row.market_id, row.mode, row.updated_at) for row in read_cycles(connection, 0)] == [
            ("a", "asked", None),
            ("b", "asked", None),
        ]
        for cycle in (Cycle("every", PERIOD_US_MIN), Cycle("every", PERIOD_US_MAX), Cycle("on_offer"), Cycle("asked")):
            row = set_cycle(connection, 0, "b", cycle, "somebody")
            assert (row.market_id, row.cycle, row.updated_by) == ("b", cycle, "somebody")
            assert row.updated_at is not None
            assert read_cycles(connection, 0)[1] == row
        assert write_cycle(connection, 0, "none", Cycle("asked"), "") is None
        with pytest.raises(Invalid, match="market_id: expected an open market, got 'none'"):
            set_cycle(connection, 0, "none", Cycle("asked"), "")
        with pytest.raises(Invalid):
            set_cycle(connection, 1, "b", Cycle("asked"), "")
        assert read_cycles(connection, 1) == []


@pytest.mark.parametrize(
    ("mode", "period_us"), [("every", None), ("asked", 100_000), ("every", 99_999), ("soon", None)]
)
def test_the_table_refuses_what_is_no_setting(
    market: Exchange, database_url: str, mode: str, period_us: int | None
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "INSERT INTO market_cycles VALUES (0, 'm', %s, %s, clock_timestamp(), '')", (mode, period_us)
        )


# --- as they are followed --------------------------------------------------------------------------------------------


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a loop of its own, for a bounded time."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), WAIT_S_MAX))

    return run


@pytest.fixture
def followed(market: Exchange, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A way to a database with the market `m`, whose settings are read when somebody asks and not by themselves."""
    monkeypatch.setattr(settings, "POLL_S", WAIT_S_MAX * 10)
    monkeypatch.setattr(settings, "_ANSWER_S_MAX", WAIT_S_MAX * 10)
    market.open_market("m")
    with Proxy(projected(database_url)) as proxy:
        yield proxy


def set_to(url: str, seconds: int) -> None:
    with psycopg.connect(url) as connection:
        set_cycle(connection, 0, "m", cycle_of("every", timedelta(seconds=seconds)), "me")


@awaited
async def test_a_change_is_known_once_a_later_reading_has_ended(followed: Proxy, database_url: str) -> None:
    """The one that is under way may have read before."""
    one = Settings(followed.url, 0)
    following = asyncio.create_task(one.follow())
    for seconds in range(5, 25):
        set_to(database_url, seconds)
        await asyncio.gather(*(one.read_now() for _ in range(3)))
        assert one.rows["m"].period_us == seconds * 1_000_000
    one.close()
    await following


@awaited
async def test_settings_hold_while_the_database_is_unavailable(
    followed: Proxy, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once when that begins, and once when it ends."""
    one = Settings(followed.url, 0)
    following = asyncio.create_task(one.follow())
    set_to(database_url, 5)
    await one.read_now()
    followed.refusing = True
    followed.cut_all()
    for _ in range(3):
        await one.read_now()
    assert one.rows["m"].period_us == 5_000_000
    set_to(database_url, 6)
    followed.refusing = False
    for _ in range(2):
        await one.read_now()
    assert one.rows["m"].period_us == 6_000_000
    told = [record.getMessage() for record in caplog.records if record.name == settings.logger.name]
    assert ["cannot be read" in one for one in told] == [True, False]
    one.close()
    await following


@awaited
async def test_closing_releases_those_that_wait_for_settings(followed: Proxy) -> None:
    one = Settings(followed.url, 0)
    following = asyncio.create_task(one.follow())
    await one.read_now()
    one.close()
    await following
    await one.read_now()


@awaited
async def test_a_question_before_the_first_reading_waits_for_it(followed: Proxy) -> None:
    one = Settings(followed.url, 0)
    asked = asyncio.create_task(one.read_now())
    await asyncio.sleep(0)
    assert not asked.done()
    following = asyncio.create_task(one.follow())
    await asked
    assert list(one.rows) == ["m"]
    one.close()
    await following


@awaited
async def test_closing_does_not_wait_for_a_database_that_does_not_answer(followed: Proxy) -> None:
    one = Settings(followed.url, 0)
    following = asyncio.create_task(one.follow())
    await one.read_now()
    followed.flowing.clear()
    asked = asyncio.create_task(one.read_now())
    begun = one._begun
    while one._begun == begun:  # noqa: ASYNC110 -- nobody announces it
        await asyncio.sleep(0.005)
    # It has been sent, or will be refused for being closed.
    one.close()
    await following
    await asked
    assert list(one.rows) == ["m"], "what was set before holds"
