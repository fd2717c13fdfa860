"""The HTTP server of one process: it listens, and shuts down in order.

Rule of this file: sockets, signals and time-outs. The application is passed in.
"""

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import AsyncIterator, Callable, Generator
from functools import partial
from typing import Final, cast

import uvicorn

from callmarket.bridge.api.errors import Invalid, Unavailable
from callmarket.bridge.server.http.acceptor import Acceptor
from callmarket.bridge.server.http.admission import Admission, AdmitAll
from callmarket.bridge.server.http.asgi import Application
from callmarket.bridge.server.http.connection import Connection
from callmarket.bridge.server.http.connection_table import ConnectionTable
from callmarket.bridge.server.http.inbox import Inbox

logger: Final = logging.getLogger(__name__)

# A connection without a request is closed after this time; clients open a new one by themselves.
IDLE_S_MAX: Final = 75
# On shutdown, requests that are under way have this long to be answered; the journal's own limit is shorter.
DRAIN_S_MAX: Final = 35
# How often shutdown checks whether the last connection has ended.
_LOOK_S: Final = 0.01
# How often the server does its periodic work, such as the `Date` header.
_TICK_S: Final = 0.1


class Server(uvicorn.Server):
    """Serves until `end` is called. It handles no signals; the process does."""

    def __init__(
        self,
        app: Application,
        on_ending: Callable[[], None],
        on_ready: Callable[[], None] = lambda: None,
        *,
        admission: Admission | None = None,
        table: ConnectionTable | None = None,
    ) -> None:
        """Serve this application. `on_ending` ends what would never end by itself, such as streams.

        `on_ready` is called once clients that connect are served. `admission` decides which requests may begin, and
        `table` which clients may be connected. By default, all may.
        """
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=IDLE_S_MAX,
            )
        )
        self._on_ending = on_ending
        self._on_ready = on_ready
        self._admission = AdmitAll() if admission is None else admission
        self._table = ConnectionTable() if table is None else table
        # The loop in which it serves, and the event that ends it there; None before it serves.
        self._serving: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none: the process that runs the server handles them."""
        yield

    def end(self) -> None:
        """Accept no more connections, answer the requests under way, and return from `serve`. From any thread."""
        self.should_exit = True
        if self._serving is not None:
            loop, ending = self._serving
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
                loop.call_soon_threadsafe(ending.set)

    def shutdown_now(self) -> None:
        """End without waiting for answers: connections are closed, and their clients see an unknown outcome."""
        self.force_exit = True
        self.end()
        for connection in list(self.server_state.connections):
            connection.transport.close()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self.server_state.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then call `on_ready`. Unlike uvicorn's, it accepts many connections in one iteration of the loop."""
        assert sockets is not None, "the sockets are the caller's"
        loop = asyncio.get_running_loop()
        self._serving = loop, asyncio.Event()
        make = partial(self._connection, loop, Inbox(loop))
        acceptors = [Acceptor(loop, listening, self._table, make) for listening in sockets]
        # Uvicorn closes an acceptor as it would close a server.
        self.servers = cast(list[asyncio.Server], acceptors)
        self.started = True
        self._on_ready()

    async def main_loop(self) -> None:
        """As uvicorn's, but it ends at once when it is told to, not at the next tick."""
        assert self._serving is not None
        _, ending = self._serving
        for tick in itertools.count():
            if await self.on_tick(tick):
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), _TICK_S)

    def _connection(self, loop: asyncio.AbstractEventLoop, inbox: Inbox) -> Connection:
        return Connection(
            self.config,
            self.server_state,
            app_state={},
            _loop=loop,
            table=self._table,
            inbox=inbox,
            admission=self._admission,
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down in order, as soon as the last response is sent. Uvicorn's own takes a tenth of a second or more."""
        # Connections that were accepted already are set up first, so that they are shut down too.
        for acceptor in self.servers:
            acceptor.close()
            await acceptor.wait_closed()
        self._on_ending()
        for listening in sockets or []:
            listening.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(DRAIN_S_MAX):
                while (state.connections or state.tasks) and not self.force_exit:  # noqa: ASYNC110 -- sets, no event
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            logger.warning("requests that were not answered within %d s: %d, cancelled", DRAIN_S_MAX, len(state.tasks))
            for task in state.tasks:
                task.cancel()


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket bound to this address. Raises `Invalid` for an unknown host, `Unavailable` if it cannot be bound."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise Invalid("host", host, "a name or an address of this machine") from None
    listening = socket.socket(family, kind)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listening.set_inheritable(False)
    return listening


def url_of(listening: socket.socket) -> str:
    """The URL of a listening socket, for a client on this machine."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 -- it is only compared
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def ending_on(signals: tuple[int, ...], end: Callable[[], None]) -> AsyncIterator[None]:
    """Within this block, call `end` at each of these signals."""
    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
