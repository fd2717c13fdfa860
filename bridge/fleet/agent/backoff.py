"""When a worker waits, asks again, and ends.

Rule of this file: nothing about markets or tasks. A retry carries the same command id, so it is done once;
pauses grow, with chance in them, and are at least what the other side asks for. Once the worker is to end, everything
comes to its end after a few more tries.
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Final, TypeVar

from callmarket.bridge.api.errors import Unavailable, UnknownOutcome

T = TypeVar("T")

PAUSE_FIRST_S: Final = 0.05
PAUSE_S_MAX: Final = 10.0
# Enough to reach the longest pause.
_DOUBLINGS_MAX: Final = 20
# While it ends: five seconds of tries. The next start finds what is still open then.
_TRIES_ENDING_MAX: Final = 10
_PAUSE_ENDING_S_MAX: Final = 0.5


class Backoff:
    """Pauses that grow from one to the next."""

    def __init__(self) -> None:
        self._taken = 0

    def next_s(self, least_s: float | None = None) -> float:
        """How long to wait now, at least `least_s`."""
        grown_s: float = min(PAUSE_S_MAX, PAUSE_FIRST_S * 2**self._taken) * (0.5 + 0.5 * random.random())
        self._taken = min(self._taken + 1, _DOUBLINGS_MAX)
        return max(grown_s, least_s or 0.0)

    def reset(self) -> None:
        """All is well again: begin with a short one."""
        self._taken = 0


class StopSignal:
    """Whether a worker is to end: after what it has in hand, or at once. For many threads; never taken back."""

    def __init__(self) -> None:
        self._asked: Final = threading.Event()
        self._at_once: Final[Future[None]] = Future()
        self._lock: Final = threading.Lock()

    def ask(self, *, at_once: bool) -> None:
        """Ask it to end. Of two calls the stronger holds."""
        self._asked.set()
        with self._lock:
            if at_once and not self._at_once.done():
                self._at_once.set_result(None)

    @property
    def asked(self) -> bool:
        """Whether the worker was asked to end."""
        return self._asked.is_set()

    @property
    def at_once(self) -> bool:
        """Whether it is to end without waiting for the work in hand."""
        return self._at_once.done()

    def wait(self, seconds: float) -> bool:
        """Wait for `seconds`, or until it is to end; whether it is."""
        return self._asked.wait(seconds)

    def wait_for(self, work: Future[T]) -> bool:
        """Wait until work has ended, or the worker is to end at once; whether the work has."""
        either: tuple[Future[Any], ...] = (work, self._at_once)
        wait(either, return_when=FIRST_COMPLETED)
        return work.done()

    def retry(self, ask: Callable[[], T]) -> T:
        """Retry until there is an answer: while nobody answers, or the outcome is unknown.

        Raises what is not cured by asking again, and `Unavailable` or `UnknownOutcome` where the worker ends.
        """
        backoff, tries_ending = Backoff(), 0
        while True:
            try:
                return ask()
            except (Unavailable, UnknownOutcome) as error:
                tries_ending += self.asked
                if tries_ending > _TRIES_ENDING_MAX:
                    raise
                pause_s = backoff.next_s(error.retry_after_s if isinstance(error, Unavailable) else None)
                if self.asked:
                    time.sleep(min(pause_s, _PAUSE_ENDING_S_MAX))
                else:
                    self.wait(pause_s)
