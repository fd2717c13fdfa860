"""The judge of three clocks: what is a leap, what is none, and when it is over. Pure, by virtual time.

Method: a world with a right time, in which the machine's clock, the steady one and the database's are set as a test
likes, and the judge looks five times a second, as the heartbeat lets it.
"""

import random
from dataclasses import dataclass, field

import pytest

from callmarket.bridge.timekeeping.judge import SETTLE_US, SLEW_PPM, STOOD_STILL_US_MAX, Answer, Judge, Reading

SECOND_US = 1_000_000
BOUND_US = 5 * SECOND_US
DAY_US = 86_400 * SECOND_US
LOOK_US = 200_000
START_US = 1_800_000_000 * SECOND_US
UP_US = 77 * SECOND_US


@dataclass
class World:
    """Clocks, by how far they are off. `answer_us`: how long the database takes; None: it does not answer."""

    passed_us: int = 0
    wall_us: int = 0
    steady_us: int = 0
    database_us: int = 0
    answer_us: int | None = 1_000
    judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        self.judge = Judge(self.reading, BOUND_US)

    @property
    def reading(self) -> Reading:
        return Reading(START_US + self.passed_us + self.wall_us, UP_US + self.passed_us + self.steady_us)

    def look(self) -> None:
        if self.answer_us is not None:
            asked_us = self.reading.steady_us
            database_us = START_US + self.passed_us + self.database_us
            self.passed_us += self.answer_us
            self.judge.on_answer(Answer(asked_us, self.reading.steady_us, database_us))
        self.judge.see(self.reading)
        self.passed_us += LOOK_US

    def go_on(self, seconds: float) -> None:
        for _ in range(round(seconds * SECOND_US / LOOK_US)):
            self.look()

    @property
    def right(self) -> bool:
        return self.judge.leapt_us is None

    @property
    def believed_off_us(self) -> int:
        """By how much what is believed differs from the right time."""
        return self.judge.believed_us(self.reading.steady_us) - START_US - self.passed_us


@pytest.fixture
def world() -> World:
    made = World()
    made.go_on(2)
    assert made.right
    return made


@pytest.mark.parametrize("leap_us", [BOUND_US + 1, 3_600 * SECOND_US, 400 * DAY_US, -BOUND_US - 1, -400 * DAY_US])
def test_a_leap_is_seen_and_is_over_when_all_agree_for_a_while(world: World, leap_us: int) -> None:
    world.wall_us = leap_us
    world.look()
    assert not world.right
    world.go_on(3_600)
    assert not world.right, "no time makes it right"
    assert abs(world.believed_off_us) <= 1_000, "the steady clock goes on"
    world.wall_us = 0
    world.go_on(SETTLE_US / SECOND_US - 1)
    assert not world.right, "not at once"
    world.go_on(2)
    assert world.right
    assert world.judge.leaps == 1


def test_clocks_that_agree_only_now_and_then_are_not_believed(world: World) -> None:
    for _ in range(20):
        world.wall_us = DAY_US
        world.go_on(1)
        world.wall_us = 0
        world.go_on(3)
        assert not world.right


@pytest.mark.parametrize("step_us", [BOUND_US - 1_000, -BOUND_US + 1_000, SECOND_US, -SECOND_US, 300_000])
def test_a_step_up_to_the_bound_stops_nothing(world: World, step_us: int) -> None:
    """A leap second, an NTP step of some hundred ms."""
    world.wall_us = world.database_us = step_us
    world.go_on(600)
    assert world.right


def test_many_small_steps_are_a_leap(world: World) -> None:
    """Of two clocks that are set together, as on one machine."""
    for _ in range(10):
        world.wall_us += SECOND_US
        world.database_us += SECOND_US
        world.go_on(10)
    assert not world.right


def test_a_clock_that_is_slewed_is_followed(world: World) -> None:
    """Not as fast as that would be, and for days: NTP corrects wall and steady clock alike, this is the rest."""
    for _ in range(2_000):
        world.wall_us += LOOK_US * SLEW_PPM // 2 // 1_000_000 * 60
        world.database_us = world.wall_us
        world.passed_us += 59 * LOOK_US
        world.look()
    assert world.wall_us > 2 * BOUND_US
    assert world.right


def test_a_stopped_process_or_a_suspended_machine_is_no_leap(world: World) -> None:
    """All clocks have gone on: also where the database's is another machine's, and its answer is old."""
    world.passed_us += 3_600 * SECOND_US
    world.judge.see(world.reading)
    assert world.right
    world.go_on(1)
    assert world.right


