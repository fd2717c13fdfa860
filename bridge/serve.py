"""The composition root of the service: from settings to a market that is served until it is told to end.

Rule of this file: as `app`, it only wires. Order matters: what answers is stopped first, the journal last.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, Literal, cast

import msgspec
import uvloop
from msgspec import Struct

from bridge.access.door import Door
from bridge.access.first_key import ensure_admin_key
from bridge.access.keyring import Keyring
from bridge.app import open_with
from bridge.config import Config
from bridge.cycle.caller import Caller
from bridge.exchange import Exchange
from bridge.server.asgi import Application, Scope
from bridge.server.caller import Caller as Asking
from bridge.server.follower import take_snapshots
from bridge.server.front import Front
from bridge.server.http_app import http_app
from bridge.server.http_server import Server, ending_on, listening_socket, url_of
from bridge.server.service import Service

logger: Final = logging.getLogger(__name__)

# How soon it is noticed that this process leads no longer; its callers are told at once.
_LOOK_S: Final = 0.2

Ending = Literal["signal", "over"]
"""Why a service ended: it was told to, or its process leads no longer and has to begin anew."""


class Ready(Struct, frozen=True):
    """What a person wants to know of a service that listens."""

    url: str
    admin_key_path: str


def serve(config: Config, on_ready: Callable[[Ready], None]) -> None:
    """Serve the market until SIGTERM or SIGINT; whoever leads no longer stands by again.

    Raises as `open_exchange`; `Invalid` or `Unavailable` for an address that cannot be listened on.
    """
    port = config.port
    ending: Ending = "over"
    while ending == "over":
        listening = listening_socket(config.host, port)
        # Where any port would do, it stays the same one for those who have found it.
        port = listening.getsockname()[1]
        ending = uvloop.run(_serve_once(config, listening, on_ready))
        if ending == "over":
            logger.warning("this process leads no longer: it stands by again")


async def _serve_once(config: Config, listening: socket.socket, on_ready: Callable[[Ready], None]) -> Ending:
    """Stand by, lead, and let go. Raises `Unavailable` if it can never lead: to begin anew would not help."""
    endings: list[Ending] = []
    url = url_of(listening)
    config = msgspec.structs.replace(config, address=config.address or url)
    async with AsyncExitStack() as stack:
        stack.enter_context(listening)
        exchange = await asyncio.to_thread(open_with, config, standby=True)
        stack.push_async_callback(asyncio.to_thread, exchange.close)
        admin_key_path = await asyncio.to_thread(
            ensure_admin_key, exchange.node.url, exchange.node.shard_id, config.home_path
        )
        keyring = await asyncio.to_thread(Keyring(exchange.node.url, exchange.node.shard_id).start)
        stack.push_async_callback(asyncio.to_thread, keyring.close)

        calls = await stack.enter_async_context(Caller(exchange))
        service = Service(exchange, Door(keyring), keyring, calls)
        front = Front(cast(Application, http_app(service)), service, _seen)
        server = Server(front, on_ending=exchange.node.end_streams)

        def end(why: Ending) -> None:
            endings.append(why)
            server.end()

        await stack.enter_async_context(ending_on((signal.SIGTERM, signal.SIGINT), lambda: end("signal")))
        background(stack, _watch(exchange, lambda: end("over")))
        if config.snapshot_every_s:
            environment = {**os.environ, "CALLMARKET_DATABASE_URL": exchange.node.url}
            leads = partial(_leads, exchange)
            background(stack, take_snapshots(config.snapshot_every_s, environment, leads))
        on_ready(Ready(url, "" if admin_key_path is None else str(admin_key_path)))
        await server.serve(sockets=[listening])
        if endings[0] == "over":
            exchange.wait_until_leading(0)
    return endings[0]


def _leads(exchange: Exchange) -> bool:
    return exchange.role == "leader"


async def _watch(exchange: Exchange, on_over: Callable[[], None]) -> None:
    """Call back when this process leads no longer, or never will."""
    while exchange.role != "ended":  # noqa: ASYNC110 -- a standby has no event for it, and this is not urgent
        await asyncio.sleep(_LOOK_S)
    on_over()


def background(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Do this beside, until the stack ends."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)


def _seen(scope: Scope, caller: Asking | None, status: int, seconds: float, request_id: str) -> None:
    who = caller.principal.key_id if caller else "nobody"
    logger.debug("%s %s by %s: %d in %.6f s, %s", scope["method"], scope["path"], who, status, seconds, request_id)
