"""Virtual time: what happens when, what has happened, and by chance of which seed.

Rule of this file: the only source of time, order and chance in a simulation. Events of one moment run in the order in
which they were asked for; every one is noted, and the digest over all notes says whether two runs were the same.
"""

import random
from collections import Counter, deque
from collections.abc import Callable
from hashlib import sha256
from heapq import heappop, heappush

# Synchronous code (a recovery, a snapshot) lets others go on while it waits; so deep may that be nested.
DEPTH_MAX = 3
# No run needs nearly so many: more is a loop that never ends.
EVENTS_MAX = 400_000
NOTES_KEPT = 60
START_US = 1_700_000_000_000_000


class Crashed(BaseException):
    """The process that runs this code is dead. Nothing may catch it but the simulator, as nothing survives a kill."""


class Escaped(BaseException):
    """What is wrong was found within code that goes on after errors. Nothing may catch it but the simulator."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Life:
    """One run of one process, from its start to its death."""

    __slots__ = ("alive", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True

    def __str__(self) -> str:
        return self.name


class World:
    """The clock, the events to come, the trace."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now_us = 0
        # What has passed beside: the world waited for deadlines that are long after its end.
        self.passed_us = 0
        self.counts: Counter[str] = Counter()
        self.notes: deque[str] = deque(maxlen=NOTES_KEPT)
        self.healing = False
        self._digest = sha256()
        self._events: list[tuple[int, int, str, Callable[[], None]]] = []
        self._scheduled = 0
        self._ran = 0
        self._depth = 0

    @property
    def right_us(self) -> int:
        """What time it is, by a clock that is never wrong."""
        return START_US + self.now_us + self.passed_us

    @property
    def now_s(self) -> float:
        """The time as the outbox wants it."""
        return self.now_us / 1_000_000

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        line = f"{self.now_us} {text}"
        self._digest.update(line.encode() + b"\n")
        self.notes.append(line)

    def digest(self) -> str:
        """The digest of the whole trace."""
        return self._digest.hexdigest()

    def occurred(self, what: str) -> None:
        """Note a fault or a rare thing, and count it."""
        self.counts[what] += 1
        self.note(what)

    def chance(self, probability: float) -> bool:
        """Whether something with this probability happens now; nothing does while the world heals."""
        return not self.healing and probability > 0 and self.rng.random() < probability

    def between(self, ends: tuple[int, int]) -> int:
        """A number between these."""
        return self.rng.randint(*ends)

    def after(self, delay_us: int, what: str, action: Callable[[], None]) -> None:
        """Do something later."""
        self._scheduled += 1
        heappush(self._events, (self.now_us + delay_us, self._scheduled, what, action))

    def run_until(self, until_us: int, done: Callable[[], bool] = lambda: False) -> bool:
        """Run what is due up to a time, or until it is done. Says whether it is."""
        while not done():
            if not self._events or self._events[0][0] > until_us:
                self.now_us = max(self.now_us, until_us)
                return done()
            at_us, _, what, action = heappop(self._events)
            self.now_us = max(self.now_us, at_us)
            self._ran += 1
            assert self._ran < EVENTS_MAX, "the world does not come to rest"
            if what:
                self.note(what)
            action()
        return True

    def stop(self) -> None:
        """Nothing more happens: what is still on its way, as a doubled request, stays there."""
        self._events.clear()

    def pause(self, life: Life, delay_us: int) -> None:
        """Let others go on, from within synchronous code of this process. Raises `Crashed` if it did not live on."""
        if self._depth < DEPTH_MAX:
            self._depth += 1
            try:
                self.run_until(self.now_us + delay_us)
            except Exception as error:
                # None of this process's own errors.
                raise Escaped(error) from error
            finally:
                self._depth -= 1
        if not life.alive:
            raise Crashed
