"""Where time comes from.

Rule of this file: the only reading of a clock that can reach the engine. Whole microseconds since 1970 UTC. Whether the
machine's time is believed is decided in `timekeeping`.
"""

import sys
import time
from collections.abc import Callable
from typing import Final, Protocol

Clock = Callable[[], int]
"""Returns the time in microseconds since 1970 UTC. It may leap: the market's time never runs back."""

# One that goes on while the machine is suspended, or a machine that wakes would look like one whose clock leaps. What
# `time.monotonic` reads stands still meanwhile, on Linux and on macOS.
_STEADY: Final[int] = time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC


def system_clock() -> int:
    """The machine's time."""
    return time.time_ns() // 1_000


def steady_clock() -> int:
    """How long the machine has been up, suspended or not: nobody sets this clock, and it has no meaning but to grow."""
    return time.clock_gettime_ns(_STEADY) // 1_000


class EvenClock:
    """The time that it was when this was made, and what has passed since: nobody can set it.

    For who measures long times without a database to compare with. A virtual machine that stood still leaves it behind.
    """

    def __init__(self, clock: Clock = system_clock, steady: Clock = steady_clock) -> None:
        self._steady: Final = steady
        self._offset_us: Final = clock() - steady()

    def __call__(self) -> int:
        """The time, so continued."""
        return self._offset_us + self._steady()


class TimeSource(Protocol):
    """What a market is driven by."""

    def stamp_us(self) -> int:
        """The market's time, for a row of the journal. Raises `Unavailable` while nobody can say what time it is."""

    def now_us(self) -> int:
        """The market's time as far as it is known; it goes on evenly where the machine's clock is not believed."""

    def real_us(self) -> int:
        """`now_us` without what the market's time leads by: for what is none of the market's, as the expiry of keys."""

    @property
    def fault(self) -> str:
        """Why nothing can be stamped; empty where all is well."""


class ManualClock:
    """A clock that stands still until it is set, for simulations and tests. Nothing is compared with it."""

    def __init__(self, at_us: int = 0) -> None:
        self._at_us = at_us

    def __call__(self) -> int:
        """The time it was last set to."""
        return self._at_us

    def set_us(self, at_us: int) -> None:
        """Set the time."""
        self._at_us = at_us


class Declared:
    """Time as a clock says it, whatever it says: of a market whose time is made."""

    fault: Final = ""

    def __init__(self, clock: Clock) -> None:
        self.stamp_us: Final = clock
        self.now_us: Final = clock
        self.real_us: Final = clock
