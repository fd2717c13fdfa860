"""Decides whether the machine's clock is right, by a clock that nobody sets and by the database's.

Rule of this file: pure. It is told what clocks said, and when by the steady one; whole microseconds. Two of three
clocks that agree are believed; the machine's own, once it has leapt, only where all agree again, or somebody says so.

What happens: NTP slews wall and steady clock alike. A stopped process, a suspended machine and a slow thread see both
go on. A leap second, or any step up to the bound, is taken over slowly (`SLEW_PPM`), so that many small steps are a
leap too. A virtual machine that stood still has both clocks behind, and catches up by a step: that is believed where
the database was there already.
"""

from typing import Final, NamedTuple

# The machine's clock may drift this fast, of a second, without being called a leap: twice what NTP slews at most.
SLEW_PPM: Final = 1_000
# Once the clocks agree again, they have to for this long.
SETTLE_US: Final = 5_000_000
# What the database said holds for this long. It is asked several times a second.
FRESH_US: Final = 5_000_000
# A machine that stood still for longer than this does not catch up without an operator's word.
STOOD_STILL_US_MAX: Final = 600_000_000


class Reading(NamedTuple):
    """One moment by the machine's clock and by the steady one."""

    wall_us: int
    steady_us: int


class Answer(NamedTuple):
    """What the database's clock said, at some moment between two of the steady clock."""

    asked_us: int
    answered_us: int
    database_us: int

    def ahead_us(self, offset_us: int) -> int:
        """By how much the database's clock is surely ahead of the steady one and this offset; 0 where it may agree.

        It was read at some moment between: only what no such moment explains is a difference.
        """
        most, least = (self.database_us - offset_us - moment_us for moment_us in (self.asked_us, self.answered_us))
        return max(0, least) + min(0, most)


class Judge:
    """Three clocks of one process, from the moment in which they were held for right."""

    def __init__(self, reading: Reading, bound_us: int, settle_us: int = SETTLE_US) -> None:
        """Begin: the machine's clock is right at this moment."""
        self.bound_us: Final = bound_us
        self._settle_us: Final = settle_us
        # Time less uptime, as it is believed.
        self.offset_us = reading.wall_us - reading.steady_us
        self._slewed_us = reading.steady_us
        self._answer: Answer | None = None
        # The database's time less uptime, before the machine's clock leapt, where it was surely ahead of it; else None.
        self._database_offset_us: int | None = None
        self.leapt_us: int | None = None
        """The steady moment of the leap that makes the time unknown; None while the machine's clock is believed."""
        self._agreed_since_us: int | None = None
        self.leaps = 0

    def believed_us(self, steady_us: int) -> int:
        """What time it is at a moment, by what was believed last and the steady clock."""
        return self.offset_us + steady_us

    def ahead_us(self, reading: Reading) -> int:
        """By how much the machine's clock is ahead of the believed time."""
        return reading.wall_us - reading.steady_us - self.offset_us

    def database_ahead_us(self, steady_us: int) -> int | None:
        """By how much the database's clock is surely ahead; 0 where it may agree, None where it has not answered."""
        answer = self._answer
        if answer is None or steady_us - answer.answered_us > FRESH_US:
            return None
        return answer.ahead_us(self.offset_us)

    def database_is_off(self, steady_us: int) -> bool:
        """Whether the database's clock is surely not the believed time: by itself that stops nothing."""
        ahead_us = self.database_ahead_us(steady_us)
        return ahead_us is not None and abs(ahead_us) > self.bound_us

    def on_answer(self, answer: Answer) -> None:
        """The database has answered. A reading that is made after it is to be seen next."""
        self._answer = answer

    def see(self, reading: Reading) -> None:
        """Judge a reading of both clocks."""
        agrees = abs(self.ahead_us(reading)) <= self.bound_us
        if self.leapt_us is None:
            if agrees:
                self._follow(reading)
            else:
                self.leapt_us = reading.steady_us
                self.leaps += 1
            return
        off = self.database_is_off(reading.steady_us)
        if (agrees and not off) or self._caught_up(reading):
            if self._agreed_since_us is None:
                self._agreed_since_us = reading.steady_us
            if reading.steady_us - self._agreed_since_us >= self._settle_us:
                if not agrees:
                    self.offset_us = reading.wall_us - reading.steady_us
                self._believe(reading)
        else:
            self._agreed_since_us = None

    def accept(self, reading: Reading) -> None:
        """The machine's clock is right at this moment, because an operator says so."""
        self.offset_us = reading.wall_us - reading.steady_us
        self._believe(reading)

    def _believe(self, reading: Reading) -> None:
        self.leapt_us = self._agreed_since_us = None
        self._slewed_us = reading.steady_us

    def _follow(self, reading: Reading) -> None:
        """Take over a small difference, slowly; and note where the database stands while all is well."""
        passed_us = reading.steady_us - self._slewed_us
        if (most_us := passed_us * SLEW_PPM // 1_000_000) > 0:
            self._slewed_us = reading.steady_us
            self.offset_us += max(-most_us, min(most_us, self.ahead_us(reading)))
        answer = self._answer
        self._database_offset_us = None
        if answer is not None:
            offset_us = answer.database_us - answer.answered_us
            if offset_us - (reading.wall_us - reading.steady_us) > self.bound_us:
                self._database_offset_us = offset_us

    def _caught_up(self, reading: Reading) -> bool:
        """Whether the machine stood still and was set to where the database has been all the time."""
        answer, before_us = self._answer, self._database_offset_us
        if answer is None or before_us is None or reading.steady_us - answer.answered_us > FRESH_US:
            return False
        database_offset_us = answer.database_us - answer.answered_us
        waited_us = answer.answered_us - answer.asked_us
        return (
            0 < self.ahead_us(reading) <= STOOD_STILL_US_MAX
            and abs(database_offset_us - before_us) <= self.bound_us
            and abs(reading.wall_us - reading.steady_us - database_offset_us) <= self.bound_us
            and waited_us <= self.bound_us
        )
