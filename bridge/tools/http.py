"""The tools over streamable HTTP, on this machine alone, for many agents with a key each.

Rule of this file: no rights of its own. The API key comes with each request and is passed on; a request without one
gets no further. There are no sessions, which could outlive their key or be taken over. The SDK refuses hosts and
origins that are not this machine, which keeps web pages from speaking to it.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, cast

from bridge.access import key_text
from bridge.errors import Invalid, Unauthorized
from bridge.server.asgi import Application, Receive, Scope, Send
from bridge.server.caller import account_name, read_headers
from bridge.server.http_server import Server, ending_on, listening_socket, url_of
from bridge.tools.calls import Agent
from bridge.tools.markets import Agents
from bridge.tools.server import Context, tools_server

PATH: Final = "/mcp"
# Anybody else's business is not this server's: it listens here and nowhere else.
HOST: Final = "127.0.0.1"
# The longest call is a few names and numbers.
BODY_BYTES_MAX: Final = 65_536


def serve(url: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve the tools until SIGTERM or SIGINT. Raises `Unavailable` if the port is taken."""
    asyncio.run(_serve(url, port, on_ready))


async def _serve(url: str, port: int, on_ready: Callable[[str], None]) -> None:
    with listening_socket(HOST, port) as listening:
        agents = Agents(url)
        tools = tools_server(lambda context: _agent_of(agents, context))
        app = tools.streamable_http_app(
            streamable_http_path=PATH, stateless_http=True, max_request_body_size=BODY_BYTES_MAX, host=HOST
        )
        running = Running(cast(Application, app))
        server = Server(keyed(running), on_ending=running.cut)
        async with tools.session_manager.run(), ending_on((signal.SIGTERM, signal.SIGINT), server.end):
            on_ready(url_of(listening) + PATH)
            try:
                await server.serve(sockets=[listening])
            finally:
                await agents.close()


class Running:
    """An application whose requests can be cut short: some wait for an award, and would keep the server from ending."""

    def __init__(self, app: Application) -> None:
        """Serve this one."""
        self._app = app
        self._tasks: set[asyncio.Task[object]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; one that is cut has no answer, or a broken one."""
        task = asyncio.create_task(self._serve(scope, receive, send))
        self._tasks.add(task)
        try:
            await task
        except asyncio.CancelledError:
            # Cut by us, or by a server that has given up.
            task.cancel()
        finally:
            self._tasks.discard(task)

    def cut(self) -> None:
        """End all that are under way. What they have sent to the market is safe there."""
        for task in self._tasks:
            task.cancel()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def keyed(app: Application) -> Application:
    """The application, for requests that carry what looks like a key. Whether it works is the market's to say."""

    async def serve_one(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            key_text.split(key_text.bearer(read_headers(scope["headers"]).authorization))
        except (Unauthorized, Invalid) as error:
            await _refuse(send, str(error))
            return
        await app(scope, receive, send)

    return serve_one


async def _refuse(send: Send, words: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"www-authenticate", b'Bearer realm="callmarket"')]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": words.encode()})


def _agent_of(agents: Agents, context: Context) -> AbstractAsyncContextManager[Agent]:
    """Who makes this request: by its key, for the account that it names if it does."""
    headers = read_headers(context.request.headers.raw if context.request is not None else ())
    key = key_text.bearer(headers.authorization).decode("ascii", "replace")
    return agents.using(key, account_name(headers.account) if headers.account else "")
