"""Markets that are called by themselves, on a real PostgreSQL: on the grid, on offer, after a restart and an outage.

Method: the machine's clock and short periods, and what was called is read from the journal; where a very cycle matters,
a clock that the test sets. No test says how fast: it waits until something is so, and looks at what was not to be.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from itertools import count

import psycopg
import pytest

from callmarket import AsyncExchange, Exchange, Invalid, ManualClock, open_exchange
from callmarket.bridge.api.contract.results import accepted
from callmarket.bridge.api.errors import NotFound, Unavailable
from callmarket.bridge.api.operations.bids import place_bid
from callmarket.bridge.api.operations.markets import open_market
from callmarket.bridge.api.operations.rounds import clear_request
from callmarket.bridge.api.operations.slots import offer_slot
from callmarket.bridge.api.units import at_us
from callmarket.bridge.scheduler.clearing import (
    CALLS_PER_STEP_MAX,
    LOOK_S,
    SWEEP_GAP_US,
    ClearingScheduler,
    CycleStatus,
    MarketSchedule,
)
from callmarket.bridge.scheduler.schedule import PAUSE_US, PAUSE_US_MAX, Cadence, Instant, Watermark
from callmarket.engine import codec
from callmarket.engine import limits as engine_limits
from callmarket.engine.commands import ClearRound
from callmarket.persistence.stores.market_cycles import Cycle, CycleRow, write_cycle
from tests.bridge.conftest import START_US
from tests.bridge.market.test_async_exchange import awaited
from tests.support.client_log import Row, read_rows
from tests.support.following import projected
from tests.support.own_server import OwnServer
from tests.support.proxy import Proxy
from tests.support.small_market import WAIT_S_MAX, at, furnish, impatient

PERIOD_US = 200_000
MINUTE_US = 60_000_000
ON_OFFER = Cycle("on_offer")


async def until(true: Callable[[], bool]) -> None:
    """Wait in the loop until something is so, for a bounded time."""
    async with asyncio.timeout(WAIT_S_MAX):
        while not true():  # noqa: ASYNC110 -- nobody announces it
            await asyncio.sleep(0.005)


async def until_still(read: Callable[[], int]) -> None:
    """Wait until a number that grew stays the same for three periods: what was under way may still count."""
    before = -1
    async with asyncio.timeout(WAIT_S_MAX):
        while (now := read()) != before:
            before = now
            await asyncio.sleep(3 * PERIOD_US / 1_000_000)
    assert before > 0


async def until_all_are_answered(market: Exchange, caller: ClearingScheduler) -> None:
    """Wait until the market was called and no call is under way: none is until the loop has its next turn."""
    await until(lambda: bool(caller.statuses()) and caller.status("m").calls == rounds(market) > 0)


def set_to(url: str, cycle: Cycle, *market_ids: str) -> None:
    """Set when markets are called, as another process does."""
    with psycopg.connect(projected(url), autocommit=True) as connection:
        for market_id in market_ids or ("m",):
            assert write_cycle(connection, 0, market_id, cycle, "test") is not None


def rounds(market: Exchange, market_id: str = "m") -> int:
    return market.read(lambda state: state.markets[market_id].rounds_called)


def clears(url: str, market_id: str = "m") -> list[Row]:
    """The rows of a market's calls."""
    return [row for row in read_rows(url) if codec.decode_command(row.command) == ClearRound(market_id)]


