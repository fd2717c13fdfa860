"""Answers that leave in one piece.

The server writes the head and the body of an answer one after the other, and the event loop sends each at once: two
system calls here, and two wakes and reads of whoever waits for it.
Rule of this file: bytes and their order are the server's own. A head is kept back only for the body that it announces,
and goes without it when the answer ends, or the connection does.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

_BEGINNING: Final = b"HTTP/1.1 "
_END: Final = b"\r\n\r\n"
# Of an answer whose body is known to follow. A stream's is not: its first event may be far away.
_BODY: Final = b"\r\ncontent-length: "
_NO_BODY: Final = b"\r\ncontent-length: 0\r\n"


class OneWrite:
    """A transport that joins a head with what is written next. All else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, on_close: Callable[[], None]) -> None:
        """Write to this one. `on_close` is what to do where the server closes it: `hang_up`, at once or later."""
        self._transport = transport
        self._on_close = on_close
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write this, or keep it for the next: the head of an answer that has a body of a known size."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_BEGINNING) and data.endswith(_END) and _BODY in data and _NO_BODY not in data:
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Write a head that is still here: its body is empty after all."""
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)

    def close(self) -> None:
        """As the connection closes."""
        self._on_close()

    def hang_up(self) -> None:
        """Write what is here, and close. Again: nothing."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Whatever else a transport can do."""
        return getattr(self._transport, name)
