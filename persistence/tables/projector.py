"""Lets the SQL tables follow the journal in the background: a leader has one, and no reply waits for it.

Rule of this file: the thread, its clock and waiting; decisions are made in `following`, how the tables are written in
`table_writer`. The thread takes what has become durable. Before each look it pauses a few milliseconds, so that a burst
is taken in few large batches and the journal's writer has the machine; a waiter for a row cuts the pause short.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from callmarket.persistence.errors import PersistenceError, Unavailable
from callmarket.persistence.tables.following import Following
from callmarket.persistence.tables.limits import TableLimits
from callmarket.persistence.tables.table_writer import TableWriter


class Projector(Following):
    """The tables of one shard, following. Safe for many threads; a `Listener` of the journal's writer."""

    def __init__(
        self,
        open_tables: Callable[[], TableWriter],
        durable_seq: int,
        limits: TableLimits | None = None,
        *,
        name: str = "0",
    ) -> None:
        """Start the thread. Otherwise as `Following`."""
        super().__init__(open_tables, durable_seq, limits or TableLimits(), time.monotonic)
        self._stopping = False
        self._draining = False
        self._work: Final = threading.Event()
        self._work.set()
        # Cuts a pause short.
        self._hurry: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name=f"projector {name}", daemon=True)
        self._thread.start()

    def work_comes(self) -> None:
        """See `Following.work_comes`."""
        self._work.set()

    def somebody_waits(self) -> None:
        """See `Following.somebody_waits`."""
        self._hurry.set()

    def wait(self, seq: int, timeout_s: float) -> None:
        """Return when the tables have row `seq`.

        Raises `Unavailable` after the timeout, or what ended the projector.
        """
        if self.seq >= seq:
            return
        done = threading.Event()
        outcome: list[PersistenceError | None] = []

        def finish(failure: PersistenceError | None) -> None:
            outcome.append(failure)
            done.set()

        forget = self.on_projected(seq, finish)
        if not done.wait(timeout_s):
            forget()
            raise self.behind(seq)
        if outcome[0] is not None:
            raise Unavailable(str(outcome[0])) from outcome[0]

    def close(self, drain_s_max: float = 0.0) -> None:
        """Stop, after bringing the tables level for `drain_s_max` at most. Idempotent. Never raises."""
        with self._lock:
            self._draining = drain_s_max > 0 and not self._stopping
            self._stopping = self._stopping or not self._draining
        self._wake()
        if self._draining:
            self._thread.join(drain_s_max)
        with self._lock:
            self._stopping = True
            tables = self._tables
        self._wake()
        if tables is not None and self._thread.is_alive():
            tables.interrupt()
        self._thread.join()

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause_s = 0.0
        while not self._is_done():
            # Also when nothing comes: what a crash of the server took of the tables is noticed by looking.
            self._work.wait(self.limits.look_s)
            # In which more comes together, and those are answered for whom the journal's writer has just been at work.
            self._hurry.wait(pause_s)
            self._work.clear()
            self._hurry.clear()
            if not self._is_done():
                pause_s = self.step()
        self.end()

    def _is_done(self) -> bool:
        """Whether there is nothing to do any more."""
        drained = self._draining and (self.is_level or self.state != "running")
        return self._stopping or drained or self.is_over

    def _wake(self) -> None:
        self._work.set()
        self._hurry.set()
