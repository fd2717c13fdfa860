"""Hands sealed rows to the journal in the background, so that the engine never waits for the database.

Rule of this file: threads, the clock and the connection; the decisions are made in `outbox`. What is not
durable is not acknowledged, and whatever cannot be resolved stops the writer for good.

One thread at a time owns the connection. It takes the queued rows, up to a bound, so batches grow by themselves with
the load: no timer, no delay. As a rule that is the writer's thread; but a caller that waits anyway, and finds no other
at it, writes by itself, which spares a lone caller two changes of threads. What is not plain then (no connection, an
error, rows of others) is left to the writer's thread. A second thread wakes every second to cut a connection that
hangs.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from copy import copy
from types import TracebackType
from typing import Final, Self

from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import PersistenceError, Unavailable
from callmarket.persistence.journal.protocol import Position, RowWriter
from callmarket.persistence.writer.limits import Limits
from callmarket.persistence.writer.outbox import Callback, Notices, Outbox, Step
from callmarket.persistence.writer.status import Listener, Status, status_of

logger: Final = logging.getLogger(__name__)

# A caller that waits less leaves the writing to the thread: to give up in the middle would cost the connection.
WRITES_BY_HIMSELF_S_MIN: Final = 5.0
# Between two looks whether an attempt hangs.
_WATCH_S: Final = 1.0


class WriteBehind:
    """A bounded queue before a journal, and the watermark of durable rows. Safe for many threads.

    `open_journal` makes a way to the journal with the epoch that was claimed; it is called again after each failure.
    `position` is where that journal ends now. One producer enqueues; anybody may wait.
    """

    def __init__(
        self,
        open_journal: Callable[[], RowWriter],
        position: Position,
        limits: Limits | None = None,
        *,
        keep: Callable[[int, bytes], None] | None = None,
        name: str = "0",
    ) -> None:
        """Start the threads.

        `keep` is told the last row of each batch and its digest before anybody else is; it neither waits nor raises.
        """
        self.limits = limits or Limits()
        self._open_journal = open_journal
        self._keep = keep
        self._journal: RowWriter | None = None
        # The outbox, the journal and `_closed` are guarded by this lock; `_wake` is for the writer's thread alone.
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._outbox = Outbox(position, self.limits)
        self._closed = False
        # At most one of them at a time has the connection: the thread, from the first row to the last that waits, or
        # a caller that waits for its own.
        self._thread_writes = False
        self._thread_stands_back = False
        self._waiter_writes = False
        # The deadline of a caller that writes its own rows.
        self._patience_ends_s = math.inf
        # Replaced, never changed, so that iterating needs no lock.
        self._listeners: tuple[Listener, ...] = ()
        self._stop_watching = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"write-behind {name}", daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name=f"write-behind watch {name}", daemon=True)
        self._thread.start()
        self._watchdog.start()

    # --- for the producer --------------------------------------------------------------------------------------

    def has_room(self, rows: int = 1) -> bool:
        """Whether `rows` more may be enqueued: ask before the engine applies a command. O(1).

        Raises the failure that stopped the writer.
        """
        with self._lock:
            return self._outbox.has_room(rows)

    def enqueue(self, *rows: SealedRow, wakes: bool = True) -> None:
        """Take the next rows, all or none; never waits. O(rows).

        Without `wakes`, the caller calls `wait` next, which sees to it that they are written.

        Raises `Unavailable` when the queue is full, and the failure that stopped the writer; then no row is taken.
        After `has_room(n)` the next n rows do not find it full, whatever they carry: the engine has moved on by then,
        and a row that is not taken would be lost. So bytes are a bound for `has_room` alone.
        """
        with self._lock:
            if self._outbox.enqueue(*rows) and wakes:
                self._wake.notify()

    # --- for callers that wait ---------------------------------------------------------------------------------

    @property
    def durable_seq(self) -> int:
        """The last row that is on disk."""
        return self._outbox.durable.last_seq

    @property
    def durable_digest(self) -> bytes:
        """The digest of that row."""
        return self._outbox.durable.last_digest

    @property
    def durable(self) -> Position:
        """Both, at one moment, with the epoch under which this writer writes."""
        return self._outbox.durable

    @property
    def failure(self) -> PersistenceError | None:
        """What stopped the writer, None while it works."""
        return self._outbox.failure

    def listen(self, listener: Listener) -> int:
        """Let it hear of all rows after the one that is returned, which is durable; perhaps before this returns.

        Listeners are called in the order in which they came, and before any waiter: a caller that is told that a row
        is durable finds that they have it. One call a batch, so it costs the writer nothing that could be measured.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)
            durable_seq = self._outbox.durable.last_seq
        self._tell_listeners((), (listener,))
        return durable_seq

    def on_durable(self, seq: int, callback: Callback) -> None:
        """Call back once row `seq` is durable, or at once if it is, or with the error after which it never will be.

        The writer makes the call, which must not block: for asyncio, hand it on by
        `loop.call_soon_threadsafe`. O(1) for seqs that are asked for in order.
        """
        with self._lock:
            due = self._outbox.on_durable(seq, callback)
        _notify(due)

    def wait(self, seq: int, timeout_s: float) -> None:
        """Return when row `seq` is durable. Raises `Unavailable` after the timeout, or the failure of the writer.

        It writes what waits by itself where nobody else does.
        """
        deadline_s = time.monotonic() + timeout_s
        self._write_here(seq, timeout_s)
        if seq <= self.durable_seq:
            return
        done = threading.Event()
        outcome: list[PersistenceError | None] = []

        def finish(failure: PersistenceError | None) -> None:
            outcome.append(failure)
            done.set()

        self.on_durable(seq, finish)
        if not done.wait(max(0.0, deadline_s - time.monotonic())):
            raise Unavailable(f"Row {seq} is not on disk after {timeout_s} s. It may still get there: ask again.")
        failure = outcome[0]
        if failure is not None:
            raise copy(failure) from failure

    def congestion(self) -> str:
        """Why rows wait, in words, and for how long the database has been away, if it is."""
        with self._lock:
            since = self._outbox.outage_since_s
            words = self._outbox.congestion()
        return words if since is None else f"{words}, for {time.monotonic() - since:.1f} s now"

    def status(self) -> Status:
        """The status of the writer at this moment."""
        with self._lock:
            return status_of(self._outbox, time.monotonic(), is_closed=self._closed)

    def close(self, drain_s_max: float = 30.0) -> None:
        """Write what waits, then stop. Raises `Unavailable` if that takes longer, or the failure of the writer."""
        with self._lock:
            self._outbox.close()
            self._wake.notify()
        self._thread.join(drain_s_max)
        if self._thread.is_alive():
            rows = self._outbox.queue_rows
            self.stop(Unavailable(f"Closed with {rows} rows not on disk; none of them was acknowledged."))
            self._thread.join(self.limits.attempt_s_max)
        self._stop_watching.set()
        self._watchdog.join()
        with self._lock:
            self._closed = True
            self._outbox.raise_failure()

    def stop(self, failure: PersistenceError) -> None:
        """Stop for good, as if the writer itself had failed so: waiters and later callers get the error. Never waits.

        An attempt that is under way is cut, and what became of it is for the successor to find out. The first failure
        is the one that counts, so again: nothing. For any thread.
        """
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
            while (step := self._next_step()) != "stop":
                self._do(step)
        except BaseException as error:
            logger.exception("the journal's writer met a bug")
            self._fail(PersistenceError(f"The journal's writer met a bug and stopped: {error!r}"))
        finally:
            self._drop_journal()
        failure = self._outbox.failure
        if failure is not None:
            logger.error("the journal's writer has stopped: %s", failure)

    def _next_step(self) -> Step:
        """Wait until there is something to do on the connection, or nothing will be any more."""
        with self._lock:
            while True:
                self._thread_stands_back = self._waiter_writes
                if self._waiter_writes:
                    self._wake.wait()
                    continue
                now_s = time.monotonic()
                step = self._outbox.next_step(now_s)
                self._thread_writes = step != "idle"
                if step == "idle":
                    self._wake.wait()
                elif step == "wait":
                    self._wake.wait(self._outbox.wait_s(now_s))
                else:
                    return step

    def _do(self, step: Step) -> None:
        """Look or send, and tell the outbox how it ended."""
        try:
            position = self._attempt(step)
        except PersistenceError as error:
            self._drop_journal()
            self._refused(error)
        else:
            self._attempted(position)

    def _attempt(self, step: Step) -> Position | None:
        """Look where the journal ends; or send the batch, and return None. Raises what the journal does."""
        if self._journal is None:
            self._journal = self._open_journal()
        if step == "look":
            return self._journal.position()
        self._journal.append(self._outbox.batch)
        return None

    def _attempted(self, position: Position | None) -> None:
        """Tell the outbox, all listeners and all waiters."""
        outbox = self._outbox
        rows = outbox.batch
        if self._keep is not None and (position is None or position.last_digest == rows[-1].digest):
            self._keep(rows[-1].entry.seq, rows[-1].digest)
        with self._lock:
            due = outbox.on_sent() if position is None else outbox.on_position(position)
            # The batch is done with only when it is in. A later listener has it before its beginning.
            durable = () if outbox.batch else rows
            listeners = self._listeners
        self._tell_listeners(durable, listeners)
        _notify(due)

    def _refused(self, error: PersistenceError) -> None:
        with self._lock:
            first = self._outbox.outage_since_s is None
            due = self._outbox.refused(error, time.monotonic())
            rows, away = self._outbox.queue_rows, self._outbox.outage_since_s is not None
        if first and away:
            logger.warning("the database is unavailable, %d rows wait: %s", rows, error)
        self._tell_listeners((), self._listeners)
        _notify(due)

    def _drop_journal(self) -> None:
        with self._lock:
            journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()

    # --- a waiting caller writes its own rows ------------------------------------------------------------------

    def _write_here(self, seq: int, timeout_s: float) -> None:
        """Write up to row `seq` in this thread if nobody else is at it; or see to it that somebody is."""
        writes = False
        try:
            with self._lock:
                if self._thread_writes or self._waiter_writes or seq <= self._outbox.durable.last_seq:
                    return
                if timeout_s < WRITES_BY_HIMSELF_S_MIN or self._journal is None or not self._outbox.may_send:
                    self._wake.notify()
                    return
                # In this order: a caller interrupted in between gives back what it may not have taken yet.
                writes = self._waiter_writes = True
                self._patience_ends_s = time.monotonic() + timeout_s
            while self._outbox.durable.last_seq < seq and self._outbox.may_send:
                self._send_here()
        finally:
            if writes:
                with self._lock:
                    self._patience_ends_s = math.inf
                    self._waiter_writes = False
                    # Its own row is in, or it has met what the thread is there for. For nothing it is not woken.
                    if self._thread_stands_back or self._outbox.queue_rows:
                        self._wake.notify()

    def _send_here(self) -> None:
        """One batch. If the caller is interrupted, the writer's thread finds out what became of it."""
        with self._lock:
            if self._outbox.next_step(time.monotonic()) != "send":
                return
        try:
            self._do("send")
        except Exception as error:
            logger.exception("the journal's writer met a bug")
            self._fail(PersistenceError(f"The journal's writer met a bug and stopped: {error!r}"))
        except BaseException:
            self._interrupted_here()
            raise

    def _interrupted_here(self) -> None:
        if self._outbox.batch:
            self._drop_journal()
            self._refused(Unavailable("The thread that wrote them was interrupted."))
        else:
            # They are in, and not everybody may have heard of it.
            self._fail(PersistenceError("The journal's writer was interrupted while it told what is durable."))

    # --- failing -----------------------------------------------------------------------------------------------

    def _fail(self, failure: PersistenceError) -> None:
        """Stop for good, and notify all waiters."""
        with self._lock:
            due = self._outbox.fail(failure)
            self._wake.notify()
        self._tell_listeners((), self._listeners)
        _notify(due)

    def _tell_listeners(self, rows: Sequence[SealedRow], listeners: Sequence[Listener]) -> None:
        """Bring them the rows of a batch, and the failure if there is one. What they raise is theirs."""
        failure = self._outbox.failure
        for listener in listeners:
            try:
                if rows:
                    listener.durable(rows)
                if failure is not None:
                    listener.failed(failure)
            except Exception:
                logger.exception("a listener of the journal's writer failed")

    def _watch(self) -> None:
        """Cut an attempt that hangs: a frozen server or a silent network answers no time-out of its own."""
        while not self._stop_watching.wait(min(_WATCH_S, self.limits.attempt_s_max / 4)):
            now_s = time.monotonic()
            if self._outbox.hangs(now_s) or now_s > self._patience_ends_s:
                self._interrupt()
            if self._outbox.failure is not None:
                return
            with self._lock:
                # Rows of a caller that was interrupted before it waited for them.
                if self._outbox.queue_rows:
                    self._wake.notify()

    def _interrupt(self) -> None:
        with self._lock:
            if self._journal is not None:
                self._journal.interrupt()


def _notify(due: Notices) -> None:
    for callback, failure in due:
        try:
            callback(failure)
        except Exception:
            # One reader of the watermark must not keep the others from theirs, nor stop the journal.
            logger.exception("a callback of the journal's writer failed")
