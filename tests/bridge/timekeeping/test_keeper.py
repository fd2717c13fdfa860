"""The time of a process: who gets a stamp, what others get, and what is said of it; with clocks that a test sets."""

import logging
from typing import Any

import pytest

from callmarket.bridge.api.errors import Invalid, Unavailable
from callmarket.bridge.timekeeping import opening
from callmarket.bridge.timekeeping.keeper import Timekeeper, machine_since_its_start
from callmarket.engine.limits import AT_US_MAX
from callmarket.persistence.leadership.market_time import Evidence, View, Word

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
NOW_US = 1_800_000_000 * SECOND_US
UP_US = 1_000 * SECOND_US
BOUND_S = 5.0


class Clocks:
    """Three clocks that stand still."""

    def __init__(self) -> None:
        self.wall_us: Any = NOW_US
        self.steady_us = UP_US
        # Time that passes when a clock is read.
        self.stops_us: list[int] = []

    def wall(self) -> int:
        if self.stops_us:
            stop_us = self.stops_us.pop()
            before_us = self.wall_us
            self.wall_us += stop_us
            self.steady_us += stop_us
            return before_us
        return self.wall_us

    def pass_by(self, us: int) -> None:
        self.wall_us += us
        self.steady_us += us


def view(database_us: int = NOW_US, **known: Any) -> View:
    return View(**({"database_us": database_us, "last_us": 0, "holding": True, "evidence": None, "word": None} | known))


def keeper_of(clocks: Clocks, *, settle_us: int = SECOND_US) -> Timekeeper:
    return Timekeeper(BOUND_S, clocks.wall, lambda: clocks.steady_us, machine="here", settle_us=settle_us)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def keeper(clocks: Clocks) -> Timekeeper:
    made = keeper_of(clocks)
    assert made.objection(UP_US, view()) == ""
    return made


def test_nothing_is_stamped_before_clocks_were_compared(clocks: Clocks, caplog: pytest.LogCaptureFixture) -> None:
    """That is no news: nothing is logged of it."""
    keeper = keeper_of(clocks)
    with pytest.raises(Unavailable, match="not been compared"):
        keeper.stamp_us()
    assert keeper.now_us() == NOW_US
    assert keeper.objection(UP_US, view()) == ""
    assert keeper.stamp_us() == NOW_US
    assert caplog.records == []


def test_a_leap_is_refused_at_the_first_stamp(keeper: Timekeeper, clocks: Clocks) -> None:
    assert keeper.stamp_us() == NOW_US
    clocks.wall_us += DAY_US
    with pytest.raises(Unavailable, match="1 day, 0:00:00 ahead of the time that has passed") as caught:
        keeper.stamp_us()
    assert caught.value.retry_after_s == 1.0
    clocks.pass_by(SECOND_US)
    assert keeper.now_us() == keeper.real_us() == NOW_US + SECOND_US, "what is believed goes on"
    assert keeper.fault


