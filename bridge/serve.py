"""The composition root of the service: from settings to a market that is served until it is told to end.

Rule of this file: as `app`, it only wires. Order matters: what answers is stopped first, the journal last.
"""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import uvloop
from msgspec import Struct

from callmarket.bridge import systemd as supervisor
from callmarket.bridge.access.authenticator import Authenticator
from callmarket.bridge.access.first_key import ensure_admin_key
from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.access.sites import among
from callmarket.bridge.api.errors import Unavailable
from callmarket.bridge.config import Config, as_environment
from callmarket.bridge.ending_signals import ending_signals
from callmarket.bridge.fleet.earning.collector import Collector
from callmarket.bridge.fleet.earning.demurrage import demurrage_of
from callmarket.bridge.market.app import open_with
from callmarket.bridge.market.exchange import Exchange
from callmarket.bridge.scheduler.clearing import ClearingScheduler
from callmarket.bridge.server.follower import take_snapshots
from callmarket.bridge.server.gateway import Gateway, RequestObserver
from callmarket.bridge.server.http.asgi import Scope
from callmarket.bridge.server.http.connection_table import CONNECTIONS_MAX, ConnectionTable
from callmarket.bridge.server.http.http_server import Server, ending_on, listening_socket, url_of
from callmarket.bridge.server.requests.caller import Caller as Asking
from callmarket.bridge.server.service import Service
from callmarket.bridge.telemetry.access_log import AccessLog, RateLimitFilter
from callmarket.bridge.telemetry.metrics import CONTENT_TYPE, Metrics, Watched
from callmarket.bridge.telemetry.proofs import Proofs
from callmarket.bridge.telemetry.requests import Requests

logger: Final = logging.getLogger(__name__)

# How soon it is noticed that this process leads no longer; its callers are told at once.
_LOOK_S: Final = 0.2
# Between attempts to stand by again, while the database is unavailable.
_BEGIN_AGAIN_S: Final = 1.0
# New objects before the interpreter looks for cycles among them, and how often it looks among older ones too. The usual
# 700 are those of a few requests, which leave none: looking for them took a tenth of a bid's time and more. What does
# leave some (a traceback that holds its frame) is found later, after some 10 MB at most.
_COLLECT_AFTER: Final = (50_000, 50, 50)
# Of the HTTP server: anybody can cause them, with bytes that are no HTTP.
_WARNINGS_PER_S: Final = 10

Ending = Literal["signal", "over"]
"""Why a service ended: it was told to, or others have taken over and it stands by again."""


class Ready(Struct, frozen=True):
    """What a person wants to know of a service that listens."""

    url: str
    admin_key_path: str


def serve(config: Config, on_ready: Callable[[Ready], None]) -> None:
    """Serve the market until SIGTERM, SIGINT or SIGHUP; a process that others have taken over from stands by again.

    A signal ends it in order: requests under way are answered, applied commands are committed. A second one waits for
    no caller any more, but for the journal all the same. SIGHUP is left alone where it was ignored before (`nohup`).

    A process that handed over, or was fenced off while it stood still, drops all of that session and begins anew, in
    this process and on the same port; an unavailable database is waited for then. What ends it (docs/faults.md has the
    list) is raised: as `open_exchange` for what keeps it from beginning; `Invalid` or `Unavailable` for an address that
    cannot be listened on; `Unavailable` for a journal that has stopped for any other reason than a successor, for an
    engine that broke off in the middle of a command, and for rows that could not be written before the end; and of
    `persistence.errors` for a history that it cannot follow.
    """
    # A wrong setting is refused before anything is opened.
    connection_table(config)
    gc.set_threshold(*_COLLECT_AFTER)
    requests, access_log = Requests(), AccessLog(config.log_requests_per_s)
    uvicorn_log, few = logging.getLogger("uvicorn.error"), RateLimitFilter(_WARNINGS_PER_S)
    uvicorn_log.addFilter(few)

    def seen(scope: Scope, caller: Asking | None, status: int, seconds: float, request_id: str) -> None:
        requests.count(scope, status, seconds)
        access_log.log_request(scope, caller, status, seconds, request_id)

    port = config.port
    ending: Ending = "over"
    sessions = 0
    try:
        while ending == "over":
            listening = listening_socket(config.host, port)
            _warn_of_plain_text(listening)
            # Where any port would do, it stays the same one for its clients.
            port = listening.getsockname()[1]
            ending = uvloop.run(_serve_once(config, listening, on_ready, requests, seen, again=sessions > 0))
            sessions += 1
            if ending == "over":
                logger.warning("this process leads no longer: it stands by again")
    finally:
        access_log.tell_rest()
        uvicorn_log.removeFilter(few)
    logger.info("ended in order")


