"""Bytes that were received and are not parsed yet. Some are parsed in each iteration of the loop, oldest first.

The event loop hands over everything that the sockets have before it does anything else. With thousands of connections
parsing all of that takes a tenth of a second, in which no request is answered and no place becomes free, so nearly all
of them would be refused.
Keys share the room here as they share places: one of them may have as much unread as there is room left. Connections
that have not shown a key yet have a queue of their own, from which one item is read after three of the others.
Rule of this file: the bytes of a connection stay in order; how many requests they are is for the connection to find.
"""

import asyncio
from collections import Counter, deque
from typing import Final, Protocol

# Some milliseconds. Then requests that have become durable meanwhile are answered, and their places become free.
READS_PER_TURN: Final = 64
# Of connections that have shown a key: some tens of milliseconds.
UNREAD_MAX: Final = 256
# One in this many reads is of a connection that has shown no key, if such are waiting.
_STRANGERS_EVERY: Final = 4


class Reader(Protocol):
    """A connection as the inbox sees it."""

    key_id: str
    """The id of the key that was shown on it; empty if none was."""
    unread_bytes: int
    """How many of its bytes wait here."""
    waits_as: str
    """The `key_id` of the queue in which they wait: the key that had been shown when they came."""

    def read(self, data: bytes) -> None:
        """Parse these bytes."""


Line = deque[tuple[Reader, bytes, str]]


class Inbox:
    """The unread bytes of all connections of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """An empty inbox that schedules its reads in this loop."""
        self._loop: Final = loop
        self._known: Final[Line] = deque()
        self._strangers: Final[Line] = deque()
        self._of_key: Final[Counter[str]] = Counter()
        self._left = READS_PER_TURN
        self._is_armed = False

    def is_late_for(self, key_id: str) -> bool:
        """Whether the key has its share of unread items here, so that more of it should be refused."""
        return key_id != "" and self._of_key[key_id] >= UNREAD_MAX - len(self._known)

    def put(self, reader: Reader, data: bytes) -> None:
        """Let a connection read these bytes: now, or when it is their turn."""
        self._arm()
        if self._left and not (self._known or self._strangers):
            self._left -= 1
            reader.read(data)
            return
        # A connection that shows a key while bytes of it wait stays in the same queue until they are read, for order.
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
