"""What the background writer decides: which rows go next, what a failure means, which waiters are notified.

Rule of this file: decisions only. No thread, no clock, no connection: times and outcomes are handed in, and what is due
is handed back, so that a simulation drives the very code that runs in production (`tests/simulation`). A journal fails
closed: rows leave in the order in which they came; a batch whose outcome is unknown is first looked for, then sent
again as it was; nothing is put back, skipped or reordered.

The driver asks `next_step`, does that, and reports the outcome: `on_sent`, `on_position` or `refused`. After any error
the connection is of no more use, and the next step is to look, on a new one.
"""

from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import Final, Literal

from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import Fenced, Gap, PersistenceError, Unavailable
from callmarket.persistence.journal.protocol import Position, went_back
from callmarket.persistence.writer.limits import Limits

Callback = Callable[[PersistenceError | None], None]
"""Called once: with None when the row is durable, or with the error after which it never will be for this writer."""

Notices = Sequence[tuple[Callback, PersistenceError | None]]
"""Callbacks that are due, in order, each with what it is to be told. Call them outside of every lock."""

Step = Literal["look", "send", "wait", "idle", "stop"]
"""Look where the journal ends; append `batch`; wait for `wait_s`; wait for rows; there is nothing left to do."""


class Outbox:
    """The queue before a journal, the batch that is under way, and the watermark of durable rows. Not for threads.

    Times are seconds of a clock that never runs back. `durable` is where the journal ended when this writer began, and
    from then on the last row that it knows to be in.
    """

    def __init__(self, position: Position, limits: Limits) -> None:
        """Begin after this row, under its epoch, with nothing to do."""
        self.limits: Final = limits
        self.durable = position
        # Taken from the queue, and its fate is not known yet. Empty: none is under way.
        self.batch: Sequence[SealedRow] = ()
        # What waits, with the batch that is under way: rows count until they are durable.
        self.queue_rows = 0
        self.queue_bytes = 0
        self.failure: PersistenceError | None = None
        self.last_error = ""
        self.outage_since_s: float | None = None
        self.attempt_since_s: float | None = None
        self._queue: deque[SealedRow] = deque()
        self._last_seq = position.last_seq
        self._callbacks: deque[tuple[int, Callback]] = deque()
        self._closing = False
        # Whether the journal was seen to end right before the batch, or with the one before it, on this connection.
        self._end_is_known = False
        # That the fence named a gap, and it has yet to be seen whether an earlier attempt of ours made it.
        self._gap: Gap | None = None
        self._backoff_s = limits.backoff_s_min
        self._retry_at_s: float | None = None

    # --- for the producer --------------------------------------------------------------------------------------

    def has_room(self, rows: int = 1) -> bool:
        """Whether `rows` more may be enqueued. Raises the failure that stopped the writer. O(1)."""
        self.raise_failure()
        return self.queue_rows + rows <= self.limits.queue_rows_max and self.queue_bytes < self.limits.queue_bytes_max

    @property
    def oldest_at_us(self) -> int | None:
        """The time of the first row that is not known to be durable, None if all are."""
        first = self.batch or self._queue
        return first[0].entry.at_us if first else None

    def congestion(self) -> str:
        """Why rows wait: slow, or unavailable."""
        return "the database is slow" if self.outage_since_s is None else "the database is unavailable"

    def enqueue(self, *rows: SealedRow) -> bool:
        """Take the next rows, all or none; say whether the queue was empty, so that its reader wants waking. O(rows).

        Raises `Unavailable` when it is full, and the failure that stopped the writer; then no row is taken. After
        `has_room(n)` the next n rows do not find it full, whatever they carry: the engine has moved on by then, and a
        row that is not taken would be lost. So bytes are a bound for `has_room` alone.
        """
        self.raise_failure()
        if self._closing:
            raise PersistenceError("The journal's writer is closing: nothing more is taken.")
        if self.queue_rows + len(rows) > self.limits.queue_rows_max:
            raise Unavailable(
                f"{self.queue_rows} rows wait for the database ({self.last_error or 'it is slow'}): "
                "nothing more is taken until it catches up."
            )
        for seq, row in enumerate(rows, self._last_seq + 1):
            assert row.entry.seq == seq, (row.entry.seq, seq)
        was_empty = not self._queue
        self._last_seq += len(rows)
        self._queue.extend(rows)
        self.queue_rows += len(rows)
        self.queue_bytes += _bytes(rows)
        return was_empty

    def close(self) -> None:
        """Take nothing more; once what waits is written, the next step is to stop."""
        self._closing = True

    # --- for callers that wait ---------------------------------------------------------------------------------

    def on_durable(self, seq: int, callback: Callback) -> Notices:
        """Give notice once row `seq` is durable, or never will be; at once if that is known. O(1) for seqs in order."""
        if seq <= self.durable.last_seq:
            return [(callback, None)]
        if self.failure is not None:
            return [(callback, self.failure)]
        place = len(self._callbacks)
        while place and self._callbacks[place - 1][0] > seq:
            place -= 1
        self._callbacks.insert(place, (seq, callback))
        return []

    def raise_failure(self) -> None:
        """Raise what stopped the writer, if anything did."""
        if self.failure is not None:
            # A copy, because one object that is raised in many threads would collect all their traces.
            raise copy(self.failure) from self.failure

    # --- for the owner of the connection -----------------------------------------------------------------------

    def next_step(self, now_s: float) -> Step:
        """What to do now. It takes the next batch where there is none, and starts the time of an attempt."""
        if self.failure is not None:
            return "stop"
        if not self.batch:
            self.batch = self._take()
        if not self.batch:
            return "stop" if self._closing else "idle"
        if self._retry_at_s is not None and now_s < self._retry_at_s:
            return "wait"
        self._retry_at_s = None
        if self.attempt_since_s is None:
            self.attempt_since_s = now_s
        return "send" if self._end_is_known else "look"

    @property
    def may_send(self) -> bool:
        """Whether all is plain: rows wait, where they go is known, and nothing is to be looked at or waited for."""
        return self._end_is_known and self.failure is None and bool(self.batch or self._queue)

    def wait_s(self, now_s: float) -> float:
        """How long to wait before the next attempt."""
        return 0.0 if self._retry_at_s is None else max(0.0, self._retry_at_s - now_s)

    def hangs(self, now_s: float) -> bool:
        """Whether the attempt under way has taken too long and is to be cut."""
        return self.attempt_since_s is not None and now_s - self.attempt_since_s > self.limits.attempt_s_max

    def on_sent(self) -> Notices:
        """The journal has confirmed the batch: move the watermark and notify its waiters, in order."""
        last = self.batch[-1]
        self.durable = Position(self.durable.epoch, last.entry.seq, last.digest)
        self.queue_rows -= len(self.batch)
        self.queue_bytes -= _bytes(self.batch)
        self.batch = ()
        self._end_is_known = True
        self._gap = None
        self.attempt_since_s = self.outage_since_s = None
        self._backoff_s = self.limits.backoff_s_min
        due: list[tuple[Callback, None]] = []
        while self._callbacks and self._callbacks[0][0] <= last.entry.seq:
            due.append((self._callbacks.popleft()[1], None))
        return due

    def on_position(self, position: Position) -> Notices:
        """The journal ends here: with the batch, which is durable then, or right before it, and it may be sent."""
        first, last = self.batch[0].entry.seq, self.batch[-1].entry.seq
        if (position.last_seq, position.last_digest) == (last, self.batch[-1].digest):
            return self.on_sent()
        if loss := went_back(self.durable, position.last_seq, position.last_digest):
            return self.fail(loss)
        if position.epoch != self.durable.epoch:
            return self.fail(
                Fenced(
                    f"The shard is written by epoch {position.epoch}, mine is {self.durable.epoch}: another writer has "
                    f"taken over. Whether rows {first} to {last} are in, it knows. Stop this process."
                )
            )
        if position.last_seq != first - 1:
            seqs = f"the next batch is {first} to {last}"
            return self.fail(Gap(f"The journal ends at seq {position.last_seq}, and {seqs}. Recover."))
        if self._gap is not None:
            return self.fail(self._gap)
        self._end_is_known = True
        return []

    def refused(self, error: PersistenceError, now_s: float) -> Notices:
        """The step has failed, and what it did is unknown. `Unavailable` is waited out, and a `Gap` looked at."""
        self._end_is_known = False
        self.attempt_since_s = None
        if self.failure is not None:
            return []
        match error:
            case Unavailable():
                return self._wait_out(error, now_s)
            case Gap():
                # An earlier attempt that seemed lost may have been carried out after we looked: look once more.
                self._gap = error
                return []
            case _:
                return self.fail(error)

    def fail(self, failure: PersistenceError) -> Notices:
        """Stop for good: present and later waiters get the error. The first failure is the one that counts."""
        if self.failure is not None:
            return []
        self.failure = failure
        self.last_error = str(failure)
        due = [(callback, failure) for _, callback in self._callbacks]
        self._callbacks.clear()
        return due

    def _take(self) -> Sequence[SealedRow]:
        """What waits, up to the bounds, and at least one row: so batches grow by themselves with the load."""
        batch: list[SealedRow] = []
        room = self.limits.batch_bytes_max
        while self._queue and len(batch) < self.limits.batch_rows_max and room > 0:
            row = self._queue.popleft()
            room -= len(row.command_json) + len(row.events_json)
            batch.append(row)
        return batch

    def _wait_out(self, error: Unavailable, now_s: float) -> Notices:
        """Try again after a while that doubles; past the bound of an outage, fail."""
        self.last_error = str(error)
        if self.outage_since_s is None:
            self.outage_since_s = now_s
        if now_s - self.outage_since_s > self.limits.outage_s_max:
            failure = Unavailable(
                f"The database was unavailable for more than {self.limits.outage_s_max} s ({error}). The "
                f"{self.queue_rows} rows that wait were not acknowledged. Stop, repair the database, start again."
            )
            failure.__cause__ = error
            return self.fail(failure)
        self._retry_at_s = now_s + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, self.limits.backoff_s_max)
        return []


def _bytes(rows: Sequence[SealedRow]) -> int:
    return sum(len(row.command_json) + len(row.events_json) for row in rows)