async def _serve_once(
    config: Config,
    listening: socket.socket,
    on_ready: Callable[[Ready], None],
    requests: Requests,
    seen: RequestObserver,
    *,
    again: bool,
) -> Ending:
    """Stand by, lead, and let go. Raises as `serve`. `again`: it has begun before."""
    endings: list[Ending] = []
    servers: list[Server] = []
    url = url_of(listening)
    config = msgspec.structs.replace(config, address=config.address or url)
    async with AsyncExitStack() as stack:
        # First, and so last: a signal that comes while it begins or ends is heard, and ends nothing in the middle.
        await stack.enter_async_context(ending_on(ending_signals(), lambda: _end("signal", endings, servers)))
        stack.enter_context(listening)
        if again:
            # An engine and all that it held, which the collector might not come by for long.
            await asyncio.to_thread(gc.collect)
        begun = await _begin(stack, config, endings, again=again)
        if begun is None:
            return "signal"
        exchange, keyring, admin_key_path = begun
        calls = await stack.enter_async_context(ClearingScheduler(exchange))
        demurrage = Collector(exchange, demurrage_of(config))
        background(stack, demurrage.run())
        proofs = Proofs(exchange.node)
        background(stack, proofs.follow())

        def connections() -> int:
            return server.connections

        def turned_away() -> int:
            return gateway.turned_away

        metrics = Metrics(Watched(exchange.node, keyring, calls, demurrage, requests, proofs, connections, turned_away))

        async def scrape() -> tuple[bytes, str]:
            return await metrics.text(), CONTENT_TYPE

        def ready() -> None:
            logger.info("listening", extra={"url": url})
            supervisor.notify(supervisor.READY, os.environ)
            on_ready(Ready(url, "" if admin_key_path is None else str(admin_key_path)))

        service = Service(exchange, Authenticator(keyring), keyring, calls, scrape)
        stack.callback(service.close)
        gateway = Gateway(service, seen, config.changes_waiting_max)
        server = Server(gateway, exchange.node.end_streams, ready, admission=gateway, table=connection_table(config))
        servers.append(server)
        background(stack, _watch(exchange, lambda: _end("over", endings, servers)))
        _take_snapshots(stack, config, exchange)
        if not endings:
            await server.serve(sockets=[listening])
        if "signal" in endings:
            return "signal"
        exchange.wait_until_leading(0)
        if not exchange.node.lost:
            raise Unavailable(exchange.wait_until_over(0))
    # A signal may have come in those last moments too.
    return "signal" if "signal" in endings else "over"


def _take_snapshots(stack: AsyncExitStack, config: Config, exchange: Exchange) -> None:
    """Have snapshots taken by a process of its own while this one leads, if that is wanted."""
    if config.snapshot_every_s:
        # The URL is no argument, which everybody can read: it may have a password.
        environment = {**os.environ, **as_environment(config), "CALLMARKET_DATABASE_URL": exchange.node.url}
        leads = partial(_leads, exchange)
        background(stack, take_snapshots(config.shard_id, config.snapshot_every_s, environment, leads))


async def _begin(
    stack: AsyncExitStack, config: Config, endings: list[Ending], *, again: bool
) -> tuple[Exchange, Keyring, Path | None] | None:
    """A standby, the keys and the path of the admin's, until the stack ends. None if a signal came before it had begun.

    An unavailable database is waited for, but for the first start, which fails.
    """
    while "signal" not in endings:
        try:
            async with AsyncExitStack() as begun:
                exchange = await asyncio.to_thread(open_with, config, standby=True, writer_process=True)
                begun.push_async_callback(_close, exchange)
                node = exchange.node
                admin_key_path = await asyncio.to_thread(
                    ensure_admin_key, node.url, node.shard_id, config.home_path, node.time.real_us
                )
                keyring = await asyncio.to_thread(Keyring(node.url, node.shard_id, node.time.real_us).start)
                begun.push_async_callback(asyncio.to_thread, keyring.close)
                stack.push_async_exit(begun.pop_all())
                return exchange, keyring, admin_key_path
        except Unavailable as error:
            if not again:
                raise
            logger.warning("it cannot stand by yet, and tries again: %s", error)
            await asyncio.sleep(_BEGIN_AGAIN_S)
    return None


async def _close(exchange: Exchange) -> None:
    """Close it. Of one that others have taken over from, what was not written is in doubt, and its callers know it.

    Raises `Unavailable` if anybody else's rows could not be written.
    """
    lost = exchange.node.lost
    try:
        await asyncio.to_thread(exchange.close)
    except Unavailable as error:
        if not lost:
            raise
        logger.warning("closed after others have taken over: %s", error)


def connection_table(config: Config) -> ConnectionTable:
    """The table of connections. Raises `Invalid` for proxies that are no addresses."""
    is_proxy = among(config.proxy_addresses, "proxy_addresses")
    return ConnectionTable(CONNECTIONS_MAX, config.connections_per_address_max, is_proxy)


def _warn_of_plain_text(listening: socket.socket) -> None:
    """Keys are secrets, and here they are sent as they are: on this machine that is fine, beyond it it is not."""
    address = listening.getsockname()[0]
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        logger.warning(
            "listening on %s: API keys come in plain text, and others on the way can read them. Let a proxy with "
            "TLS stand before it, and let only that reach this port (deploy/README.md)",
            address,
        )


def _end(why: Ending, endings: list[Ending], servers: list[Server]) -> None:
    """Let the server end, if it has begun; a second signal is another word than the first."""
    if why == "signal":
        supervisor.notify(supervisor.STOPPING, os.environ)
        logger.info("told to end again: no caller is waited for" if why in endings else "told to end")
    for server in servers:
        if why == "signal" and why in endings:
            server.shutdown_now()
        else:
            server.end()
    endings.append(why)


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
