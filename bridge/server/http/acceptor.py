"""New connections, a bounded number in each iteration of the loop.

The event loops accept one connection in an iteration (uvloop) or all that there are (asyncio). Under load an iteration
takes a tenth of a second: with the first, clients that have sent their requests wait for minutes; with the second, a
client that connects often keeps all others waiting.
Rule of this file: sockets up to their first byte. The table decides whether there is room; if there is none, the client
is told so before it has sent a request.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

from callmarket.bridge.server.answer import FULL
from callmarket.bridge.server.http.connection import Connection
from callmarket.bridge.server.http.connection_table import ConnectionTable

logger: Final = logging.getLogger(__name__)

# How many connections may wait to be accepted.
BACKLOG: Final = 2_048
# Each takes about 100 us: a few milliseconds in all.
ACCEPTS_PER_TURN: Final = 32
# If the process has no file descriptors left, other connections must end first.
_PAUSE_S: Final = 0.5


class Acceptor:
    """Accepts the connections of one socket until it is closed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        table: ConnectionTable,
        make: Callable[[], Connection],
    ) -> None:
        """Listen from now on. `make` creates the protocol object of each connection."""
        self._loop: Final = loop
        self._listening: Final = listening
        self._table: Final = table
        self._make: Final = make
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Accept no more connections."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        """Wait until the connections that were accepted are set up, or have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                accepted, address = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue  # the client has disconnected already
            except OSError as error:
                logger.warning("no connection can be accepted for %g s: %s", _PAUSE_S, error.strerror)
                self._loop.remove_reader(self._listening)
                self._pause = self._loop.call_later(_PAUSE_S, self._resume)
                return
            self._welcome(accepted, address[0])

    def _welcome(self, accepted: socket.socket, peer: str) -> None:
        accepted.setblocking(False)
        if not self._table.has_room_for(peer):
            _turn_away(accepted)
            return
        connection = self._make()
        self._table.add(connection, peer)
        task = self._loop.create_task(self._connect(accepted, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, accepted: socket.socket, connection: Connection) -> None:
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            # The client has disconnected meanwhile.
            self._table.remove(connection)
            accepted.close()


def _turn_away(accepted: socket.socket) -> None:
    """Tell a client that there is no room, and close the connection."""
    with accepted:
        try:
            accepted.send(FULL)
        except OSError:
            return  # the client has disconnected
