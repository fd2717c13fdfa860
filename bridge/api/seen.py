"""What a caller was told of the market: the highest row of the journal that is durable and that he knows of.

Rule of this file: it only grows. A question to the tables waits until they have that row, so nobody is told less than
he knows: a caller sees what he has done, and what he has read.
"""

import threading
from collections.abc import Iterable
from typing import Final

from callmarket.bridge.api.messages import Reply


class Seen:
    """For many threads: one for each caller, and all that is made from him shares it."""

    __slots__ = ("_lock", "_seq")

    def __init__(self, seq: int = 0) -> None:
        """Begin with this row."""
        self._lock: Final = threading.Lock()
        self._seq = seq

    @property
    def seq(self) -> int:
        """The highest row so far; 0 at first."""
        return self._seq

    def note(self, seq: int) -> None:
        """This row was told of."""
        if seq > self._seq:
            with self._lock:
                self._seq = max(self._seq, seq)

    def note_all(self, replies: Iterable[Reply]) -> None:
        """These replies were given. What is not durable yet may be lost, and its row be another's."""
        for reply in replies:
            self.note(min(reply.seq, reply.durable_seq))
