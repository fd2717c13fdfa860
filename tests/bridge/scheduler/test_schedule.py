"""The rhythm of one market, with clocks that the test moves: on the grid, once per cycle, whatever the clocks do.

Method: two virtual clocks. One only goes forward, by the random delays of a busy process; the other is the first and an
offset, which jumps as NTP, people and a suspended machine make it jump.
"""

import random

import pytest

from callmarket.bridge.scheduler import schedule
from callmarket.bridge.scheduler.schedule import Cadence, Instant, Probe, Watermark
from callmarket.persistence.stores.market_cycles import PERIOD_US_MAX, PERIOD_US_MIN, Cycle

START_US = 1_800_000_000_000_000
SECOND_US = 1_000_000
NOTHING = Probe(0, 0, sells=False, changes=False, offered=False, called=False, watermark=Watermark(1, START_US))
SALE = Probe(1, 1, sells=True, changes=True, offered=False, called=False, watermark=Watermark(1, START_US))
UNSOLD = SALE._replace(sells=False, changes=False)
OFFERED = UNSOLD._replace(offered=True)


class Clocks:
    """Both clocks, and the moment that they show."""

    def __init__(self, now_us: int = START_US, steady_us: int = 5) -> None:
        self.offset_us = now_us - steady_us
        self.steady_us = steady_us

    @property
    def instant(self) -> Instant:
        return Instant(self.steady_us + self.offset_us, self.steady_us)

    def wait(self, us: int) -> Instant:
        assert us >= 0
        self.steady_us += us
        return self.instant

    def wait_until(self, now_us: int) -> Instant:
        return self.wait(now_us - self.instant.now_us)


def every(period_us: int, clocks: Clocks) -> Cadence:
    return Cadence("m", Cycle("every", period_us), clocks.instant, Watermark(0, clocks.instant.now_us))


def on_offer(clocks: Clocks) -> Cadence:
    return Cadence("m", Cycle("on_offer"), clocks.instant, Watermark(0, clocks.instant.now_us))


def call_if_due(cadence: Cadence, instant: Instant, probe: Probe = SALE) -> bool:
    """Whether the market is called now."""
    if not cadence.is_due(instant) or cadence.decide(instant, probe) != "call":
        return False
    cadence.called(instant, probe)
    return True


def a_period(rng: random.Random) -> int:
    return rng.choice([PERIOD_US_MIN, PERIOD_US_MIN + 1, SECOND_US, 60 * SECOND_US, PERIOD_US_MAX, 333_333])


