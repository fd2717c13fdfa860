"""Hands sealed rows to the journal in the background, so that the engine never waits for the database.

Rule of this file: a journal fails closed. Rows leave in the order in which they came, batch after batch; a batch whose
outcome is unknown is first looked for, then sent again as it was; nothing is put back, skipped or reordered. What is
not durable is not acknowledged, and whatever cannot be resolved stops the writer for good.

One thread owns the connection. It takes what is there, up to a bound, so batches grow by themselves with the load: no
timer, no delay. A second thread wakes every few seconds to cut a connection that hangs.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self

from engine.codec import Sealed
from persistence.errors import Fenced, Gap, PersistenceError, Unavailable
from persistence.journal import Journal, Position
from persistence.write_limits import Limits

logger: Final = logging.getLogger(__name__)

Callback = Callable[[PersistenceError | None], None]
"""Called once: with None when the row is durable, or with the error after which it never will be for this writer."""

State = Literal["running", "retrying", "failed", "closed"]


@dataclass(frozen=True)
class Status:
    """The writer in figures, for a person."""

    state: State
    durable_seq: int
    queue_rows: int
    queue_bytes: int
    outage_s: float
    last_error: str


class WriteBehind:
    """A bounded queue before a journal, and the watermark of what is durable. Safe for many threads.

    `open_journal` makes a journal that carries the epoch that was claimed; it is called again after each failure.
    `position` is where that journal ends now. One producer enqueues; anybody may wait.
    """

    def __init__(
        self, open_journal: Callable[[], Journal], position: Position, limits: Limits | None = None, *, name: str = "0"
    ) -> None:
        """Start the threads."""
        self.limits = limits or Limits()
        self._open_journal = open_journal
        self._journal: Journal | None = None
        self._epoch = position.epoch
        # Everything below is guarded by this lock; `_wake` is for the writer's thread alone.
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._queue: deque[Sealed] = deque()
        self._queue_bytes = 0
        self._queue_rows = 0
        self._last_seq = position.last_seq
        self._durable = position
        self._callbacks: deque[tuple[int, Callback]] = deque()
        self._failure: PersistenceError | None = None
        self._closing = False
        self._closed = False
        self._attempt_since: float | None = None
        self._outage_since: float | None = None
        self._last_error = ""
        self._stop_watching = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"write-behind {name}", daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name=f"write-behind watch {name}", daemon=True)
        self._thread.start()
        self._watchdog.start()

    # --- for the producer --------------------------------------------------------------------------------------

    def has_room(self, rows: int = 1) -> bool:
        """Whether so many rows may be enqueued: ask before the engine applies a command. O(1).

        Raises the failure that stopped the writer.
        """
        with self._lock:
            self._raise_failure()
            return (
                self._queue_rows + rows <= self.limits.queue_rows_max
                and self._queue_bytes < self.limits.queue_bytes_max
            )

    def enqueue(self, *rows: Sealed) -> None:
        """Take the next rows, all or none; never waits. O(rows).

        Raises `Unavailable` when the queue is full, and the failure that stopped the writer; then no row is taken.
        After `has_room(n)` the next n rows do not find it full, whatever they carry: the engine has moved on by then,
        and a row that is not taken would be lost. So bytes are a bound for `has_room` alone.
        """
        size = sum(len(row.command_json) + len(row.events_json) for row in rows)
        with self._lock:
            self._raise_failure()
            if self._closing:
                raise PersistenceError("The journal's writer is closing: nothing more is taken.")
            if self._queue_rows + len(rows) > self.limits.queue_rows_max:
                raise Unavailable(
                    f"{self._queue_rows} rows wait for the database ({self._last_error or 'it is slow'}): "
                    "nothing more is taken until it catches up."
                )
            for seq, row in enumerate(rows, self._last_seq + 1):
                assert row.entry.seq == seq, (row.entry.seq, seq)
            self._last_seq += len(rows)
            if not self._queue:
                self._wake.notify()
            self._queue.extend(rows)
            self._queue_rows += len(rows)
            self._queue_bytes += size

    # --- for whoever waits -------------------------------------------------------------------------------------

    @property
    def durable_seq(self) -> int:
        """The last row that is on disk."""
        return self._durable.last_seq

    @property
    def durable_digest(self) -> bytes:
        """The digest of that row."""
        return self._durable.last_digest

    @property
    def failure(self) -> PersistenceError | None:
        """What stopped the writer, None while it works."""
        return self._failure

    def on_durable(self, seq: int, callback: Callback) -> None:
        """Call back once row `seq` is durable, or at once if it is, or with the error after which it never will be.

        The call comes from the writer's thread and must not block: for asyncio, hand it on by
        `loop.call_soon_threadsafe`. O(1) for seqs that are asked for in order.
        """
        with self._lock:
            failure = self._failure
            if seq > self._durable.last_seq and failure is None:
                place = len(self._callbacks)
                while place and self._callbacks[place - 1][0] > seq:
                    place -= 1
                self._callbacks.insert(place, (seq, callback))
                return
            if seq <= self._durable.last_seq:
                failure = None
        _call(callback, failure)

    def wait(self, seq: int, timeout_s: float) -> None:
        """Return when row `seq` is durable. Raises `Unavailable` after the timeout, or the failure of the writer."""
        done = threading.Event()
        outcome: list[PersistenceError | None] = []

        def finish(failure: PersistenceError | None) -> None:
            outcome.append(failure)
            done.set()

        self.on_durable(seq, finish)
        if not done.wait(timeout_s):
            raise Unavailable(f"Row {seq} is not on disk after {timeout_s} s. It may still get there: ask again.")
        failure = outcome[0]
        if failure is not None:
            raise copy(failure) from failure

    def status(self) -> Status:
        """Where it stands."""
        with self._lock:
            since = self._outage_since
            state: State = "running" if since is None else "retrying"
            if self._failure is not None:
                state = "failed"
            elif self._closed:
                state = "closed"
            return Status(
                state=state,
                durable_seq=self._durable.last_seq,
                queue_rows=self._queue_rows,
                queue_bytes=self._queue_bytes,
                outage_s=0.0 if since is None else time.monotonic() - since,
                last_error=self._last_error,
            )

    def close(self, drain_s_max: float = 30.0) -> None:
        """Write what waits, then stop. Raises `Unavailable` if that takes longer, or the failure of the writer."""
        with self._lock:
            self._closing = True
            self._wake.notify()
        self._thread.join(drain_s_max)
        if self._thread.is_alive():
            rows = self._queue_rows
            self._fail(Unavailable(f"Closed with {rows} rows not on disk; none of them was acknowledged."))
            self._interrupt()
            self._thread.join(self.limits.attempt_s_max)
        self._stop_watching.set()
        self._watchdog.join()
        with self._lock:
            self._closed = True
            self._raise_failure()

    def stop(self, failure: PersistenceError) -> None:
        """Stop for good, as if the writer had met this failure: whoever waits gets it. Again: nothing. Never waits."""
        self._fail(failure)
        self._interrupt()

    def __enter__(self) -> Self:
        """Use it as a context manager: the end of the block drains and closes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain and close; an error that is under way is not replaced by one of closing."""
        try:
            self.close()
        except PersistenceError:
            if error is None:
                raise
            logger.exception("closing the journal's writer failed too")

    # --- the writer's thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._write(batch)
                self._advance(batch)
        except PersistenceError as error:
            self._fail(error)
        except BaseException as error:
            logger.exception("the journal's writer met a bug")
            self._fail(PersistenceError(f"The journal's writer met a bug and stopped: {error!r}"))
        finally:
            self._drop_journal()

    def _take(self) -> list[Sealed]:
        """Wait for rows and take a batch; empty when there is nothing left to do. They count until they are durable."""
        with self._lock:
            while not self._queue and not self._closing and self._failure is None:
                self._wake.wait()
            batch: list[Sealed] = []
            room = self.limits.batch_bytes_max
            while self._queue and len(batch) < self.limits.batch_rows_max and room > 0 and self._failure is None:
                row = self._queue.popleft()
                room -= len(row.command_json) + len(row.events_json)
                batch.append(row)
            return batch

    def _write(self, batch: Sequence[Sealed]) -> None:
        """Send the batch until it is durable. Raises what stops the writer."""
        backoff_s = self.limits.backoff_s_min
        while True:
            # Outside the try: a failure of the whole writer is no outage to be waited out.
            with self._lock:
                self._raise_failure()
                self._attempt_since = time.monotonic()
            try:
                self._attempt(batch)
                break
            except Unavailable as error:
                self._note_outage(error)
            with self._lock:
                self._wake.wait_for(lambda: self._failure is not None, timeout=backoff_s)
            backoff_s = min(2 * backoff_s, self.limits.backoff_s_max)
        with self._lock:
            self._outage_since = None

    def _attempt(self, batch: Sequence[Sealed]) -> None:
        try:
            if self._journal is None:
                self._journal = self._open_journal()
                # What the last connection did is unknown: look before sending.
                if self._is_in(self._journal, batch):
                    return
            try:
                self._journal.append(batch)
            except Gap:
                # An earlier attempt that seemed lost may have been carried out after we looked.
                if not self._is_in(self._journal, batch):
                    raise
        except BaseException:
            self._drop_journal()
            raise
        finally:
            with self._lock:
                self._attempt_since = None

    def _is_in(self, journal: Journal, batch: Sequence[Sealed]) -> bool:
        """Whether the journal ends with this batch; False if it ends right before it. Raises `Fenced` or `Gap`."""
        position = journal.position()
        first, last = batch[0].entry.seq, batch[-1].entry.seq
        if (position.last_seq, position.last_digest) == (last, batch[-1].digest):
            return True
        if position.epoch != self._epoch:
            raise Fenced(
                f"The shard is written by epoch {position.epoch}, mine is {self._epoch}: another writer has taken "
                f"over. Whether rows {first} to {last} are in, it knows. Stop this process."
            )
        if position.last_seq != first - 1:
            raise Gap(f"The journal ends at seq {position.last_seq}, and the next batch is {first} to {last}. Recover.")
        return False

    def _note_outage(self, error: Unavailable) -> None:
        now = time.monotonic()
        with self._lock:
            self._last_error = str(error)
            first = self._outage_since is None
            since = self._outage_since = now if self._outage_since is None else self._outage_since
            rows = self._queue_rows
        if first:
            logger.warning("the database is away, %d rows wait: %s", rows, error)
        if now - since > self.limits.outage_s_max:
            raise Unavailable(
                f"The database was away for more than {self.limits.outage_s_max} s ({error}). The {rows} rows that "
                "wait were not acknowledged. Stop, repair the database, start again."
            ) from error

    def _advance(self, batch: Sequence[Sealed]) -> None:
        """Move the watermark and tell whoever waited for it, in order."""
        last = batch[-1]
        size = sum(len(row.command_json) + len(row.events_json) for row in batch)
        due: list[Callback] = []
        with self._lock:
            self._durable = Position(self._epoch, last.entry.seq, last.digest)
            self._queue_rows -= len(batch)
            self._queue_bytes -= size
            while self._callbacks and self._callbacks[0][0] <= last.entry.seq:
                due.append(self._callbacks.popleft()[1])
        for callback in due:
            _call(callback, None)

    def _drop_journal(self) -> None:
        with self._lock:
            journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()

    # --- failing -----------------------------------------------------------------------------------------------

    def _fail(self, failure: PersistenceError) -> None:
        """Stop for good: all who wait get the error, all who come get it. The first failure is the one that counts."""
        with self._lock:
            if self._failure is not None:
                return
            self._failure = failure
            self._last_error = str(failure)
            due = [callback for _, callback in self._callbacks]
            self._callbacks.clear()
            self._wake.notify()
        logger.error("the journal's writer has stopped: %s", failure)
        for callback in due:
            _call(callback, failure)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            # A copy, because one object that is raised in many threads would collect all their traces.
            raise copy(self._failure) from self._failure

    def _watch(self) -> None:
        """Cut an attempt that hangs: a frozen server or a silent network answers no time-out of its own."""
        while not self._stop_watching.wait(self.limits.attempt_s_max / 4):
            since = self._attempt_since
            if since is not None and time.monotonic() - since > self.limits.attempt_s_max:
                self._interrupt()
            if self._failure is not None:
                return

    def _interrupt(self) -> None:
        with self._lock:
            if self._journal is not None:
                self._journal.interrupt()


def _call(callback: Callback, failure: PersistenceError | None) -> None:
    try:
        callback(failure)
    except Exception:
        # One reader of the watermark must not keep the others from theirs, nor stop the journal.
        logger.exception("a callback of the journal's writer failed")
