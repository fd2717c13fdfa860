"""What a look promises, against what the call then does."""

import random
from datetime import timedelta

import pytest

from callmarket import Exchange, ManualClock, Refused
from callmarket.bridge.api.contract.results import accepted
from callmarket.bridge.api.operations.bids import place_bid
from callmarket.bridge.api.operations.rounds import clear_request
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.scheduler import queries
from callmarket.bridge.scheduler.schedule import Probe, Watermark
from callmarket.engine import limits
from callmarket.engine.capital.commands import OpenArtifactMarket, OpenPosition, SettleArtifact
from callmarket.engine.commands import ADMIN, OPERATOR, Entry, ExpireDue, Mint
from callmarket.engine.core import Engine
from callmarket.engine.events import BidsExpired, BidsLost, RoundCleared
from callmarket.engine.state import State
from tests.bridge.conftest import START_US
from tests.support.capital_stories import ACCOUNTS, DAY_US, CapitalStory
from tests.support.small_market import at, furnish

SECOND_US = 1_000_000


def prospect_of(market: Exchange, clock: ManualClock, watermark: Watermark) -> Probe:
    found = market.read(queries.probe("m", clock(), watermark, ""))
    assert found is not None
    return found


def disturb(market: Exchange, clock: ManualClock, rng: random.Random, number: int) -> None:
    """One thing that changes supply, demand or time."""
    now_us = clock()
    kind = rng.choice(["slot", "later", "bid", "bid", "gtd", "award", "time"])
    try:
        if kind in ("slot", "later"):
            available_at = datetime_of(now_us + (rng.randrange(20 * SECOND_US) if kind == "later" else 0))
            reserve_tokens = rng.choice([0, 60, 90, 90])
            market.offer_slot("m", f"s{number}", available_at=available_at, reserve_price_tokens=reserve_tokens)
        elif kind in ("bid", "gtd"):
            ttl_at = datetime_of(now_us + rng.randrange(1, 20 * SECOND_US)) if kind == "gtd" else None
            market.place_bid(
                "m",
                rng.choice("ab"),
                f"t{rng.randrange(300)}",
                rng.choice([1, 30, 60, 79]),
                ttl_at=ttl_at,
                time_in_force="gtd" if kind == "gtd" else "round",
            )
        elif kind == "award":
            market.settle(f"s{rng.randrange(number + 1)}", 1, 1)
        else:
            clock.set_us(now_us + rng.randrange(10 * SECOND_US))
    except Refused:
        return


def test_a_call_does_what_the_look_has_said(market: Exchange, clock: ManualClock, seed: int) -> None:
    """CLR-1 to CLR-3, CLR-7, BID-4: supply, demand, whether something is sold, and whether anything else changes."""
    rng = random.Random(seed)
    quick = market.acknowledging("applied")
    furnish(quick, "a", "b", tokens=10**6)
    kinds: set[tuple[bool, bool, bool]] = set()
    watermark = Watermark(0, 0)
    for number in range(1_500):
        disturb(quick, clock, rng, number)
        if rng.random() < 0.5:
            continue
        told = prospect_of(quick, clock, watermark)
        slots_then = quick.read(lambda state: list(state.markets["m"].offers))
        fresh = [one for one in slots_then if one.offer_seq > watermark.seq or one.available_at_us > watermark.at_us]
        assert told.offered == any(one.available_at_us <= clock() for one in fresh)
        events = quick.submit([clear_request("m")])[0].events
        (cleared,) = [event for event in events if isinstance(event, RoundCleared)]
        assert told.counts == (cleared.slots_available, cleared.bids_open)
        assert told.sells == (cleared.awards_granted > 0)
        ended = cleared.losers_remaining > 0 or any(isinstance(event, BidsLost | BidsExpired) for event in events)
        assert told.changes == (told.sells or ended)
        kinds.add((told.sells, told.changes, told.offered))
        watermark = told.watermark
    assert len(kinds) == 6, kinds


def test_the_overview_says_when_a_sweep_is_due_and_which_markets_have_both_sides(
    market: Exchange, clock: ManualClock
) -> None:
    """SET-5, SET-6, BID-3, BID-4, HLD-5: what is due first, of all that sweeps end; which markets have both sides."""
    furnish(market, "a", tokens=10_000)
    market.open_market("n", lease=timedelta(seconds=3))

    def overview() -> queries.Overview:
        return market.read(queries.overview(["m", "n", "none"]))

    assert overview() == queries.Overview(4, START_US, None, frozenset())
    market.place_bid("n", "a", "t", 5, ttl_at=at(START_US + 9 * SECOND_US), time_in_force="gtd")
    assert overview().sweep_us == START_US + 9 * SECOND_US
    market.offer_slot("n", "s")
    assert overview().stirring == {"n"}
    market.clear_round("n")
    assert overview()[2:] == (START_US + 3 * SECOND_US, frozenset())
    clock.set_us(START_US + 3 * SECOND_US)
    market.refund_unfilled()
    assert overview() == queries.Overview(8, START_US + 3 * SECOND_US, None, frozenset())
    accepted(market.submit([place_bid.request("m", "a", f"t{number}", 1) for number in range(150)]))
    accepted(market.submit([clear_request("m")]))
    assert overview().sweep_us == 0
    market.refund_unfilled()
    assert overview().sweep_us is None
    for hold_id, expires_at in (("h1", at(START_US + 9 * SECOND_US)), ("h2", None)):
        market.place_hold(hold_id, "a", 5, "stake", expires_at=expires_at)
    assert overview().sweep_us == START_US + 9 * SECOND_US
    market.release_hold("h1", "a")
    assert overview().sweep_us is None


def test_probing_an_unknown_market_finds_nothing(market: Exchange) -> None:
    assert market.read(queries.probe("m", 0, Watermark(0, 0), "")) is None


def test_call_that_was_made_is_known_by_its_id(market: Exchange) -> None:
    """IDM-1: whoever made it, as the operator."""
    market.open_market("m")
    market.clear_round("m", command_id="one")
    for command_id, called in (("one", True), ("two", False), ("", False)):
        found = market.read(queries.probe("m", START_US, Watermark(0, 0), command_id))
        assert found is not None
        assert found.called is called


def test_a_sweep_is_due_when_artifact_markets_have_something_to_end(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SET-6, ORD-9, STL-5, STL-7, STL-9: a sweep at that time ends something, and one before nothing."""
    monkeypatch.setattr(limits, "SWEEP_ITEMS_MAX", 2)
    story = CapitalStory(seed)

    def check() -> int | None:
        state = story.engine.state
        sweep_us = queries.overview(())(state).sweep_us
        now_us = max(state.at_us, sweep_us or 0)
        for at_us in (state.at_us, now_us - 1, now_us):
            if at_us >= state.at_us:
                engine = Engine(State.decode(state.encode()))
                events = engine.apply(Entry(state.seq + 1, at_us, OPERATOR, ExpireDue()))
                assert (len(events) > 1) == (sweep_us is not None and sweep_us <= at_us), (sweep_us, at_us, events)
        return sweep_us

    for _ in range(300):
        story.go_on(1)
        check()
    story.do(OPERATOR, OpenArtifactMarket("owing", 10, story.at_us + DAY_US))
    for number in range(4):
        account_id = ACCOUNTS[number % 2]
        story.do(ADMIN, Mint(account_id, 10_000, "grant:more"))
        story.do(account_id, OpenPosition("owing", account_id, "long", 1))
    story.do(OPERATOR, SettleArtifact("owing", "validated"))
    assert check() == 0
