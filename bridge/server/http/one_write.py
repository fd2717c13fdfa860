"""Head and body of a response in one write.

The server writes the head and the body of a response one after the other, and the event loop sends each at once: two
system calls here, and two wake-ups and reads in the client.
Rule of this file: the bytes and their order stay those of the server. A head is kept back only for the body that it
announces, and is written without it when the response or the connection ends.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

_BEGINNING: Final = b"HTTP/1.1 "
_END: Final = b"\r\n\r\n"
# In a head whose body follows at once. The head of a stream has none: its first event may take long.
_BODY: Final = b"\r\ncontent-length: "
_NO_BODY: Final = b"\r\ncontent-length: 0\r\n"


class OneWrite:
    """A transport that joins a head with the next write. All other methods are those of the wrapped transport."""

    def __init__(self, transport: asyncio.Transport, on_close: Callable[[], None]) -> None:
        """Write to `transport`. When the server closes this, `on_close` is called: it calls `hang_up`, now or later."""
        self._transport = transport
        self._on_close = on_close
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write this; but keep the head of a response with a body of known size until the next write."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_BEGINNING) and data.endswith(_END) and _BODY in data and _NO_BODY not in data:
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Write a head that is still kept, as no body has followed it."""
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)

    def close(self) -> None:
        """Close as `on_close` does."""
        self._on_close()

    def hang_up(self) -> None:
        """Write a head that is still kept, and close. Idempotent."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        """Any other attribute of the wrapped transport."""
        return getattr(self._transport, name)
