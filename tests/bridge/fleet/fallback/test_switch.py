"""The one switch between auction and daily budget: what it sees, when it turns, and that it turns back.

Goal: an auction that does not answer, or sells nothing that could be sold, hands over; one that has nothing to sell
does not; and what comes and goes does not flap.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from callmarket import Client, Exchange, ManualClock, open_exchange
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.config import Config
from callmarket.bridge.fleet.fallback.switch import FallbackSwitch, HealthTracker, Probe
from tests.support.service_process import served

CONFIG = Config(auction_failures_max=3, auction_answers_min=2, auction_fruitless_s=600.0)
SECOND_US = 1_000_000
IDLE = Probe(7, has_both=False)
BOTH = Probe(7, has_both=True)


def test_away_after_so_many_failures_and_back_after_so_many_answers() -> None:
    """BRG-5: three looks without an answer in a row, then two with one in a row."""
    health = HealthTracker(CONFIG)
    for step, (answers, away) in enumerate(
        [(0, 0), (0, 0), (1, 0), (0, 0), (0, 0), (0, 1), (0, 1), (1, 1), (0, 1), (1, 1), (1, 0), (0, 0)]
    ):
        if answers:
            health.on_probe(IDLE, step)
        else:
            health.failed("down")
        assert bool(health.why) == bool(away), step
    assert not health.is_fruitless


def test_the_budget_takes_over_after_a_fruitless_time_until_a_sale() -> None:
    """BRG-5: bids and slots at every look for ten minutes and no award; the first award ends it."""
    health = HealthTracker(CONFIG)
    for at_s in range(0, 600, 5):
        health.on_probe(BOTH, at_s * SECOND_US)
        assert not health.why
    health.on_probe(BOTH, 600 * SECOND_US)
    assert "600 s" in health.why
    for at_s in range(605, 5_000, 5):
        health.on_probe(IDLE, at_s * SECOND_US)
        assert health.why, "with nothing to sell it has not shown that it works"
    health.on_probe(Probe(8, has_both=True), 5_000 * SECOND_US)
    assert not health.why
    health.on_probe(BOTH, 5_599 * SECOND_US)
    assert not health.why, "the time begins anew"


@pytest.mark.parametrize("interruption", [IDLE, Probe(8, has_both=True)], ids=["nothing to sell", "a sale"])
def test_nothing_to_sell_is_no_failure(interruption: Probe) -> None:
    """BRG-5, Precisely: a look without bids or slots, or with a sale, begins the ten minutes anew."""
    health = HealthTracker(CONFIG)
    for step in range(50):
        health.on_probe(BOTH if step % 2 else interruption, step * 500 * SECOND_US)
    assert not health.why


def test_a_look_without_an_answer_says_nothing_of_sales() -> None:
    """BRG-5, Precisely: it neither begins nor ends the ten minutes."""
    health = HealthTracker(CONFIG)
    health.on_probe(BOTH, 0)
    health.failed("down")
    health.on_probe(BOTH, 600 * SECOND_US)
    assert health.is_fruitless


def test_the_first_look_is_no_sale_and_later_ones_are_compared(seed: int) -> None:
    """BRG-5: against a naive reading of the whole row of looks."""
    rng = random.Random(seed)
    for _ in range(200):
        health, looks, now_us, award_id = HealthTracker(CONFIG), [], 0, rng.randrange(5)
        for _ in range(60):
            now_us += rng.randrange(1, 400) * SECOND_US
            award_id += rng.random() < 0.1
            looks.append((now_us, Probe(award_id, rng.random() < 0.9) if rng.random() < 0.8 else None))
            probe = looks[-1][1]
            health.failed("down") if probe is None else health.on_probe(probe, now_us)
            assert (health.is_away, health.is_fruitless) == (naive_away(looks), naive_fruitless(looks))


Looks = list[tuple[int, Probe | None]]


def naive_away(looks: Looks) -> bool:
    """The latest run of three failures or of two answers decides."""
    text = "".join("x" if probe is None else "." for _, probe in looks)
    return text.rfind("xxx") > text.rfind("..")


def naive_fruitless(looks: Looks) -> bool:
    """Since the latest sale there was a stretch of ten minutes in which each answer had both."""
    answers = [(at_us, probe) for at_us, probe in looks if probe is not None]
    sales = [n for n in range(1, len(answers)) if answers[n][1].latest_award_id > answers[n - 1][1].latest_award_id]
    since_us = None
    for at_us, probe in answers[sales[-1] + 1 if sales else 0 :]:
        since_us = (at_us if since_us is None else since_us) if probe.has_both else None
        if since_us is not None and at_us - since_us >= 600 * SECOND_US:
            return True
    return False


@pytest.fixture
def exchange(module_database_url: str, shard_id: int, clock: ManualClock) -> Iterator[Exchange]:
    with open_exchange(module_database_url, shard_id=shard_id, clock=clock) as opened:
        opened.open_market("m", reserve_price_tokens=50)
        opened.open_account("a")
        opened.mint("a", 1_000, "grant:initial")
        yield opened


def datetime_after(clock: ManualClock, days: int) -> datetime:
    return datetime_of(clock() + days * 24 * 3600 * SECOND_US)


def look_for(switch: FallbackSwitch, exchange: Exchange, clock: ManualClock, minutes: int) -> bool:
    """Look and call once a minute."""
    for _ in range(minutes):
        clock.set_us(clock() + 60 * SECOND_US)
        exchange.clear_round("m")
        switch.look()
    return switch.usable()


def test_a_market_that_sells_nothing_and_then_does(
    exchange: Exchange, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """BRG-5: rounds without a sale while there are bids and slots; without slots, or without bids, all is well."""
    caplog.set_level(logging.WARNING, "callmarket.bridge.fleet.fallback.switch")
    switch = FallbackSwitch(exchange, "m", clock, CONFIG)
    switch.look()
    assert look_for(switch, exchange, clock, 20), "neither bids nor slots"
    later = {"ttl_at": datetime_after(clock, 7), "time_in_force": "gtd"}
    bid = exchange.place_bid("m", "a", "t", 40, **later)
    assert look_for(switch, exchange, clock, 20), "bids, no slots"
    exchange.offer_slot("m", "s")
    assert look_for(switch, exchange, clock, 10)
    assert not look_for(switch, exchange, clock, 2), "the reserve is too high"
    told = switch.status()
    assert (told.paying, told.why) == ("budget", "bids and slots for 600 s and nothing sold")
    exchange.amend_bid(bid.bid_id, max_price_tokens=60)
    assert look_for(switch, exchange, clock, 1), "sold"
    assert (switch.status().paying, switch.status().why) == ("auction", "")
    assert look_for(switch, exchange, clock, 20), "the only bid has won"
    words = [record.getMessage() for record in caplog.records]
    assert len(words) == 2
    assert words[0].startswith("the daily budget pays now, the auction in m cannot be used: bids and slots")
    assert words[1] == "the auction in m pays again, after 0:02:00"


def test_bids_that_cannot_win_are_no_demand(exchange: Exchange, clock: ManualClock) -> None:
    """BRG-5, Precisely: a bid for a task that has an award, and a slot that is not available yet, could not be sold."""
    exchange.place_bid("m", "a", "t", 60)
    exchange.open_account("b")
    exchange.mint("b", 1_000, "grant:initial")
    exchange.place_bid("m", "b", "t", 55, ttl_at=datetime_after(clock, 7), time_in_force="gtd")
    exchange.offer_slot("m", "s1")
    assert len(exchange.clear_round("m").awards) == 1
    exchange.offer_slot("m", "s2")
    switch = FallbackSwitch(exchange, "m", clock, CONFIG)
    assert look_for(switch, exchange, clock, 20), "the only bid is for the task that is being worked"
    exchange.withdraw_slot("s2")
    exchange.place_bid("m", "b", "u", 55, ttl_at=datetime_after(clock, 7), time_in_force="gtd")
    exchange.offer_slot("m", "s3", datetime_after(clock, 1))
    assert look_for(switch, exchange, clock, 20), "the only slot is tomorrow's"


def test_a_market_that_there_is_not_cannot_be_used(exchange: Exchange, clock: ManualClock) -> None:
    """BRG-5: whatever the reason is, it is named."""
    switch = FallbackSwitch(exchange, "nowhere", clock, CONFIG)
    for _ in range(3):
        switch.look()
    assert not switch.usable()
    assert "NotFound" in switch.status().why


def test_a_service_that_is_killed_and_comes_back(database_url: str) -> None:
    """BRG-5, AUC-16: over HTTP, by its own thread: a real process is killed, and another takes its place."""
    config = Config(auction_look_s=0.1, auction_failures_max=2, auction_answers_min=2)
    with served(database_url) as service, Client(service.url, service.key) as owner:
        owner.open_market("m")
        # So little patience is for a service that is gone: one that is there may be slow for a while.
        with (
            Client(service.url, service.key, timeout_s=0.5) as client,
            FallbackSwitch(client, "m", config=config) as switch,
        ):
            until(lambda: switch.status().looked_at is not None and switch.usable())
            service.kill()
            until(lambda: not switch.usable())
            assert "does not answer: Unavailable" in switch.status().why
            with served(database_url, service.home, port=service.port):
                until(switch.usable)


def until(met: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not met():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_a_look_that_meets_a_bug_is_not_the_last(
    market: Exchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without further looks the daily budget would never pay, or for ever."""
    market.open_market("m")
    quote = market.quote
    left = [ValueError("a bug"), ValueError("a bug")]

    def asked(market_id: str, price_tokens: int) -> object:
        if left:
            raise left.pop()
        return quote(market_id, price_tokens)

    monkeypatch.setattr(market, "quote", asked)
    with FallbackSwitch(market, "m", config=Config(auction_look_s=0.01)) as switch:
        until(lambda: switch.status().looked_at is not None)
        assert switch.usable()
    assert caplog.text.count("cannot be looked at") == 2