def test_each_change_of_the_clocks_fault_is_logged_once(
    keeper: Timekeeper, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    clocks.wall_us -= DAY_US
    for _ in range(10):
        keeper.on_no_answer()
        keeper.now_us()
    clocks.wall_us += DAY_US
    for _ in range(10):
        clocks.pass_by(SECOND_US)
        keeper.on_no_answer()
    assert keeper.stamp_us() == NOW_US + 10 * SECOND_US
    keeper.on_database_time(clocks.steady_us, clocks.wall_us + DAY_US)
    keeper.on_database_time(clocks.steady_us, clocks.wall_us + DAY_US)
    assert keeper.stamp_us(), "the database alone is wrong"
    keeper.on_database_time(clocks.steady_us, clocks.wall_us)
    told = [record.getMessage() for record in caplog.records]
    for words, line in zip(
        ("the clock has leapt", "the time is right again", "database's clock is 1 day", "clock agrees again"),
        told,
        strict=True,
    ):
        assert words in line


def test_a_process_that_is_stopped_between_two_readings_has_not_leapt(keeper: Timekeeper, clocks: Clocks) -> None:
    """SIGSTOP for an hour, after the machine's clock was read and before its time is used, or between two clocks."""
    clocks.stops_us = [3_600 * SECOND_US]
    keeper.on_no_answer()
    assert not keeper.fault
    clocks.stops_us = [3_600 * SECOND_US] * 3
    assert keeper.stamp_us() >= NOW_US
    assert not keeper.fault


@pytest.mark.parametrize("wrong", [None, 1.8e15, "now", -1, AT_US_MAX + 1])
def test_a_clock_that_tells_no_time_is_refused(clocks: Clocks, wrong: Any) -> None:
    clocks.wall_us = wrong
    with pytest.raises(Invalid, match="clock: expected whole microseconds since 1970"):
        keeper_of(clocks).objection(UP_US, view())


@pytest.mark.parametrize("wrong", [None, "now", -1])
def test_a_clock_that_tells_no_time_any_more_has_leapt(keeper: Timekeeper, clocks: Clocks, wrong: Any) -> None:
    clocks.wall_us = wrong
    keeper.on_no_answer()
    assert "leapt" in keeper.fault


def test_a_word_is_believed_where_the_clock_says_the_same(keeper: Timekeeper, clocks: Clocks) -> None:
    clocks.wall_us += DAY_US
    keeper.on_no_answer()
    keeper.on_operator_time(Word(7, NOW_US, NOW_US, 0), NOW_US)
    assert keeper.fault, "this machine's clock says another day"
    keeper.on_operator_time(Word(8, NOW_US, clocks.wall_us, 0), NOW_US)
    assert not keeper.fault
    assert (keeper.stamp_us(), keeper.word_id) == (clocks.wall_us, 8)


def test_the_market_leads_by_a_word(clocks: Clocks) -> None:
    """What the market is stamped with, and shown; keys are not, for their time is that of people."""
    ahead_us = 30 * 365 * DAY_US
    stands = view(last_us=NOW_US + ahead_us)
    keeper = keeper_of(clocks)
    objection = keeper.objection(UP_US, stands)
    assert "the market's time stands at 2057" in objection
    assert "callmarket clock" in objection
    with pytest.raises(Unavailable):
        keeper.stamp_us()
    assert keeper.objection(UP_US, stands._replace(word=Word(1, NOW_US, NOW_US, ahead_us))) == ""
    assert keeper.stamp_us() == keeper.now_us() == NOW_US + ahead_us
    assert keeper.real_us() == NOW_US


def test_the_time_that_a_leader_left_as_evidence_goes_on_evenly(keeper: Timekeeper, clocks: Clocks) -> None:
    clocks.pass_by(SECOND_US)
    assert keeper.evidence() == Evidence("here", UP_US + SECOND_US, NOW_US + SECOND_US, "")
    clocks.wall_us += DAY_US
    keeper.on_no_answer()
    left = keeper.evidence()
    assert left[:3] == ("here", UP_US + SECOND_US, NOW_US + SECOND_US)
    assert "leapt" in left.fault


def test_the_machine_is_identified_since_its_last_start() -> None:
    assert machine_since_its_start() == machine_since_its_start() != ""


# --- who may begin to lead -----------------------------------------------------------------------------------------

HERE = Evidence("here", UP_US - SECOND_US, NOW_US - SECOND_US, "")
ELSEWHERE = HERE._replace(machine="elsewhere", uptime_us=3)
BOUND_US = int(BOUND_S * SECOND_US)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (view(), ""),
        (view(last_us=NOW_US - 5, evidence=HERE), ""),
        (view(database_us=NOW_US + BOUND_US), ""),
        (view(database_us=NOW_US + BOUND_US + 1), "behind the database's"),
        (view(database_us=NOW_US - BOUND_US - 1), "ahead of the database's"),
        (view(evidence=HERE._replace(time_us=NOW_US - DAY_US)), "1 day, 0:00:00 ahead of|23:59:59 ahead of"),
        (view(evidence=HERE._replace(time_us=NOW_US + DAY_US)), "since the last leader renewed"),
        (view(evidence=ELSEWHERE._replace(time_us=NOW_US - DAY_US)), ""),
        (view(evidence=ELSEWHERE._replace(time_us=NOW_US + DAY_US)), "behind the last leader's time"),
        (view(last_us=NOW_US + BOUND_US), ""),
        (view(last_us=NOW_US + BOUND_US + 1), "the market's time stands at"),
        (view(last_us=NOW_US - 30 * DAY_US), ""),
        (view(last_us=NOW_US - 32 * DAY_US), "was last led 32 days"),
        (view(last_us=NOW_US - 32 * DAY_US, holding=False), ""),
        (view(last_us=NOW_US - 32 * DAY_US, evidence=ELSEWHERE), ""),
    ],
)
def test_the_evidence_decides_whether_a_process_may_begin_to_lead(clocks: Clocks, seen: View, words: str) -> None:
    objection = keeper_of(clocks).objection(UP_US, seen)
    assert bool(objection) == bool(words), objection
    assert not words or any(one in objection for one in words.split("|")), objection


@pytest.mark.parametrize(
    "seen",
    [
        view(database_us=NOW_US + DAY_US),
        view(evidence=HERE._replace(time_us=NOW_US - DAY_US)),
        view(evidence=ELSEWHERE._replace(time_us=NOW_US + DAY_US)),
        view(last_us=NOW_US - 32 * DAY_US),
    ],
)
def test_a_word_answers_each_objection_for_a_while(clocks: Clocks, seen: View) -> None:
    word = Word(1, seen.database_us, NOW_US, 0)
    for wrong in (
        word._replace(time_us=NOW_US + BOUND_US + 1),
        word._replace(said_us=seen.database_us - opening.WORD_US_MAX - 1, time_us=NOW_US - opening.WORD_US_MAX - 1),
        word._replace(said_us=seen.database_us + 1),
    ):
        assert keeper_of(clocks).objection(UP_US, seen._replace(word=wrong))
    assert keeper_of(clocks).objection(UP_US, seen._replace(word=word)) == ""
    earlier = word._replace(said_us=word.said_us - 60 * SECOND_US, time_us=NOW_US - 60 * SECOND_US)
    assert keeper_of(clocks).objection(UP_US, seen._replace(word=earlier)) == ""


def test_a_database_that_took_long_to_answer_is_not_held_to_the_moment(clocks: Clocks) -> None:
    assert keeper_of(clocks).objection(UP_US - 60 * SECOND_US, view(database_us=NOW_US - 59 * SECOND_US)) == ""


def test_a_standby_that_knows_the_time_leads_beside_a_database_that_does_not(keeper: Timekeeper) -> None:
    assert keeper.objection(UP_US, view(database_us=NOW_US + DAY_US)) == ""
