"""Clocks, in whole microseconds since 1970 UTC.

Rule of this file: the only place where a clock is read for the engine. `timekeeping` decides whether the machine's time
is trusted.
"""

import sys
import time
from collections.abc import Callable
from typing import Final, Protocol

Clock = Callable[[], int]
"""Returns the time in microseconds since 1970 UTC. It may jump, also back; the market's time never runs back."""

# A monotonic clock that keeps running while the machine is suspended; else a machine that wakes up would look like one
# whose clock jumps. `time.monotonic` stops during a suspension, on Linux and on macOS.
_STEADY: Final[int] = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC


def system_clock() -> int:
    """The machine's wall-clock time."""
    return time.time_ns() // 1_000


def steady_clock() -> int:
    """The time since the machine started, suspensions included. Nobody can set it; only differences have a meaning."""
    return time.clock_gettime_ns(_STEADY) // 1_000


class EvenClock:
    """The wall-clock time at construction plus the steady time since; the machine's clock may be set.

    For measuring long times without a database to compare with. It falls behind while a virtual machine is paused.
    """

    def __init__(self, clock: Clock = system_clock, steady: Clock = steady_clock) -> None:
        self._steady: Final = steady
        self._offset_us: Final = clock() - steady()

    def __call__(self) -> int:
        """The time, in microseconds since 1970 UTC."""
        return self._offset_us + self._steady()


class TimeSource(Protocol):
    """The source of a market's time."""

    def stamp_us(self) -> int:
        """The market's time, for a row of the journal. Raises `Unavailable` while the clock is not trusted."""

    def now_us(self) -> int:
        """The best estimate of the market's time; it runs on evenly while the machine's clock is not trusted."""

    def real_us(self) -> int:
        """`now_us` without the lead of the market's time: for uses outside the market, such as the expiry of keys."""

    @property
    def fault(self) -> str:
        """Why no row can be stamped; empty if rows can be."""


class ManualClock:
    """A clock that stands still until it is set, for simulations and tests. It is not compared with another clock."""

    def __init__(self, at_us: int = 0) -> None:
        self._at_us = at_us

    def __call__(self) -> int:
        """The time it was last set to."""
        return self._at_us

    def set_us(self, at_us: int) -> None:
        """Set the time."""
        self._at_us = at_us


class Declared:
    """A time source that trusts its clock unconditionally: for markets whose time is simulated."""

    fault: Final = ""

    def __init__(self, clock: Clock) -> None:
        self.stamp_us: Final = clock
        self.now_us: Final = clock
        self.real_us: Final = clock
