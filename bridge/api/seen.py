"""The highest durable row of the journal that a caller has seen, in a reply or in an answer.

Rule of this file: it only grows. A question to the tables waits until they have that row, so callers read their own
writes, and never older data than they have read before.
"""

import threading
from collections.abc import Iterable
from typing import Final

from callmarket.bridge.api.messages import Reply


class Seen:
    """Thread-safe. One for each caller, shared by the objects that are derived from it (`acting_as`)."""

    __slots__ = ("_lock", "_seq")

    def __init__(self, seq: int = 0) -> None:
        """Start at this row."""
        self._lock: Final = threading.Lock()
        self._seq = seq

    @property
    def seq(self) -> int:
        """The highest row so far."""
        return self._seq

    def note(self, seq: int) -> None:
        """Record a row that the caller has seen."""
        if seq > self._seq:
            with self._lock:
                self._seq = max(self._seq, seq)

    def note_all(self, replies: Iterable[Reply]) -> None:
        """Record replies, up to their durable rows only: a later row may be lost, and its number be used again."""
        for reply in replies:
            self.note(min(reply.seq, reply.durable_seq))
