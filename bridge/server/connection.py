"""One connection of the HTTP server, bounded: in number, in the time and in the size of a request's head.

Rule of this file: who sends nothing, or a head in bits and pieces, costs a file descriptor for some seconds and then
nothing more. The server has a time-out between requests and the front one for bodies; this is the one that was missing.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bridge.server.one_write import OneWrite

# Connections at a time: each costs some 50 kB. Agents share connections, or a proxy does it for them.
CONNECTIONS_MAX: Final = 4_096
# Whoever finds no room hears it before it has asked anything. The server's own bound would say no without saying when
# to come back, and counts what is answered already.
_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
# From the first byte of a head, or the beginning of the connection, to the head's end.
HEAD_S_MAX: Final = 10.0
# Ours are some hundred bytes; proxies add cookies and traces.
HEAD_BYTES_MAX: Final = 65_536


class Connection(HttpToolsProtocol):
    """A connection of uvicorn that waits for a head only so long."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._one_write: OneWrite | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait, or tell that there is no room."""
        self._one_write = OneWrite(transport)
        super().connection_made(self._one_write)  # type: ignore[arg-type]
        if len(self.connections) > CONNECTIONS_MAX:
            transport.write(_FULL)
            transport.close()
            return
        self._deadline = self.loop.call_later(HEAD_S_MAX, self._hang_up)

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is not whole by then has a bound in time and in bytes."""
        super().data_received(data)
        if self._is_answering():
            return
        # Uvicorn's own time-out ended with the first byte, which may be the beginning of no request at all.
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_S_MAX, self._hang_up)
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._hang_up()

    def on_headers_complete(self) -> None:
        """The head is whole: what follows has bounds of its own."""
        self._wait_no_longer()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer has ended."""
        assert self._one_write is not None
        self._one_write.flush()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Over."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _wait_no_longer(self) -> None:
        self._head_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        self._wait_no_longer()
        if not self.transport.is_closing():
            self.transport.close()
