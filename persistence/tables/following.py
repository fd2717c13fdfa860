"""How the SQL tables follow the journal, as far as this process knows: durable rows, projected rows, waiters.

Rule of this file: decisions without waiting. Time is handed in, and its driver, a thread or the virtual time of
the simulation, is told when there is something to do. Whatever fails is tried again and seen; only a successor ends it.
How far the tables may be behind is bounded: `congestion` says when nothing more should be taken.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal

from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import Fenced, PersistenceError, Unavailable
from callmarket.persistence.journal.protocol import rows_after
from callmarket.persistence.tables.limits import TableLimits
from callmarket.persistence.tables.table_writer import TableWriter

logger: Final = logging.getLogger(__name__)

# Before a batch, where nobody waits for the next one: this many times as long as the last one took, and within
# these.
_REST: Final = 3.0
PAUSE_S: Final = 0.005
PAUSE_S_MAX: Final = 0.05
# How exactly it is known for how long a row has waited.
_NOTED_EVERY_S: Final = 0.25

State = Literal["running", "retrying", "stopped", "closed"]
"""`retrying`: the database is unavailable. `stopped`: retrying does not help until an operator mends the `fault`."""

Callback = Callable[[PersistenceError | None], None]
"""Called once: with None when the tables have the row, or with the error after which they never will from here."""


@dataclass(frozen=True)
class ProjectorStatus:
    """The tables in figures: the last row that they have (None: not known yet), and how far they are behind."""

    state: State
    seq: int | None
    lag_rows: int
    lag_s: float
    fault: str


class Following:
    """The tables of one shard, following: what is known of it, and one try after the other. Safe for many threads.

    The driver calls `step`, which is for one thread, again whenever `work_comes` was, and after
    `limits.look_s` at the latest.
    """

    def __init__(
        self, open_tables: Callable[[], TableWriter], durable_seq: int, limits: TableLimits, now_s: Callable[[], float]
    ) -> None:
        """`durable_seq` is where the journal ends; `open_tables` is called again after each failure."""
        self.limits: Final = limits
        self._now_s: Final = now_s
        self._open_tables: Final = open_tables
        self._tables: TableWriter | None = None
        # Guards all that follows.
        self._lock: Final = threading.Lock()
        self._durable_seq = durable_seq
        self._seq: int | None = None
        # When rows became durable that the tables may lack: of each some, the last row and the time, the oldest first.
        self._noted: Final[deque[tuple[int, float]]] = deque([(durable_seq, now_s())])
        # The time of the first of them, for readers without the lock.
        self._behind_since_s = self._noted[0][1]
        self._waiting: Final[dict[int, tuple[int, Callback]]] = {}
        self._numbers: Final = count()
        self._state: State = "running"
        self._fault = ""
        self._failure: PersistenceError | None = None

    # --- for the driver ------------------------------------------------------------------------------------------

    def work_comes(self) -> None:
        """There is something to do. The driver replaces it; it must not block."""

    def somebody_waits(self) -> None:
        """The pause before it is to be cut short. As `work_comes`."""

    @property
    def is_level(self) -> bool:
        """Whether the tables have all that is durable, as far as is known."""
        return self._seq is not None and self._seq >= self._durable_seq

    @property
    def is_over(self) -> bool:
        """Whether another leads, whose the tables are now."""
        return self._failure is not None

    def step(self) -> float:
        """One batch; how long to pause then."""
        began_s = self._now_s()
        try:
            if self._tables is None:
                tables = self._open_tables()
                with self._lock:
                    self._tables = tables
            progress = self._tables.project()
        except Fenced as error:
            self._failure = error
            return 0.0
        except (PersistenceError, Exception) as error:  # noqa: BLE001 -- a bug here must not be the market's end
            self._drop_tables()
            return self._failed(error)
        self._moved(progress.seq)
        if progress.more:
            self.work_comes()
        return min(PAUSE_S_MAX, max(PAUSE_S, _REST * (self._now_s() - began_s)))

    def end(self) -> None:
        """This process no longer brings them along: tell all waiters. Once, when no `step` is under way."""
        self._drop_tables()
        with self._lock:
            self._state = "closed"
            failure = self._failure or Unavailable("The market is closed here: nobody brings its tables along.")
            self._failure = failure
            due = [callback for _, callback in self._waiting.values()]
            self._waiting.clear()
        _notify(due, failure)

    # --- of the journal's writer ---------------------------------------------------------------------------------

    def durable(self, rows: Sequence[SealedRow]) -> None:
        """These rows are in the journal: see `Listener.durable`. A microsecond or two."""
        last_seq, now_s = rows[-1].entry.seq, self._now_s()
        with self._lock:
            self._durable_seq = last_seq
            noted = self._noted
            if not noted:
                self._behind_since_s = now_s
            if len(noted) > 1 and now_s - noted[-1][1] < _NOTED_EVERY_S:
                noted[-1] = (last_seq, noted[-1][1])
            else:
                noted.append((last_seq, now_s))
        self.work_comes()

    def failed(self, _failure: PersistenceError) -> None:
        """The journal's writer has stopped: see `Listener.failed`.

        Rows in the journal are brought along all the same.
        """

    # --- for callers ---------------------------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """The last row that the tables are known to have; 0 where none is known yet."""
        return self._seq or 0

    @property
    def state(self) -> State:
        """Whether the tables follow; see `State`."""
        return self._state

    def soon(self, within_s: float) -> int:
        """The row that the tables have in a moment: all that is durable, unless they are behind for longer than that.

        0 where they do not follow.
        """
        with self._lock:
            if self._state != "running" or (self._noted and self._now_s() - self._behind_since_s > within_s):
                return 0
            return self._durable_seq

    def congestion(self) -> str:
        """Why nothing more should be taken, in words; empty while the tables are not too far behind. O(1)."""
        seq, durable_seq, limits = self._seq, self._durable_seq, self.limits
        behind_s = self._now_s() - self._behind_since_s
        if seq == durable_seq or (durable_seq - (seq or 0) <= limits.lag_rows_max and behind_s <= limits.lag_s_max):
            return ""
        status = self.status()
        if status.lag_rows <= self.limits.lag_rows_max and status.lag_s <= self.limits.lag_s_max:
            return ""
        return (
            f"the SQL tables are {status.lag_rows:,} rows and {status.lag_s:.0f} s behind the journal, and nothing is "
            f"taken beyond {limits.lag_rows_max:,} rows or {limits.lag_s_max:g} s"
        )

    def status(self) -> ProjectorStatus:
        """How far the tables are, and how far behind."""
        with self._lock:
            seq, durable_seq = self._seq, self._durable_seq
            # Of tables of which nothing is known yet, only for how long.
            lag_rows = 0 if seq is None or seq >= durable_seq else rows_after(seq, durable_seq)
            lag_s = self._now_s() - self._behind_since_s if self._noted else 0.0
            return ProjectorStatus(self._state, seq, lag_rows, lag_s, self._fault)

    def on_projected(self, seq: int, callback: Callback) -> Callable[[], None]:
        """Call back once the tables have row `seq`, or at once if they do; the return value takes that back.

        The driver makes the call, which must not block. Raises `Unavailable` where too many wait. O(1),
        and O(waiting) for each batch.
        """
        with self._lock:
            if self._failure is None and self.seq < seq:
                if len(self._waiting) >= self.limits.waiting_max:
                    raise Unavailable(f"{len(self._waiting)} wait for the SQL tables already: ask again.")
                number = next(self._numbers)
                self._waiting[number] = (seq, callback)
                if self._state == "running":
                    self.somebody_waits()
                return lambda: self._forget(number)
            failure = None if self.seq >= seq else self._failure
        callback(failure)
        return lambda: None

    def behind(self, seq: int) -> Unavailable:
        """The error for a wait for row `seq` in vain."""
        return Unavailable(f"The SQL tables stand at row {self.seq} and do not have row {seq} yet: ask again.")

    # --- what comes of a try -------------------------------------------------------------------------------------

    def _moved(self, seq: int) -> None:
        with self._lock:
            was, self._state, self._fault = self._state, "running", ""
            self._seq = seq
            noted = self._noted
            while noted and noted[0][0] <= seq:
                noted.popleft()
            if noted:
                self._behind_since_s = noted[0][1]
            due = [number for number, (wanted, _) in self._waiting.items() if wanted <= seq]
            callbacks = [self._waiting.pop(number)[1] for number in due]
            is_level = seq >= self._durable_seq
        if was != "running":
            logger.warning("the SQL tables follow again, from row %d on", seq)
        if not is_level:
            # Durable since the look, or seen by its writer before by this one.
            self.work_comes()
        _notify(callbacks, None)

    def _failed(self, error: Exception) -> float:
        """Remember and tell it; how long to wait before the next try."""
        mends_itself = isinstance(error, Unavailable)
        fault = str(error) if isinstance(error, PersistenceError) else f"a bug: {error!r}"
        with self._lock:
            is_news = self._fault == "" or self._state != ("retrying" if mends_itself else "stopped")
            self._state = "retrying" if mends_itself else "stopped"
            self._fault = fault
        if is_news and mends_itself:
            logger.warning("the SQL tables are not brought along for now: %s", fault)
        elif is_news:
            known = isinstance(error, PersistenceError)
            logger.error("the SQL tables stand still at row %d: %s", self.seq, fault, exc_info=None if known else error)
        self.work_comes()
        return self.limits.retry_s if mends_itself else self.limits.stopped_retry_s

    def _drop_tables(self) -> None:
        with self._lock:
            tables, self._tables = self._tables, None
        if tables is not None:
            tables.close()

    def _forget(self, number: int) -> None:
        with self._lock:
            self._waiting.pop(number, None)


def _notify(callbacks: Sequence[Callback], failure: PersistenceError | None) -> None:
    for callback in callbacks:
        try:
            callback(failure)
        except Exception:
            # One waiter must not keep the others from being notified.
            logger.exception("a callback of the projector failed")