def assert_once_each(rows: list[Row], period_us: int = PERIOD_US) -> None:
    """Each call is that of another cycle, and its id says so."""
    cycle_nos = [int(row.command_id.rpartition("-")[2]) for row in rows]
    assert cycle_nos == sorted(set(cycle_nos)), cycle_nos
    assert [row.at_us // period_us for row in rows] == cycle_nos


async def bid_on(market: Exchange, market_id: str = "m", task: str = "task") -> None:
    """Bids for one round, one after the other: each round has something to lose."""
    exchange = AsyncExchange(market)
    for number in count():
        accepted(await exchange.submit([place_bid.request(market_id, "a", f"{task}-{number}", 1)], "applied"))
        await asyncio.sleep(0.02)


@awaited
async def test_rounds_are_on_the_grid_and_two_markets_are_called_together(database_url: str) -> None:
    """AUC-20: a price is made every cycle, by nobody's hand."""
    with open_exchange(database_url) as market:
        furnish(market, "a")
        market.open_market("n")
        set_to(database_url, Cycle("every", PERIOD_US), "m", "n")
        async with ClearingScheduler(market) as caller:
            bidders = [asyncio.create_task(bid_on(market, name)) for name in "mn"]
            await until(lambda: [one.calls >= 5 for one in caller.statuses()] == [True, True])
            for bidder in bidders:
                bidder.cancel()
            await until(lambda: market.wallet("a").held_tokens == 0)
            one, two = caller.statuses()
        assert (one.market_id, one.mode, one.period, one.failures, one.last_error) == (
            "m",
            "every",
            timedelta(seconds=0.2),
            0,
            "",
        )
        assert one.calls >= 5 <= two.calls
        assert one.next_at is not None
        assert one.last_called_at is not None
        assert at_us("next_at", one.next_at) % PERIOD_US == 0
        assert market.verify().ok
    for name in "mn":
        rows = clears(database_url, name)
        assert_once_each(rows)
    together = {row.command_id.rpartition("-")[2] for row in clears(database_url, "m")}
    assert len(together & {row.command_id.rpartition("-")[2] for row in clears(database_url, "n")}) >= 3


@awaited
async def test_cycle_with_nothing_to_tell_leaves_no_row(database_url: str) -> None:
    """CLR-7: an empty market that is called five times a second does not fill the journal."""
    with open_exchange(database_url) as market:
        furnish(market, "a")
        set_to(database_url, Cycle("every", PERIOD_US))
        async with ClearingScheduler(market) as caller:
            await until(lambda: bool(caller.statuses()) and caller.status("m").skipped >= 4)
            assert (caller.status("m").calls, rounds(market)) == (0, 0)
            market.place_bid("m", "a", "t", 5, ttl_at=at(2**52), time_in_force="gtd")
            before = caller.status("m").skipped
            await until(lambda: caller.status("m").skipped >= before + 4)
            assert (caller.status("m").calls, rounds(market)) == (1, 1)


@awaited
async def test_market_is_called_when_slots_are_offered(database_url: str) -> None:
    """With bids at rest: those offered together in one round, one that is offered for later not before its time."""
    with open_exchange(database_url) as market:
        furnish(market, "a")
        for number in range(4):
            market.place_bid("m", "a", f"t{number}", 5, ttl_at=at(2**52), time_in_force="gtd")
        set_to(database_url, ON_OFFER)
        exchange = AsyncExchange(market)
        async with ClearingScheduler(market) as caller:
            await until(lambda: bool(caller.statuses()))
            await exchange.offer_slot("m", "s1")
            await exchange.offer_slot("m", "s2")
            await until(lambda: rounds(market) == 1)
            later = market.node.now() + timedelta(seconds=0.7)
            await exchange.offer_slot("m", "s3", available_at=later)
            await until(lambda: rounds(market) == 2)
            await until(lambda: caller.status("m").calls == 2)
            assert caller.status("m").next_at is None
        projected(database_url)
        found = market.get_rounds("m").items
        assert [(one.slots_available, one.awards_granted) for one in found] == [(1, 1), (2, 2)]
        assert found[0].called_at >= later


@awaited
async def test_slot_that_was_left_waits_for_a_bid_that_would_buy_it(database_url: str) -> None:
    """A bid below its reserve is called once, with the offer, and then rests without further rounds."""
    with open_exchange(database_url) as market:
        furnish(market, "a")
        set_to(database_url, ON_OFFER)
        market.place_bid("m", "a", "low", 5, ttl_at=at(2**52), time_in_force="gtd")
        market.offer_slot("m", "s0", reserve_price_tokens=9)
        exchange = AsyncExchange(market)
        async with ClearingScheduler(market) as caller:
            await until(lambda: bool(caller.statuses()))
            # What was there before this process led was its predecessor's to call; a sale it would have been, is made.
            await asyncio.sleep(0.5)
            assert rounds(market) == 0
            await exchange.offer_slot("m", "s1", reserve_price_tokens=8)
            await until(lambda: rounds(market) == 1)
            await exchange.place_bid("m", "a", "also-low", 7, ttl_at=at(2**52), time_in_force="gtd")
            await asyncio.sleep(0.5)
            assert rounds(market) == 1
            await exchange.place_bid("m", "a", "high", 8)
            await until(lambda: rounds(market) == 2)
        projected(database_url)
        assert [(one.slots_available, one.awards_granted) for one in market.get_rounds("m").items] == [
            (2, 1),
            (2, 0),
        ]


@awaited
async def test_markets_with_nothing_to_sell_do_not_hold_up_the_others(database_url: str) -> None:
    """More than one step looks at have slots and bids that do not meet; the last of all is called all the same."""
    with open_exchange(database_url) as market:
        furnish(market, "a", market_id="z")
        names = [f"m{number}" for number in range(CALLS_PER_STEP_MAX + 10)]
        never = at(2**52)
        requests = [
            request
            for name in names
            for request in (
                open_market.request(name),
                place_bid.request(name, "a", "low", 5, ttl_at=never, time_in_force="gtd"),
                offer_slot.request(name, f"slot-{name}", reserve_price_tokens=9),
            )
        ]
        accepted(market.submit(requests))
        market.place_bid("z", "a", "t", 5)
        set_to(database_url, ON_OFFER, "z", *names)
        async with ClearingScheduler(market) as caller:
            await until(lambda: bool(caller.statuses()))
            await AsyncExchange(market).offer_slot("z", "s")
            await until(lambda: rounds(market, "z") == 1)
            assert {rounds(market, name) for name in names} == {0}


@awaited
async def test_expired_holds_are_swept_without_being_asked(database_url: str) -> None:
    """BID-3, BID-4, SET-5: of bids past their deadline, awards past their lease, and losers of a call by hand."""
    with open_exchange(database_url) as market:
        furnish(market, "a", tokens=10_000)
        market.open_market("n", lease=timedelta(seconds=0.3), lapse_policy="refund")
        market.offer_slot("n", "s")
        market.place_bid("n", "a", "t", 7)
        market.place_bid("n", "a", "u", 7)
        exchange = AsyncExchange(market)
        async with ClearingScheduler(market) as caller:
            ttl_at = market.node.now() + timedelta(seconds=0.3)
            await exchange.place_bid("m", "a", "t", 50, ttl_at=ttl_at, time_in_force="gtd")
            assert len((await exchange.clear_round("n")).awards) == 1
            accepted(await exchange.submit([place_bid.request("m", "a", f"l{number}", 1) for number in range(300)]))
            accepted(await exchange.submit([clear_request("m")]))
            await until(lambda: market.wallet("a").held_tokens == 0)
            assert market.wallet("a").balance_tokens == 10_000
            assert caller.sweeps >= 1
            # With nothing due nothing is swept.
            await until_still(lambda: caller.sweeps)
        assert market.verify().ok


@awaited
async def test_setting_holds_soon_after_it_was_changed_by_anybody(database_url: str) -> None:
    with open_exchange(database_url) as market:
        furnish(market, "a")
        async with ClearingScheduler(market) as caller:
            bidder = asyncio.create_task(bid_on(market))
            await until(lambda: bool(caller.statuses()))
            assert caller.status("m").mode == "asked"
            set_to(database_url, Cycle("every", PERIOD_US))
            await until(lambda: rounds(market) >= 2)
            set_to(database_url, Cycle("asked"))
            await caller.read_settings()
            await until(lambda: caller.status("m").mode == "asked")
            await until_still(lambda: rounds(market))
            bidder.cancel()
            with pytest.raises(Invalid, match="market_id"):
                caller.status("none")


@awaited
async def test_a_restart_keeps_the_cadence_of_a_served_market(database_url: str) -> None:
    """With a clock that the test sets: called at the multiples of the period, whenever each process began."""
    grid_us = START_US // MINUTE_US * MINUTE_US
    clock = ManualClock(grid_us + 1)
    for number in range(1, 4):
        with open_exchange(database_url, clock=clock) as market:
            if number == 1:
                furnish(market, "a")
                set_to(database_url, Cycle("every", MINUTE_US))
            market.place_bid("m", "a", f"t{number}", 5)
            async with ClearingScheduler(market) as caller:
                await until(lambda: bool(caller.statuses()))
                await asyncio.sleep(0.3)
                assert caller.status("m").calls == 0
                assert caller.status("m").next_at == at(grid_us + number * MINUTE_US)
                clock.set_us(grid_us + number * MINUTE_US)
                await until(lambda: caller.status("m").calls == 1)
            clock.set_us(clock() + 10_000_000 * number)
    rows = clears(database_url)
    assert [row.at_us for row in rows] == [grid_us + number * MINUTE_US for number in range(1, 4)]
    assert_once_each(rows, MINUTE_US)


@awaited
async def test_next_leader_does_not_call_a_cycle_again(database_url: str) -> None:
    """Its clock may be a little behind: it comes to the moment at which the last one has called."""
    grid_us = START_US // MINUTE_US * MINUTE_US
    for began_us in (grid_us - 5_000_000, grid_us - 1_000_000):
        clock = ManualClock(began_us)
        with open_exchange(database_url, clock=clock) as market:
            if began_us == grid_us - 5_000_000:
                furnish(market, "a")
                set_to(database_url, Cycle("every", MINUTE_US))
            market.place_bid("m", "a", f"t{began_us}", 5)
            async with ClearingScheduler(market) as caller:
                await until(lambda: bool(caller.statuses()) and caller.status("m").next_at is not None)
                clock.set_us(grid_us)
                await until(lambda: caller.status("m").calls + caller.status("m").skipped == 1)
    assert len(clears(database_url)) == 1


@pytest.mark.parametrize("how", ["closed", "cut off"])
@awaited
async def test_a_standby_that_takes_over_goes_on_calling(database_url: str, how: str) -> None:
    """Both have a caller all the time; no cycle is called by both, and the one that leads no longer stops."""
    with Proxy(database_url) as proxy:
        first = open_exchange(proxy.url)
        furnish(first, "a")
        set_to(database_url, Cycle("every", PERIOD_US))
        with open_exchange(database_url, standby=True) as second:
            one, two = ClearingScheduler(first), ClearingScheduler(second)
            one.start()
            two.start()
            bidder = asyncio.create_task(bid_on(first))
            await until(lambda: rounds(first) >= 3)
            await until(lambda: bool(two.statuses()))
            shown = two.status("m")
            assert (shown.mode, shown.calls, shown.next_at, second.role) == ("every", 0, None, "standby")
            bidder.cancel()
            if how == "closed":
                await one.close()
                await asyncio.to_thread(first.close)
            else:
                proxy.refusing = True
                proxy.cut_all()
            await until(lambda: second.role == "leader")
            bidder = asyncio.create_task(bid_on(second, task="after"))
            await until(lambda: two.status("m").calls >= 3)
            bidder.cancel()
            proxy.refusing = False
            await until(lambda: first.role == "ended")
            assert one.status("m").next_at is None, "others call now"
            assert two.status("m").next_at is not None
            await one.close()
            await two.close()
            if how == "cut off":
                with pytest.raises(Exception, match="writer"):
                    first.close()
            assert second.verify().ok
    rows = clears(database_url)
    assert {row.epoch for row in rows} == {1, 2}
    assert_once_each(rows)


@awaited
async def test_a_database_outage_costs_one_cycle_each_and_is_logged_once(
    own_server: OwnServer, own_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each outcome that is not known is that of one cycle, told in the log once; afterwards it goes on by itself."""
    with open_exchange(own_url) as market:
        furnish(market, "a")
        set_to(own_url, Cycle("every", PERIOD_US))
        async with ClearingScheduler(market) as caller:
            bidder = asyncio.create_task(bid_on(market))
            await until_all_are_answered(market, caller)
            # The loop stands still while the server stops and starts: no call is made that a slow server would answer.
            with impatient(market, 0.3), own_server.away():
                await until(lambda: caller.status("m").failures >= 2)
                assert "UnknownOutcome" in caller.status("m").last_error
                assert caller.status("m").mode == "every", "what was set before holds"
            before = caller.status("m").calls
            await until(lambda: caller.status("m").calls >= before + 2)
            assert caller.status("m").last_error == ""
            bidder.cancel()
            assert caller.status("m").missed > 0
        assert sum("market m could not be called" in one.message for one in caplog.records) == 1
        assert sum("market m is called again" in one.message for one in caplog.records) == 1
    rows = clears(own_url)
    assert_once_each(rows)


@awaited
async def test_one_call_of_a_market_is_under_way_at_a_time(own_server: OwnServer, own_url: str) -> None:
    """A database that does not answer holds up one call, not one for each cycle; closing does not wait for it."""
    with open_exchange(own_url) as market:
        furnish(market, "a")
        set_to(own_url, Cycle("every", PERIOD_US))
        async with ClearingScheduler(market) as caller:
            bidder = asyncio.create_task(bid_on(market))
            await until_all_are_answered(market, caller)
            with own_server.frozen():
                called = rounds(market)
                await until(lambda: rounds(market) > called)
                called = rounds(market)
                await asyncio.sleep(5 * PERIOD_US / 1_000_000)
                assert rounds(market) == called
                bidder.cancel()
                await caller.close()
        assert rounds(market) == called


@awaited
async def test_market_that_cannot_be_called_does_not_stop_the_others(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Here one that somebody has written into the tables by hand."""
    with open_exchange(database_url) as market:
        furnish(market, "a")
        with psycopg.connect(projected(database_url), autocommit=True) as connection:
            connection.execute(
                "INSERT INTO compute_auction_markets SELECT shard_id, 'forged', pricing_rule, reserve_price_tokens, "
                "awards_per_bidder_max, lease_us, lapse_policy, reward_tokens_per_impact, reward_cap_tokens, "
                "created_at, seq FROM compute_auction_markets"
            )
        set_to(database_url, Cycle("every", PERIOD_US), "forged", "m")
        async with ClearingScheduler(market) as caller:
            bidder = asyncio.create_task(bid_on(market))
            await until(lambda: rounds(market) >= 5 and caller.status("forged").failures >= 2)
            bidder.cancel()
            assert "a market of the engine" in caller.status("forged").last_error
            assert caller.status("m").failures == 0
    assert sum("market forged could not be called" in one.message for one in caplog.records) == 1


@awaited
async def test_caller_ends_with_what_it_calls(database_url: str) -> None:
    """A leader that ends stops it; closing it twice, or before it was started, is nothing."""
    market = open_exchange(database_url)
    furnish(market, "a")
    await ClearingScheduler(market).close()
    caller = ClearingScheduler(market)
    caller.start()
    await until(lambda: bool(caller.statuses()))
    market.close()
    assert caller._main is not None
    await until(caller._main.done)
    await caller.close()
    await caller.close()


@awaited
async def test_an_error_that_breaks_the_scheduler_is_logged_and_raised(
    market: Exchange, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Here a clock that counts nanoseconds."""
    caller = ClearingScheduler(market)
    caller.start()
    clock.set_us(START_US * 1_000)
    await until(lambda: any("has broken" in one.message for one in caplog.records))
    with pytest.raises(OverflowError):
        await caller.close()


@awaited
async def test_a_market_is_called_also_where_no_more_calls_can_be_remembered(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IDM-1: refused for want of room, the call is made without an id, in the same cycle."""
    monkeypatch.setattr(engine_limits, "RETRIES_PER_STAFF_MAX", 2)
    with open_exchange(database_url) as market:
        furnish(market, "a")
        set_to(database_url, Cycle("every", PERIOD_US))
        async with ClearingScheduler(market) as caller:
            bidder = asyncio.create_task(bid_on(market))
            await until(lambda: rounds(market) >= 5)
            bidder.cancel()
            assert caller.status("m").failures == 0
    made = [row.command_id for row in clears(database_url) if "rejected" not in str(row.events)]
    assert all(made[:2])
    assert not any(made[2:])


@awaited
async def test_a_sweep_that_fails_is_made_again_after_pauses_that_grow(
    market: Exchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for all failures in a row; the first success ends them, and what fails later begins anew."""
    caller, now = ClearingScheduler(market), Instant(START_US, 7 * MINUTE_US)
    monkeypatch.setattr(caller, "_instant", lambda: now)
    sweep = caller._exchange.refund_unfilled

    async def fail() -> None:
        raise Unavailable("away")

    async def pauses_us(times: int) -> list[int]:
        made = []
        for _ in range(times):
            caller._sweeping = True
            await caller._sweep()
            assert not caller._sweeping
            made.append(caller._sweep_not_before_us - now.steady_us)
        return made

    monkeypatch.setattr(caller._exchange, "refund_unfilled", fail)
    assert await pauses_us(20) == [min(PAUSE_US << number, PAUSE_US_MAX) for number in range(20)]
    assert (caller.sweeps, caller.sweep_error) == (0, "Unavailable: away")
    assert caplog.text.count("could not be swept") == 1
    monkeypatch.setattr(caller._exchange, "refund_unfilled", sweep)
    assert await pauses_us(2) == [SWEEP_GAP_US, SWEEP_GAP_US]
    assert (caller.sweeps, caller.sweep_error) == (2, "")
    monkeypatch.setattr(caller._exchange, "refund_unfilled", fail)
    assert await pauses_us(2) == [PAUSE_US, 2 * PAUSE_US]
    assert caplog.text.count("could not be swept") == 2


@awaited
async def test_each_figure_of_the_status_has_its_name(market: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    caller, now = ClearingScheduler(market), Instant(START_US, 7 * MINUTE_US)
    monkeypatch.setattr(caller, "_instant", lambda: now)
    every = CycleRow("m", "every", MINUTE_US, None, "")
    caller._settings.rows = {"m": every, "n": CycleRow("n", "asked", None, None, "")}
    cadence = Cadence("m", every.cycle, now, Watermark(0, 0))
    cadence.calls, cadence.skipped, cadence.missed, cadence.failures, cadence.late_us_max = 1, 2, 3, 4, 5_250_000
    caller._schedules["m"] = MarketSchedule(cadence, last_called_at=at(START_US - 1), last_error="Unavailable: away")
    one, other = caller.statuses()
    assert one == caller.status("m")
    assert one == CycleStatus(
        market_id="m",
        mode="every",
        period=timedelta(minutes=1),
        last_called_at=at(START_US - 1),
        next_at=at(START_US),
        calls=1,
        skipped=2,
        missed=3,
        failures=4,
        late_s_max=5.25,
        last_error="Unavailable: away",
    )
    assert other == caller.status("n") == CycleStatus("n", "asked", None, None, None, 0, 0, 0, 0, 0.0, "")
    with pytest.raises(NotFound, match="market_id: expected an open market, got 'o'"):
        caller.status("o")
    # Whoever leads no longer does not know when it is called next.
    market.close()
    assert caller.status("m").next_at is None
    assert caller.status("m").calls == 1


@awaited
async def test_a_market_that_is_gone_is_called_no_more(market: Exchange) -> None:
    """And one whose setting has changed goes on by the new one, with its counts."""
    caller = ClearingScheduler(market)
    furnish(market, "a")
    instant = caller._instant()
    caller._settings.rows = {name: CycleRow(name, "on_offer", None, None, "") for name in ("m", "gone")}
    caller._keep_up(instant)
    caller._schedules["m"].cadence.calls = 5
    caller._settings.rows = {"m": CycleRow("m", "every", MINUTE_US, None, "")}
    caller._keep_up(instant)
    assert {name: (one.cadence.cycle.mode, one.cadence.calls) for name, one in caller._schedules.items()} == {
        "m": ("every", 5)
    }


@awaited
async def test_where_nobody_can_say_what_time_it_is_nothing_is_due(
    market: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that has leapt, years of cycles would be missed, or the last one called again."""
    fault, looks, steps = "the clock has leapt", 0, 0
    monkeypatch.setattr(type(market.node.time), "fault", property(lambda _: fault))

    async def waited(_: asyncio.Event, wait_s: float) -> None:
        nonlocal looks
        looks += 1
        assert 0 < wait_s <= LOOK_S
        await asyncio.sleep(0)

    async with ClearingScheduler(market) as caller:
        step = caller._step

        def stepped() -> float:
            nonlocal steps
            steps += 1
            return step()

        monkeypatch.setattr(caller, "_step", stepped)
        monkeypatch.setattr("callmarket.bridge.scheduler.clearing.passed_or_set", waited)
        await until(lambda: looks > 10)
        assert steps == 0
        fault = ""
        await until(lambda: steps > 1)
