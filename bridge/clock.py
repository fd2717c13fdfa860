"""Where time comes from.

Rule of this file: the only reading of a clock that can reach the engine. Whole microseconds since 1970 UTC.
"""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns the time in microseconds since 1970 UTC. It may step back: the sequencer never does."""


def system_clock() -> int:
    """The machine's time."""
    return time.time_ns() // 1_000


class ManualClock:
    """A clock that stands still until it is set, for simulations and tests."""

    def __init__(self, at_us: int = 0) -> None:
        self._at_us = at_us

    def __call__(self) -> int:
        """The time it was last set to."""
        return self._at_us

    def set_us(self, at_us: int) -> None:
        """Set the time."""
        self._at_us = at_us