def test_each_cycle_is_called_once_and_on_the_grid(seed: int) -> None:
    """Whatever the delays below half a period: as many calls as multiples have passed, each late by its delay alone."""
    rng = random.Random(seed)
    for _ in range(50):
        period_us = a_period(rng)
        clocks = Clocks(START_US + rng.randrange(10 * period_us), rng.randrange(10**12))
        began_us = clocks.instant.now_us
        cadence = every(period_us, clocks)
        late_us_max = 0
        for _ in range(100):
            instant = clocks.wait((cadence.wait_us(clocks.instant) or 0) + rng.randrange(period_us // 4))
            assert call_if_due(cadence, instant)
            assert not call_if_due(cadence, instant), "twice"
            late_us_max = max(late_us_max, instant.now_us % period_us)
            passed = instant.now_us // period_us - (began_us - 1) // period_us
            assert (cadence.calls, cadence.missed) == (passed, 0)
        assert cadence.late_us_max == late_us_max < period_us // 4


def test_clocks_that_jump_make_no_burst_and_no_stall(seed: int) -> None:
    """By the clock that does not jump, half a period to two between calls, and the delays of the looks."""
    rng = random.Random(seed)
    for _ in range(50):
        period_us = a_period(rng)
        clocks = Clocks()
        cadence = every(period_us, clocks)
        look_us_max = max(period_us // 20, 1)
        last_us = clocks.steady_us
        for _ in range(2_000):
            if rng.random() < 0.1:
                sign = rng.choice([-1, 1])
                clocks.offset_us += sign * rng.choice([1, period_us // 3, period_us, 10 * period_us, 10**12])
            instant = clocks.wait(rng.randrange(look_us_max) + 1)
            gap_us = instant.steady_us - last_us
            if call_if_due(cadence, instant):
                assert cadence.calls == 1 or gap_us >= period_us // 2, "burst"
                last_us = instant.steady_us
            else:
                assert gap_us <= 2 * period_us + look_us_max, "stall"
        assert cadence.calls > 20


@pytest.mark.parametrize("back_us", [1, 100_000, SECOND_US, 3_600 * SECOND_US])
def test_clock_that_is_set_back_keeps_the_market_called_on_its_grid(back_us: int) -> None:
    clocks = Clocks()
    cadence = every(SECOND_US, clocks)
    assert call_if_due(cadence, clocks.instant)
    clocks.offset_us -= back_us
    assert not call_if_due(cadence, clocks.instant)
    for calls in range(2, 6):
        instant = clocks.wait(cadence.wait_us(clocks.instant) or 0)
        assert instant.now_us % SECOND_US == 0
        assert call_if_due(cadence, instant)
        assert cadence.calls == calls
    assert cadence.missed == 0


def test_clock_that_is_set_back_a_little_does_not_come_to_a_cycle_twice() -> None:
    """Nor does one that stands still make a process that has just begun call the cycle before."""
    clocks = Clocks()
    cadence = every(60 * SECOND_US, clocks)
    assert call_if_due(cadence, clocks.instant)
    clocks.wait(31 * SECOND_US)
    clocks.offset_us -= 31 * SECOND_US + 1
    assert cadence.next_us(clocks.instant) == START_US + 60 * SECOND_US
    clocks = Clocks(START_US + 1)
    cadence = every(60 * SECOND_US, clocks)
    for _ in range(29):
        clocks.wait(SECOND_US)
        clocks.offset_us -= SECOND_US
        assert cadence.next_us(clocks.instant) == START_US + 60 * SECOND_US
    clocks.wait(10 * SECOND_US)
    clocks.offset_us -= 10 * SECOND_US
    assert cadence.is_due(clocks.instant), "it stands still for good"


def test_missed_cycles_are_counted_and_called_once() -> None:
    clocks = Clocks()
    cadence = every(SECOND_US, clocks)
    assert call_if_due(cadence, clocks.instant)
    instant = clocks.wait(7 * SECOND_US + 300_000)
    assert call_if_due(cadence, instant)
    assert not call_if_due(cadence, clocks.wait(1_000))
    assert (cadence.calls, cadence.missed, cadence.late_us_max) == (2, 6, 300_000)
    assert cadence.next_us(clocks.instant) == START_US + 8 * SECOND_US, "back in the rhythm"


def test_missed_cycles_are_those_of_the_grid_that_nothing_was_called_in(seed: int) -> None:
    """With the process held up for any time: called and missed together are all."""
    rng = random.Random(seed)
    clocks = Clocks()
    cadence = every(SECOND_US, clocks)
    for _ in range(1_000):
        clocks.wait(rng.choice([1_000, 200_000, SECOND_US, 5_400_000]) + rng.randrange(1_000))
        if call_if_due(cadence, clocks.instant):
            passed = clocks.instant.now_us // SECOND_US - START_US // SECOND_US + 1
            assert cadence.calls + cadence.missed == passed
    assert cadence.missed > 0


def test_a_restart_keeps_the_cadence() -> None:
    """The grid is that of the clock, not of the start: whoever begins later goes on where the other would have."""
    clocks = Clocks(START_US + 123_456)
    first = every(SECOND_US, clocks)
    clocks.wait(400_000)
    second = every(SECOND_US, clocks)
    assert first.next_us(clocks.instant) == second.next_us(clocks.instant) == START_US + SECOND_US
    assert not second.is_due(clocks.instant), "the cycle that has begun belongs to whoever led then"


def test_markets_of_one_period_are_called_together(seed: int) -> None:
    rng = random.Random(seed)
    clocks = Clocks(START_US + 1)
    rhythms = []
    for _ in range(10):
        rhythms.append(every(60 * SECOND_US, clocks))
        clocks.wait(rng.randrange(5 * SECOND_US))
    assert {cadence.next_us(clocks.instant) for cadence in rhythms} == {START_US + 60 * SECOND_US}


def test_cycle_that_another_leader_has_called_is_not_called_again() -> None:
    """The id is the same in every process. Later cycles are this process's alone, even if its clock was set back."""
    clocks = Clocks()
    cadence = every(SECOND_US, clocks)
    other = every(SECOND_US, Clocks(START_US + 999_999, 77))
    assert cadence.command_id(clocks.instant) == other.command_id(Instant(START_US + 999_999, 77))
    assert cadence.command_id(clocks.instant) != cadence.command_id(Instant(START_US + SECOND_US, 0))
    assert len(cadence.command_id(clocks.instant)) <= 128
    called = SALE._replace(called=True)
    assert cadence.decide(clocks.instant, called) == "skip"
    cadence.skip(clocks.instant)
    instant = clocks.wait(SECOND_US)
    assert cadence.decide(instant, called) == "call"


def test_round_that_would_tell_nothing_is_not_recorded() -> None:
    """Nothing at all is never told; the same once; what changes, always: bids for one round lose at each call."""
    clocks = Clocks()
    cadence = every(SECOND_US, clocks)
    three_bids = NOTHING._replace(bids_open=3)
    lose = NOTHING._replace(bids_open=3, changes=True)
    told = []
    for probe in (NOTHING, three_bids, three_bids, lose, lose, three_bids, NOTHING, SALE, UNSOLD, OFFERED):
        instant = clocks.wait(cadence.wait_us(clocks.instant) or 0)
        told.append(cadence.decide(instant, probe))
        if told[-1] == "call":
            cadence.called(instant, probe)
        else:
            cadence.skip(instant)
    assert told == ["skip", "call", "skip", "call", "call", "skip", "skip", "call", "skip", "skip"]
    assert (cadence.calls, cadence.skipped, cadence.missed) == (4, 6, 0)


def test_offers_that_come_together_are_called_together() -> None:
    clocks = Clocks()
    cadence = on_offer(clocks)
    assert not call_if_due(cadence, clocks.instant, NOTHING)
    assert not call_if_due(cadence, clocks.wait(10**9), OFFERED)
    assert not call_if_due(cadence, clocks.wait(schedule.COALESCE_US - 1), OFFERED)
    assert call_if_due(cadence, clocks.wait(1), OFFERED)
    assert not call_if_due(cadence, clocks.wait(schedule.COALESCE_US), OFFERED), "a gap between two calls"
    assert not call_if_due(cadence, clocks.wait(schedule.OFFER_GAP_US), OFFERED)
    assert call_if_due(cadence, clocks.wait(schedule.COALESCE_US), OFFERED)


@pytest.mark.parametrize(
    ("probe", "called"),
    [
        (OFFERED, True),
        (SALE, True),
        (UNSOLD, False),
        (OFFERED._replace(bids_open=0), False),
        (OFFERED._replace(slots_available=0), False),
        (NOTHING._replace(bids_open=2, changes=True), False),
    ],
)
def test_slot_is_called_when_offered_and_then_when_a_bid_would_buy_it(probe: Probe, called: bool) -> None:
    clocks = Clocks()
    cadence = on_offer(clocks)
    for _ in range(20):
        if call_if_due(cadence, clocks.wait(20_000), probe):
            break
    assert (cadence.calls == 1) == called
    if called:
        assert cadence.watermark == probe.watermark


def test_a_market_that_lost_its_slots_or_bids_is_waited_for_anew() -> None:
    clocks = Clocks()
    cadence = on_offer(clocks)
    assert not call_if_due(cadence, clocks.instant, OFFERED)
    cadence.calm()
    assert not call_if_due(cadence, clocks.wait(10 * SECOND_US), OFFERED)
    assert call_if_due(cadence, clocks.wait(schedule.COALESCE_US), OFFERED)


@pytest.mark.parametrize("quiet", [NOTHING, UNSOLD, OFFERED._replace(bids_open=0)])
def test_a_withdrawn_offer_is_waited_for_anew(quiet: Probe) -> None:
    """A look that finds nothing to call ends the wait; the next offer has all of its own."""
    clocks = Clocks()
    cadence = on_offer(clocks)
    assert not call_if_due(cadence, clocks.instant, OFFERED)
    assert not call_if_due(cadence, clocks.wait(schedule.COALESCE_US // 2), quiet)
    assert not call_if_due(cadence, clocks.wait(10 * SECOND_US), OFFERED)
    assert call_if_due(cadence, clocks.wait(schedule.COALESCE_US), OFFERED)


@pytest.mark.parametrize("period_us", [PERIOD_US_MIN, 60 * SECOND_US, PERIOD_US_MAX])
def test_call_that_did_not_happen_is_made_after_pauses_that_grow(period_us: int) -> None:
    """In the same cycle, if that is long enough: a market that is called once a week does not wait for the next."""
    clocks = Clocks(START_US // period_us * period_us)
    cadence = every(period_us, clocks)
    pauses_us = []
    for _ in range(12):
        assert cadence.is_due(clocks.instant)
        cadence.failed(clocks.instant, clocks.instant, happened=False)
        pauses_us.append(cadence.wait_us(clocks.instant))
        clocks.wait(pauses_us[-1] or 0)
    assert pauses_us[:4] == [250_000, 500_000, 1_000_000, 2_000_000]
    assert pauses_us[-1] == schedule.PAUSE_US_MAX
    assert call_if_due(cadence, clocks.instant)
    assert (cadence.calls, cadence.failures, cadence.failures_in_row) == (1, 12, 0)


def test_call_that_may_have_happened_is_not_made_again_in_its_cycle() -> None:
    clocks = Clocks()
    cadence = every(60 * SECOND_US, clocks)
    begun = clocks.instant
    cadence.failed(begun, clocks.wait(31 * SECOND_US), happened=True)
    assert not cadence.is_due(clocks.wait(28 * SECOND_US))
    assert cadence.next_us(clocks.instant) == START_US + 60 * SECOND_US
    assert call_if_due(cadence, clocks.wait(SECOND_US))
    assert (cadence.calls, cadence.missed, cadence.failures) == (1, 0, 1)


def test_calls_that_may_have_happened_are_followed_by_pauses_that_grow() -> None:
    """On a short period, where the next cycle would come before the market has had time to mend."""
    clocks = Clocks()
    cadence = every(PERIOD_US_MIN, clocks)
    for number in range(12):
        begun = clocks.wait(cadence.wait_us(clocks.instant) or 0)
        assert cadence.is_due(begun)
        cadence.failed(begun, clocks.wait(1), happened=True)
        pause_us = min(schedule.PAUSE_US_MAX, schedule.PAUSE_US << number)
        assert pause_us <= (cadence.wait_us(clocks.instant) or 0) < pause_us + PERIOD_US_MIN
    assert call_if_due(cadence, clocks.wait(cadence.wait_us(clocks.instant) or 0))
    assert (cadence.failures, cadence.failures_in_row) == (12, 0)


def test_the_next_call_is_announced_where_a_clock_decides_it() -> None:
    """By the exchange's clock; after a failure it is the next try."""
    clocks = Clocks(START_US + 1)
    cadence = every(SECOND_US, clocks)
    assert cadence.announced_us(clocks.instant) == START_US + SECOND_US
    clocks.wait_until(START_US + SECOND_US)
    cadence.failed(clocks.instant, clocks.instant, happened=False)
    assert cadence.announced_us(clocks.wait(7)) == START_US + SECOND_US + schedule.PAUSE_US
    assert on_offer(clocks).announced_us(clocks.instant) is None


def test_market_that_is_called_when_asked_is_never_due() -> None:
    clocks = Clocks()
    cadence = Cadence("m", Cycle("asked"), clocks.instant, Watermark(0, 0))
    assert not cadence.is_due(clocks.wait(PERIOD_US_MAX))
    assert cadence.wait_us(clocks.instant) is None
    assert cadence.command_id(clocks.instant) == ""


def test_another_setting_holds_at_once_and_keeps_the_counts() -> None:
    clocks = Clocks()
    cadence = every(SECOND_US, clocks)
    assert call_if_due(cadence, clocks.instant)
    clocks.wait(300_000)
    cadence.change(Cycle("every", 500_000), clocks.instant)
    assert cadence.next_us(clocks.instant) == START_US + 500_000
    cadence.change(Cycle("asked"), clocks.instant)
    assert not cadence.is_due(clocks.wait(SECOND_US))
    assert cadence.calls == 1
