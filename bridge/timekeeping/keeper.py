"""The time of a process that leads or stands by: reads the clocks, asks the judge, and tells of it once.

Rule of this file: a stamp is only given while the machine's clock is believed. All else that asks for the time gets
the believed time, which goes on evenly whatever the machine's clock does. Safe for any thread, and nothing here waits.
"""

import logging
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from callmarket.bridge.api.clock import Clock, steady_clock, system_clock
from callmarket.bridge.api.errors import Invalid, Unavailable
from callmarket.bridge.timekeeping import messages, opening
from callmarket.bridge.timekeeping.judge import SETTLE_US, Answer, Judge, Reading
from callmarket.engine.limits import AT_US_MAX
from callmarket.persistence.leadership.market_time import Evidence, View, Word

logger: Final = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 1.0
# A thread, or the whole process, may be stopped between two readings: then they are made again.
_READ_US_MAX: Final = 10_000
_READS_MAX: Final = 20


class Timekeeper:
    """Compares this machine's clock with the steady one and with the database's. `objection` begins it."""

    def __init__(
        self,
        bound_s: float,
        clock: Clock = system_clock,
        steady: Clock = steady_clock,
        *,
        machine: str | None = None,
        settle_us: int = SETTLE_US,
    ) -> None:
        """Nothing is compared yet, and nothing can be stamped. `bound_s`: up to which clocks agree."""
        self._bound_us: Final = int(bound_s * 1_000_000)
        self._settle_us: Final = settle_us
        self._clock: Final = clock
        self._steady: Final = steady
        self._machine: Final = machine_since_its_start() if machine is None else machine
        self._lock: Final = threading.Lock()
        self._judge: Judge | None = None
        self._objection = "the clocks have not been compared with the database's yet"
        self._lead_us = 0
        self._word_id = 0
        self._fault = self._objection
        self._told_of_fault = False
        self._database_off = False
        # Between these is the machine's clock less the steady one while it is believed; nothing is while it is not.
        self._least_us, self._most_us = 1, 0

    # --- what time it is ---------------------------------------------------------------------------------------

    def stamp_us(self) -> int:
        """The market's time. Raises `Unavailable` while the machine's clock is not believed. Two readings of clocks."""
        steady_us, wall_us = self._steady(), self._clock()
        if self._least_us <= wall_us - steady_us <= self._most_us:
            return wall_us + self._lead_us
        reading = self._read() if self._judge is None else self._look()
        if self._fault:
            raise Unavailable(self._fault, RETRY_AFTER_S)
        return reading.wall_us + self._lead_us

    def now_us(self) -> int:
        """The market's time, as it is believed."""
        return self.real_us() + self._lead_us

    def real_us(self) -> int:
        """The time, as it is believed."""
        steady_us, wall_us = self._steady(), self._clock()
        if self._least_us <= wall_us - steady_us <= self._most_us:
            return wall_us
        judge = self._judge
        if judge is None:
            return wall_us
        reading = self._look()
        return reading.wall_us if judge.leapt_us is None else judge.believed_us(reading.steady_us)

    @property
    def fault(self) -> str:
        """Why nothing can be stamped; empty if all is well."""
        return self._fault

    @property
    def lead_us(self) -> int:
        """How far the market's time is ahead of the clocks, by an operator's word."""
        return self._lead_us

    @property
    def leaps(self) -> int:
        """How often the machine's clock has leapt."""
        return 0 if self._judge is None else self._judge.leaps

    @property
    def ahead_us(self) -> int:
        """By how much the machine's clock is ahead of the believed time."""
        return 0 if self._judge is None else self._judge.ahead_us(self._read())

    @property
    def database_ahead_us(self) -> int | None:
        """By how much the database's clock is surely ahead of the believed time; None while it does not answer."""
        return None if self._judge is None else self._judge.database_ahead_us(self._steady())

    # --- what others say of it ---------------------------------------------------------------------------------

    def asking(self) -> int:
        """The moment before the database is asked, for `on_database_time`."""
        return self._steady()

    def on_database_time(self, asked_us: int, database_us: int) -> None:
        """The database's clock said this, to a question asked at that moment."""
        self._look((asked_us, database_us))

    def on_no_answer(self) -> None:
        """The database did not answer: the other two clocks decide."""
        self._look()

    def evidence(self) -> Evidence:
        """What a successor on this machine may compare its clock with."""
        steady_us, judge = self._steady(), self._judge
        time_us = self._clock() if judge is None else judge.believed_us(steady_us)
        return Evidence(self._machine, steady_us, time_us, self._fault)

    @property
    def word_id(self) -> int:
        """The latest word that was heard."""
        return self._word_id

    def on_operator_time(self, word: Word, database_us: int) -> None:
        """An operator has said what time it is: believed if this machine's clock says the same."""
        with self._lock:
            self._word_id = word.word_id
            judge, reading = self._judge, self._read()
            if judge is None:
                return
            fits = opening.vouched(word, reading, database_us, self._bound_us)
            if fits:
                judge.accept(reading)
                self._lead_us = word.lead_us
        said = messages.shown(word.time_us)
        if fits:
            lead = f"; the market's time leads by {messages.long(word.lead_us)}" if word.lead_us else ""
            logger.warning("an operator has said that it was %s: accepted%s", said, lead)
        else:
            logger.error(
                "an operator has said that it was %s, and this machine's clock says otherwise: not accepted", said
            )
        self._look()

    def objection(self, asked_us: int, view: View) -> str:
        """Why this process must not begin to lead; or empty. Raises `Invalid` for a clock that tells no time."""
        if type(wall_us := self._clock()) is not int or not 0 <= wall_us <= AT_US_MAX:
            raise Invalid("clock", wall_us, f"whole microseconds since 1970, at most {AT_US_MAX}")
        with self._lock:
            reading = self._read()
            answer = Answer(asked_us, reading.steady_us, view.database_us)
            judge = self._judge
            if judge is None:
                self._objection = opening.objection(reading, answer, view, self._machine, self._bound_us)
                if not self._objection:
                    judge = self._judge = Judge(reading, self._bound_us, self._settle_us)
                    judge.on_answer(answer)
            else:
                judge.on_answer(answer)
                judge.see(reading)
                fresh = view.word is not None and view.word.word_id > self._word_id
                if fresh and opening.vouched(view.word, reading, view.database_us, self._bound_us):
                    judge.accept(reading)
                self._objection = opening.market_ahead(reading.wall_us, view, self._bound_us)
            self._lead_us = opening.lead_of(view.word)
            self._word_id = 0 if view.word is None else view.word.word_id
        self._look()
        return self._fault

    # --- inside ------------------------------------------------------------------------------------------------

    def _read(self) -> Reading:
        """Both clocks at one moment."""
        attempts = 0
        while True:
            before_us, wall_us, after_us = self._steady(), self._clock(), self._steady()
            attempts += 1
            if after_us - before_us <= _READ_US_MAX or attempts == _READS_MAX:
                # An impossible time is a leap to 1970.
                return Reading(wall_us if type(wall_us) is int else 0, after_us)

    def _look(self, told: tuple[int, int] | None = None) -> Reading:
        """Judge this moment, and say what has changed, once."""
        with self._lock:
            answered_us = self._steady()
            # After the answer: a clock that this machine and the database share has leapt for both, or for none.
            reading = self._read()
            judge, was_off = self._judge, self._database_off
            if judge is not None:
                if told is not None:
                    judge.on_answer(Answer(told[0], answered_us, told[1]))
                judge.see(reading)
                self._database_off = judge.leapt_us is None and judge.database_is_off(reading.steady_us)
            fault = self._fault = self._words(reading)
            # In this order, so that a thread which looks in between finds the way closed.
            if judge is None or fault:
                self._most_us, self._least_us = 0, 1
            else:
                self._least_us, self._most_us = judge.offset_us - self._bound_us, judge.offset_us + self._bound_us
            is_off = self._database_off
            told_before, self._told_of_fault = self._told_of_fault, bool(fault)
            database_ahead_us = None if judge is None else judge.database_ahead_us(reading.steady_us)
        if fault and not told_before:
            logger.error("%s", fault)
        elif told_before and not fault:
            logger.warning("the time is right again, and commands are taken: it is %s", messages.shown(reading.wall_us))
        if is_off and not was_off:
            logger.error("%s", messages.database_off(database_ahead_us or 0))
        elif was_off and not is_off and not fault:
            logger.warning("the database's clock agrees again")
        return reading

    def _words(self, reading: Reading) -> str:
        judge = self._judge
        if judge is None or judge.leapt_us is None:
            return self._objection
        # What differs by less than the bound is no difference.
        ahead_us = judge.ahead_us(reading)
        believed_us = judge.believed_us(reading.steady_us) if abs(ahead_us) > self._bound_us else reading.wall_us
        return messages.leapt(reading.wall_us, believed_us)


def machine_since_its_start() -> str:
    """A name of this machine that changes with each start of it, and with another idea of its uptime; or empty."""
    if sys.platform != "linux":
        return ""
    name = ""
    with suppress(OSError):
        name = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # Containers may count uptime of their own, where the kernel lets them.
        name = f"{name} {Path('/proc/self/ns/time').readlink()}"
    return name


if TYPE_CHECKING:
    from callmarket.bridge.api.clock import TimeSource
    from callmarket.persistence.leadership.market_time import ClockWatch

    def _is_both(keeper: Timekeeper) -> tuple[TimeSource, ClockWatch]:
        """What drives a market, and what compares the clocks for it."""
        return keeper, keeper
