"""The HTTP server of one process: it listens, and ends in order.

Rule of this file: sockets, signals and time-outs. What is served is handed in.
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

# A connection without a request is closed after so long; clients open a new one by themselves.
IDLE_S_MAX: Final = 75
# What is under way when the server ends gets so long to be answered; the journal's own bound is shorter.
DRAIN_S_MAX: Final = 35
# How exactly the end of the last connection is seen.
_LOOK_S: Final = 0.01
# As often as the server brings its `Date` along.
_TICK_S: Final = 0.1


class Server(uvicorn.Server):
    """Serves until it is told to end. Signals are the process's business, not the server's."""

    def __init__(
        self,
        app: Application,
        on_ending: Callable[[], None],
        on_ready: Callable[[], None] = lambda: None,
        *,
        admission: Admission | None = None,
        table: ConnectionTable | None = None,
    ) -> None:
        """Serve this application; `on_ending` ends what would never end by itself, as streams.

        `on_ready` is called once whoever connects is served. The gate says which requests may begin, and the table
        who may be connected.
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
        # Where it serves, and what wakes it there to end; None before it does.
        self._serving: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """None: whoever runs the server has its own."""
        yield

    def end(self) -> None:
        """Take no more connections, answer what is under way, and return from `serve`. From any thread."""
        self.should_exit = True
        if self._serving is not None:
            loop, ending = self._serving
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
                loop.call_soon_threadsafe(ending.set)

    def shutdown_now(self) -> None:
        """End, and wait for no answer any more: who has none is hung up on, and knows that it knows nothing."""
        self.force_exit = True
        self.end()
        for connection in list(self.server_state.connections):
            connection.transport.close()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.server_state.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so. As the server's own, but that many connections are taken in a turn of the loop."""
        assert sockets is not None, "the sockets are the caller's"
        loop = asyncio.get_running_loop()
        self._serving = loop, asyncio.Event()
        make = partial(self._connection, loop, Inbox(loop))
        acceptors = [Acceptor(loop, listening, self._table, make) for listening in sockets]
        # It closes an acceptor as it would a server.
        self.servers = cast(list[asyncio.Server], acceptors)
        self.started = True
        self._on_ready()

    async def main_loop(self) -> None:
        """As the server's own, but told to end it does so at once, not at its next look."""
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
        """End in order, as soon as the last answer is sent; the server's own waits for a tenth of a second at least."""
        # Who was taken already is connected first, so that those connections are told too.
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
            logger.warning("requests that took longer than %d s to end were cut: %d", DRAIN_S_MAX, len(state.tasks))
            for task in state.tasks:
                task.cancel()


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens at this address. Raises `Invalid` for a host that is none, `Unavailable` if it is taken."""
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
    """The way to a listening socket, for a client on this machine."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 -- it is only recognised here
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def ending_on(signals: tuple[int, ...], end: Callable[[], None]) -> AsyncIterator[None]:
    """Call `end` at each of these signals, inside the block."""
    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
