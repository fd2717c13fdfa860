"""What has come and is not read yet: so much is read in a turn of the loop, the oldest first.

The loop hands over all that the sockets have before it does anything else. Of thousands of connections that takes a
tenth of a second, in which nobody is answered and no place becomes free: nearly all that is read then is refused.
Keys share the room here as they share places: one of them may have as much unread as there is room left. Who has not
shown a key yet stands in a line of its own, of which one is read after three of the others.
Rule of this file: bytes of a connection stay in order; how many requests they are is for the connection to see.
"""

import asyncio
from collections import Counter, deque
from typing import Final, Protocol

# Some milliseconds; then those are answered whose bids have become durable meanwhile, and their places are free.
READS_PER_TURN: Final = 64
# Of those who have a key: some tens of milliseconds.
UNREAD_MAX: Final = 256
# One of so many is of who has shown no key, if there are such.
_STRANGERS_EVERY: Final = 4


class Reader(Protocol):
    """A connection as the inbox sees it."""

    key_id: str
    """The key that was shown on it; empty if none was."""
    unread_bytes: int
    """How many of its bytes wait here."""
    waits_as: str
    """The key that had been shown on it when they came."""

    def read(self, data: bytes) -> None:
        """Read on."""


Line = deque[tuple[Reader, bytes, str]]


class Inbox:
    """For the connections of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nothing has come yet."""
        self._loop: Final = loop
        self._known: Final[Line] = deque()
        self._strangers: Final[Line] = deque()
        self._of_key: Final[Counter[str]] = Counter()
        self._left = READS_PER_TURN
        self._is_armed = False

    def is_late_for(self, key_id: str) -> bool:
        """Whether so much of a key waits that it is better told to come back."""
        return key_id != "" and self._of_key[key_id] >= UNREAD_MAX - len(self._known)

    def put(self, reader: Reader, data: bytes) -> None:
        """Let a connection read this: now, or when it is its turn."""
        self._arm()
        if self._left and not (self._known or self._strangers):
            self._left -= 1
            reader.read(data)
            return
        # Whoever shows a key while it has something here stays in its line until that is read.
        key_id = reader.waits_as if reader.unread_bytes else reader.key_id
        reader.waits_as = key_id
        (self._known if key_id else self._strangers).append((reader, data, key_id))
        self._of_key[key_id] += 1
        reader.unread_bytes += len(data)

    def _turn(self) -> None:
        self._is_armed = False
        self._left = READS_PER_TURN
        while self._left and (line := self._next_line()):
            self._left -= 1
            reader, data, key_id = line.popleft()
            reader.unread_bytes -= len(data)
            self._of_key[key_id] -= 1
            if not self._of_key[key_id]:
                del self._of_key[key_id]
            reader.read(data)
        if self._left < READS_PER_TURN:
            self._arm()

    def _next_line(self) -> Line:
        is_strangers_turn = self._left % _STRANGERS_EVERY == 0
        return self._strangers if self._strangers and (is_strangers_turn or not self._known) else self._known

    def _arm(self) -> None:
        if not self._is_armed:
            self._is_armed = True
            self._loop.call_soon(self._turn)
