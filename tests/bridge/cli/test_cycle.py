"""`callmarket cycle`, as a person or a program uses it: what it shows, what it sets, and what it refuses."""

import psycopg
import pytest

from callmarket import Exchange
from callmarket.persistence.stores.market_cycles import Cycle, read_cycles
from tests.bridge.cli.test_commands import as_json, complaint, run


@pytest.fixture
def url(market: Exchange, database_url: str) -> str:
    """A database with two markets."""
    for market_id in ("one", "two"):
        market.open_market(market_id)
    return database_url


def settings(url: str) -> dict[str, Cycle]:
    with psycopg.connect(url) as connection:
        return {row.market_id: row.cycle for row in read_cycles(connection, 0)}


def test_markets_are_called_when_asked_until_something_is_set(url: str) -> None:
    shown = as_json("cycle", url=url)["cycles"]
    unset = {"mode": "asked", "period_s": None, "updated_at": None, "updated_by": ""}
    assert shown == [{"market_id": "one", **unset}, {"market_id": "two", **unset}]


def test_a_setting_is_shown_after_it_is_set(url: str) -> None:
    (done,) = as_json("cycle", "one", "--every", "1.5m", url=url)["cycles"]
    assert (done["market_id"], done["mode"], done["period_s"]) == ("one", "every", 90.0)
    assert done["updated_by"].startswith("process ")
    assert as_json("cycle", "one", url=url)["cycles"] == [done]
    assert as_json("cycle", "two", "--on-offer", url=url)["cycles"][0]["mode"] == "on_offer"
    assert settings(url) == {"one": Cycle("every", 90_000_000), "two": Cycle("on_offer")}
    shown = run("cycle", url=url)
    assert shown.returncode == 0
    for words in ("every 0:01:30 (90 s)", "when a slot is offered"):
        assert words in shown.stdout
    assert as_json("cycle", "one", "--asked", url=url)["cycles"][0]["period_s"] is None
    assert settings(url)["one"] == Cycle("asked")


def test_wrong_settings_are_refused_and_change_nothing(url: str) -> None:
    assert "no market 'none'" in complaint(run("cycle", "none", "--asked", url=url), 1)
    assert "the market to set this for" in complaint(run("cycle", "--asked", url=url), 2)
    assert "one of --every" in complaint(run("cycle", "one", "--asked", "--on-offer", url=url), 2)
    assert "0.1 s to 604800 s" in complaint(run("cycle", "one", "--every", "99ms", url=url), 2)
    assert "500ms, 60s" in complaint(run("cycle", "one", "--every", "soon", url=url), 2)
    assert set(settings(url).values()) == {Cycle("asked")}
