"""The single writer: stamps requests, applies them, and hands each sealed row to the journal.

Rule of this file: one order. The holder of the lock is the sequencer; callers do their own work under it, so there is
no inbox to wait in and no thread to wake. What was applied is journaled, or nothing is ever applied again.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from callmarket.bridge.api.clock import Clock
from callmarket.bridge.api.errors import RETRY_AFTER_S, Invalid, Unavailable
from callmarket.bridge.api.messages import Request
from callmarket.engine.codec import SealedRow, seal
from callmarket.engine.commands import Entry
from callmarket.engine.core import Engine
from callmarket.engine.events import Events, Repeated
from callmarket.engine.limits import AT_US_MAX
from callmarket.engine.state import State
from callmarket.persistence.recovery import collector_off
from callmarket.persistence.writer.write_behind import WriteBehind

# One batch holds the lock for some milliseconds; everyone else waits that long.
REQUESTS_PER_BATCH_MAX: Final = 1_000
# A caller's clock may be a little fast. More would push the market's time, which never runs back, ahead for everyone.
CLOCK_AHEAD_US_MAX: Final = 1_000_000


T = TypeVar("T")


class Applied(Struct, frozen=True):
    """What a request caused, before it is known to be durable. `journal_seq` is the row to wait for.

    Without events it was done long ago, as row `seq`, so that only the journal still knows what it caused.
    """

    journal_seq: int
    seq: int
    at_us: int
    events: Events
    repeated: bool


def last_row(applied: Sequence[Applied]) -> int:
    """The row with which all that was applied together is durable: it may be committed in several transactions."""
    return applied[-1].journal_seq


def rows_of(applied: Sequence[Applied]) -> range:
    """The rows of all that was applied together."""
    return range(applied[0].journal_seq, last_row(applied) + 1)


class Sequencer:
    """Orders all mutations of one shard. Safe to call from any thread."""

    def __init__(self, engine: Engine, last_digest: bytes, write_behind: WriteBehind, clock: Clock) -> None:
        """`clock` may raise `Unavailable`, while nobody can say what time it is: then nothing is taken."""
        self._engine = engine
        self._last_digest = last_digest
        self._write_behind = write_behind
        self._stamp_us = clock
        self._lock = threading.Lock()
        self._broken: BaseException | None = None
        self._stopped = False

    def submit(self, requests: Sequence[Request], *, waits: bool = False) -> list[Applied]:
        """Stamp, apply and enqueue some requests, in order and with nothing of others between them.

        A caller that `waits` calls `WriteBehind.wait` next, and writes its own rows where no other thread does.

        Raises `Invalid`, `Unavailable` or what stopped the journal; then nothing happened, for the rows of a batch are
        handed to the journal together. Does not wait for the journal.
        """
        if not 0 < len(requests) <= REQUESTS_PER_BATCH_MAX:
            raise Invalid("requests", len(requests), f"1 to {REQUESTS_PER_BATCH_MAX} requests")
        with self._lock:
            now_us = self._admit(requests)
            try:
                rows: list[SealedRow] = []
                # Nothing here makes cycles, and a collection is longer than a call; it comes when the lock is free.
                with collector_off():
                    applied = [self._apply(request, now_us, rows) for request in requests]
                self._write_behind.enqueue(*rows, wakes=not waits)
                return applied
            except BaseException as error:
                # An invariant is broken, the journal has stopped, or the thread was interrupted between two changes:
                # memory is ahead of the journal. The journal is right: a restart recovers all acknowledged rows.
                self._broken = error
                raise

    def stop(self) -> None:
        """Take nothing more: what comes next is `Unavailable`. When it returns, all that was applied is enqueued."""
        with self._lock:
            self._stopped = True

    @property
    def works(self) -> bool:
        """Whether it was not stopped in the middle of a command."""
        return self._broken is None

    @property
    def seq(self) -> int:
        """The last row that was applied. It waits for nobody."""
        return self._engine.state.seq

    def read(self, query: Callable[[State], T]) -> T:
        """The answer of a read-only query on the state, at one moment. It must be short and copy what it gives."""
        with self._lock:
            self._refuse_if_broken()
            return query(self._engine.state)

    def _admit(self, requests: Sequence[Request]) -> int:
        """The time of these requests, read once: a clock that leaps in the middle of a batch is not seen there."""
        self._refuse_if_broken()
        if self._stopped:
            raise Unavailable("nothing more is taken here", retry_after_s=RETRY_AFTER_S)
        now_us = self._stamp_us()
        if type(now_us) is not int or not 0 <= now_us <= AT_US_MAX:
            # Seconds as a float, or nanoseconds: once recorded, the market's time could never come back from there.
            raise Invalid("clock", now_us, f"whole microseconds since 1970, at most {AT_US_MAX}")
        latest_us = now_us + CLOCK_AHEAD_US_MAX
        for request in requests:
            if request.now_us is not None and request.now_us > latest_us:
                raise Invalid("now", request.now_us, f"a time not after {latest_us} (the exchange's clock and 1 s)")
        if not self._write_behind.has_room(len(requests)):
            cause = self._write_behind.congestion()
            raise Unavailable(f"the journal is behind and its queue is full ({cause}): try again", retry_after_s=1.0)
        return now_us

    def _apply(self, request: Request, now_us: int, rows: list[SealedRow]) -> Applied:
        """Apply one request and add its row."""
        state = self._engine.state
        at_us = max(state.at_us, request.now_us or 0, now_us)
        entry = Entry(state.seq + 1, at_us, request.actor, request.command, request.command_id)
        events = self._engine.apply(entry)
        sealed = seal(self._last_digest, entry, events)
        rows.append(sealed)
        self._last_digest = sealed.digest
        if type(events[0]) is Repeated:
            first = state.receipts.get(entry.actor, entry.command_id)
            if first is None:
                return Applied(entry.seq, events[0].first_seq, at_us, (), repeated=True)
            return Applied(entry.seq, first.seq, first.at_us, first.events, repeated=True)
        return Applied(entry.seq, entry.seq, at_us, events, repeated=False)

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise Unavailable(f"the engine stopped in the middle of a command ({self._broken!r}): restart it")
