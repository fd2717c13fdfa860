"""The tools over streamable HTTP, on this machine only, for many agents with a key each.

Rule of this file: no permissions of its own. Each request carries an API key, which is passed on; a request without one
is refused. There are no sessions, which could outlive their key or be hijacked. The SDK refuses hosts and origins other
than this machine, which keeps web pages from calling it.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, cast

from callmarket.bridge.access import key_text
from callmarket.bridge.api.errors import Invalid, Unauthorized
from callmarket.bridge.ending_signals import ending_signals
from callmarket.bridge.mcp_server.calls import Agent
from callmarket.bridge.mcp_server.markets import Agents
from callmarket.bridge.mcp_server.server import Context, tools_server
from callmarket.bridge.server.http.asgi import Application, Message, Receive, Scope, Send
from callmarket.bridge.server.http.http_server import Server, ending_on, listening_socket, url_of
from callmarket.bridge.server.requests.caller import Headers, account_name, read_headers
from callmarket.bridge.server.requests.once import check_once
from callmarket.bridge.telemetry.access_log import RateLimitFilter

PATH: Final = "/mcp"
# Loopback only: other machines must not reach it.
HOST: Final = "127.0.0.1"
# The longest call is a few names and numbers, and arrives at once.
BODY_BYTES_MAX: Final = 65_536
BODY_S_MAX: Final = 10.0
_WARNINGS_PER_S: Final = 10


def serve(url: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve the tools until SIGTERM, SIGINT or SIGHUP. Raises `Unavailable` if the port is taken."""
    # Any process on this machine, and any page in its browsers, can cause these warnings about hosts and origins.
    logging.getLogger("mcp.server.transport_security").addFilter(RateLimitFilter(_WARNINGS_PER_S))
    asyncio.run(_serve(url, port, on_ready))


async def _serve(url: str, port: int, on_ready: Callable[[str], None]) -> None:
    with listening_socket(HOST, port) as listening:
        agents = Agents(url)
        tools = tools_server(lambda context: _agent_of(agents, context))
        app = tools.streamable_http_app(
            streamable_http_path=PATH, stateless_http=True, max_request_body_size=BODY_BYTES_MAX, host=HOST
        )
        running = Running(cast(Application, app))
        server = Server(keyed(running), running.cut, lambda: on_ready(url_of(listening) + PATH))
        async with tools.session_manager.run(), ending_on(ending_signals(), server.end):
            try:
                await server.serve(sockets=[listening])
            finally:
                await agents.close()


class Running:
    """An application whose requests can be cancelled: those that wait for an award would delay the shutdown."""

    def __init__(self, app: Application) -> None:
        """Wrap this application."""
        self._app = app
        self._tasks: set[asyncio.Task[object]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. A cancelled one has no answer, or an incomplete one."""
        task = asyncio.create_task(self._serve(scope, receive, send))
        self._tasks.add(task)
        try:
            await task
        except asyncio.CancelledError:
            # Cancelled by `cut`, or by the server.
            task.cancel()
        finally:
            self._tasks.discard(task)

    def cut(self) -> None:
        """Cancel all requests in progress. Commands that they have sent to the market are unaffected."""
        for task in self._tasks:
            task.cancel()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def keyed(app: Application) -> Application:
    """Wrap the application: only complete POST requests with a well-formed key reach it. The market checks the key.

    Without sessions there is no stream to open (GET) or to end (DELETE), so other methods are refused.
    """

    async def serve_one(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = read_headers(scope["headers"])
            key_text.split(key_text.bearer(headers.authorization))
        except (Unauthorized, Invalid) as error:
            await _refuse(send, 401, str(error), (b"www-authenticate", b'Bearer realm="callmarket"'))
            return
        if scope["method"] != "POST":
            await _refuse(send, 405, "only POST: there are no sessions and no streams", (b"allow", b"POST"))
            return
        try:
            async with asyncio.timeout(BODY_S_MAX):
                body = await _whole(headers, receive)
        except _TooLarge:
            await _refuse(send, 413, f"the body is larger than {BODY_BYTES_MAX} bytes")
        except TimeoutError:
            await _refuse(send, 408, f"the body was not complete after {BODY_S_MAX:.0f} s")
        except _Gone:
            pass
        else:
            twice = _name_twice(body)
            await (_refuse(send, 400, twice) if twice else app(scope, _read(body, receive), send))

    return serve_one


class _TooLarge(Exception):
    """The body exceeds the bound."""


class _Gone(Exception):
    """The client has disconnected."""


async def _whole(headers: Headers, receive: Receive) -> bytes:
    """Read the whole body. Raises `_TooLarge` or `_Gone`."""
    if headers.content_length is not None and int(headers.content_length) > BODY_BYTES_MAX:
        raise _TooLarge
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _Gone
        body += message["body"]
        more = message["more_body"]
        if len(body) > BODY_BYTES_MAX:
            raise _TooLarge
    return body


def _name_twice(body: bytes) -> str:
    """The error if an object in this JSON has a duplicate name, else empty. The SDK answers what is not JSON."""
    try:
        check_once(body)
    except Invalid as error:
        return str(error)
    except (ValueError, RecursionError):
        pass
    return ""


def _read(body: bytes, receive: Receive) -> Receive:
    """A `receive` that first returns this body."""
    waiting = [body]

    async def give() -> Message:
        return {"type": "http.request", "body": waiting.pop(), "more_body": False} if waiting else await receive()

    return give


async def _refuse(send: Send, status: int, words: str, *more: tuple[bytes, bytes]) -> None:
    body = words.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _agent_of(agents: Agents, context: Context) -> AbstractAsyncContextManager[Agent]:
    """The agent of a request, by its key and the account that it names, if any."""
    headers = read_headers(context.request.headers.raw if context.request is not None else ())
    key = key_text.bearer(headers.authorization).decode("ascii", "replace")
    return agents.using(key, account_name(headers.account) if headers.account else "")
