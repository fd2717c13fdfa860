"""An exchange of this process, served on a real socket by the real front and server, in a loop of its own thread.

Rule of this file: what `bridge.serve` wires, around an exchange that the test owns, with its clock. A process of its
own is `service_process`.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from callmarket import Exchange
from callmarket.bridge.access.authenticator import Authenticator
from callmarket.bridge.access.issue import NewKey
from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.scheduler.clearing import ClearingScheduler
from callmarket.bridge.server.gateway import Gateway
from callmarket.bridge.server.http.http_server import Server, listening_socket, url_of
from callmarket.bridge.server.service import Service
from tests.support.small_market import WAIT_S_MAX


@dataclass
class Served:
    """Where it is, and what was asked of it: path and status."""

    url: str
    keyring: Keyring
    front: Gateway = field(init=False)
    seen: list[tuple[str, int]] = field(default_factory=list)

    def key(self, **scopes: Any) -> str:
        """A new key, which may do as much as anybody can ask, unless told otherwise."""
        scopes = {"rate_per_s": 100_000, "burst": 100_000, **scopes}
        return self.keyring.issue(NewKey(name="test", **scopes), "a test").key

    def see(self, scope: Any, caller: Any, status: int, seconds: float, request_id: str) -> None:
        """Note a request."""
        self.seen.append((scope["path"], status))


async def no_metrics() -> tuple[bytes, str]:
    """Nothing is counted here."""
    return b"", ""


@contextmanager
def served(owner: Exchange) -> Iterator[Served]:
    """Serve it within the block."""
    with ExitStack() as stack:
        keyring = stack.enter_context(Keyring(owner.node.url, owner.node.shard_id))
        listening = stack.enter_context(listening_socket("127.0.0.1", 0))
        market = Served(url_of(listening), keyring)
        service = Service(owner, Authenticator(keyring), keyring, ClearingScheduler(owner), no_metrics)
        front = Gateway(service, market.see)
        market.front = front
        listens = threading.Event()
        server = Server(front, owner.node.end_streams, listens.set, admission=front)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
        thread.start()
        try:
            assert listens.wait(WAIT_S_MAX), "the server does not listen"
            yield market
        finally:
            server.end()
            thread.join(WAIT_S_MAX)
            assert not thread.is_alive(), "the server does not end"