def test_stopped_in_the_middle_of_a_question(world: World) -> None:
    """The answer is an hour old: it tells nothing against the clocks, and nothing for them."""
    world.answer_us = 3_600 * SECOND_US
    world.look()
    assert world.right
    assert world.judge.database_ahead_us(world.reading.steady_us) == 0


def test_without_the_database_the_other_two_decide(world: World) -> None:
    world.answer_us = None
    world.go_on(3_600)
    assert world.right
    world.wall_us = DAY_US
    world.look()
    assert not world.right
    world.wall_us = 0
    world.go_on(SETTLE_US / SECOND_US + 1)
    assert world.right


@pytest.mark.parametrize("leap_us", [BOUND_US + 10_000, -DAY_US, 400 * DAY_US])
def test_a_database_that_leaps_alone_is_found_and_stops_nothing(world: World, leap_us: int) -> None:
    world.database_us = leap_us
    world.look()
    assert world.right
    assert world.judge.database_is_off(world.reading.steady_us)
    seen_us = world.judge.database_ahead_us(world.reading.steady_us)
    assert seen_us is not None
    assert abs(seen_us - leap_us) <= 2_000
    world.database_us = 0
    world.look()
    assert not world.judge.database_is_off(world.reading.steady_us)


def test_after_a_leap_of_the_machine_the_database_has_to_agree_too(world: World) -> None:
    world.wall_us = world.database_us = DAY_US
    world.look()
    world.wall_us = 0
    world.go_on(60)
    assert not world.right
    world.database_us = 0
    world.go_on(SETTLE_US / SECOND_US + 1)
    assert world.right


def test_a_machine_that_stood_still_catches_up(world: World) -> None:
    """It is paused, with its clocks: the database is ahead; then its clock is set to where the database was already."""
    paused_us = 300 * SECOND_US
    world.passed_us += paused_us
    world.wall_us = world.steady_us = -paused_us
    world.go_on(30)
    assert world.right, "behind, so nothing ends too early"
    world.wall_us = 0
    world.look()
    assert not world.right
    world.go_on(SETTLE_US / SECOND_US + 1)
    assert world.right
    assert abs(world.believed_off_us) <= 1_000


def test_a_machine_that_stood_still_with_its_database_waits_for_an_operator(world: World) -> None:
    """Nothing tells it from a leap of the clock that both share."""
    world.wall_us = world.database_us = 300 * SECOND_US
    world.go_on(3_600)
    assert not world.right
    world.judge.accept(world.reading)
    world.go_on(60)
    assert world.right


def test_a_machine_that_stood_still_for_very_long_waits_for_an_operator(world: World) -> None:
    """A wrong time server sets one machine after the other: so far its clocks may not go by themselves."""
    world.database_us = STOOD_STILL_US_MAX + BOUND_US + SECOND_US
    world.go_on(30)
    world.wall_us = world.database_us
    world.go_on(3_600)
    assert not world.right


def test_a_database_that_is_slow_is_no_witness(world: World) -> None:
    world.database_us = 60 * SECOND_US
    world.go_on(10)
    world.answer_us = BOUND_US + SECOND_US
    world.wall_us = 60 * SECOND_US
    world.go_on(60)
    assert not world.right


def test_whatever_the_clocks_do_what_is_believed_runs_evenly(seed: int) -> None:
    """While the machine's clock is right but for leaps that are taken back, and the database is anything."""
    rng = random.Random(seed)
    for _ in range(50):
        world = World()
        for _ in range(rng.randrange(1, 40)):
            world.wall_us = rng.choice((0, 0, rng.randrange(-400 * DAY_US, 400 * DAY_US)))
            # Another machine's: it does not go where ours goes.
            world.database_us = rng.choice((0, 0, 0, -rng.randrange(1, 400 * DAY_US)))
            world.answer_us = rng.choice((None, 1_000, 300_000, 7 * SECOND_US))
            world.passed_us += rng.choice((0, 0, rng.randrange(3_600 * SECOND_US)))
            world.look()
            world.go_on(rng.random() * 10)
            slewed_us = BOUND_US + world.passed_us * SLEW_PPM // 1_000_000
            assert abs(world.believed_off_us) <= min(slewed_us, BOUND_US * 2)
            if world.right:
                assert abs(world.judge.ahead_us(world.reading)) <= BOUND_US
