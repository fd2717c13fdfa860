"""One time of leading: the engine, its journal's writer and the heartbeat that says so, from the first row to the last.

Rule of this file: a session ends once, for one reason, and nothing is written after it. All that it acknowledged is in
the journal; what it could not acknowledge is resolved by the next leader.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from callmarket.bridge.feed.encoded import FeedRow
from callmarket.bridge.feed.source import Feed
from callmarket.bridge.market.sequencer import Sequencer
from callmarket.bridge.market.waiting import Waiting
from callmarket.persistence.errors import Fenced, PersistenceError, RowsLost
from callmarket.persistence.leadership.heartbeat import Heartbeat, News
from callmarket.persistence.recovery import Report
from callmarket.persistence.tables.projector import Projector
from callmarket.persistence.writer.write_behind import WriteBehind

logger: Final = logging.getLogger(__name__)

# An orderly end leaves tables that are level, as a rule; it does not wait longer for that.
TABLES_S_MAX: Final = 5.0


@dataclass(frozen=True)
class Parts:
    """The running parts of a leader's session."""

    sequencer: Sequencer
    write_behind: WriteBehind
    projector: Projector
    heartbeat: Heartbeat
    recovery: Report
    feed: Feed
    save_lost: Callable[[Sequence[FeedRow]], str]
    """Writes rows that the journal has lost to a file, and says where that is. Never raises."""


class LeaderSession:
    """Leads until it is handed over, fenced off, or stopped by its journal. Safe for many threads."""

    def __init__(self, parts: Parts, ack_timeout_s: float) -> None:
        """Begin. Nobody waits longer than `ack_timeout_s` for a row: neither its caller nor `close`."""
        self.sequencer: Final = parts.sequencer
        self.write_behind: Final = parts.write_behind
        self.recovery: Final = parts.recovery
        self._heartbeat: Final = parts.heartbeat
        self._drain_s_max: Final = ack_timeout_s
        self.feed: Final = parts.feed
        parts.write_behind.listen(parts.feed)
        self.waiting: Final = Waiting(parts.write_behind, ack_timeout_s)
        self.projector: Final = parts.projector
        # After the listeners that have waiting callers.
        parts.write_behind.listen(parts.projector)
        self._lock: Final = threading.Lock()
        self._save_lost: Final = parts.save_lost
        self._saving: Final = threading.Lock()
        self._saved = ""
        self._handed_over = False
        self.over: Final = threading.Event()
        parts.heartbeat.listen(self._hear, self._is_alive, lambda: self.write_behind.durable)

    @property
    def epoch(self) -> int:
        """That of all that it writes."""
        return self._heartbeat.epoch

    @property
    def end(self) -> str:
        """Why it is over; empty while it is not."""
        failure = self.write_behind.failure
        if failure is not None:
            return f"the journal has stopped: {failure}{self._saved}"
        if not self.sequencer.works:
            return "the engine stopped in the middle of a command: restart it"
        return "it was handed over" if self._handed_over else ""

    @property
    def lost(self) -> bool:
        """Whether others lead, or are about to, while this process is well."""
        return self._handed_over or isinstance(self.write_behind.failure, Fenced)

    @property
    def loss(self) -> str:
        """Which acknowledged rows the journal lacks, and where they are; empty if none is known to be lost."""
        failure = self.write_behind.failure
        return f"{failure}{self._saved}" if isinstance(failure, RowsLost) else ""

    @property
    def durability_fault(self) -> str:
        """See `Heartbeat.durability_fault`."""
        return self._heartbeat.durability_fault

    @property
    def successor(self) -> str:
        """The next leader's address, empty while it is not known."""
        return self._heartbeat.successor

    def hand_over(self) -> None:
        """Take nothing more, write queued rows, answer waiters, and let others lead. Idempotent.

        Raises what kept the rest from being written; none of that was acknowledged.
        """
        with self._lock:
            if self._handed_over:
                return
            self.sequencer.stop()
            try:
                self.write_behind.close(self._drain_s_max)
            finally:
                self._handed_over = True
                self._heartbeat.release()
                self._be_over()
                # Nobody waits for it: the next leader would bring the tables along as well.
                self.projector.close(TABLES_S_MAX)

    def close(self) -> None:
        """End it, if it has not ended. Raises as `hand_over`."""
        try:
            self.hand_over()
        finally:
            self._heartbeat.close()
            self.projector.close()

    def _is_alive(self) -> bool:
        if self.write_behind.failure is None and self.sequencer.works:
            return True
        self._be_over()
        return False

    def _hear(self, news: News) -> None:
        """From the heartbeat's thread, which must go on renewing while we drain."""
        if isinstance(news, Fenced | RowsLost):
            self.write_behind.stop(news)
            self._be_over()
            return
        logger.warning("asked to hand over: draining")
        threading.Thread(target=self._hand_over_quietly, name="handover", daemon=True).start()

    def _be_over(self) -> None:
        self._keep_what_is_lost()
        self.feed.end(self.end)
        self.over.set()

    def _keep_what_is_lost(self) -> None:
        """Of what was acknowledged and is in the journal no more, this process may have the last copy."""
        failure = self.write_behind.failure
        if not isinstance(failure, RowsLost):
            return
        with self._saving:
            if not self._saved:
                self._saved = self._save_lost(self.feed.after(failure.last_seq))
                logger.error("%s%s", failure, self._saved)

    def _hand_over_quietly(self) -> None:
        try:
            self.hand_over()
        except PersistenceError:
            logger.exception("handed over without the last rows; none of them was acknowledged")
        else:
            logger.warning("handed over after row %d", self.write_behind.durable_seq)
