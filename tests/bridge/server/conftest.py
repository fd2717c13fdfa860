"""A market behind its HTTP front, in this process: everything but the sockets."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from callmarket import Exchange, ManualClock, open_exchange
from callmarket.bridge.access.authenticator import Authenticator
from callmarket.bridge.access.issue import NewKey
from callmarket.bridge.access.keyring import Keyring
from callmarket.bridge.config import Config
from callmarket.bridge.fleet.earning.collector import Collector
from callmarket.bridge.fleet.earning.demurrage import demurrage_of
from callmarket.bridge.scheduler.clearing import ClearingScheduler
from callmarket.bridge.server.gateway import Gateway
from callmarket.bridge.server.service import Service
from callmarket.bridge.telemetry.metrics import CONTENT_TYPE, Metrics, Watched
from callmarket.bridge.telemetry.proofs import Proofs
from callmarket.bridge.telemetry.requests import Requests

BASE = "http://market.test"


class Served:
    """An application, and the keys that its market knows."""

    def __init__(self, exchange: Exchange, keyring: Keyring, stack: ExitStack) -> None:
        self.exchange = exchange
        self.keyring = keyring
        calls = ClearingScheduler(exchange)
        self.demurrage = Collector(exchange, demurrage_of(Config()))
        self.requests = Requests()
        self.proofs = Proofs(exchange.node)
        watched = Watched(
            exchange.node, keyring, calls, self.demurrage, self.requests, self.proofs, lambda: 0, lambda: 0
        )
        self.metrics = Metrics(watched)
        self.service = Service(exchange, Authenticator(keyring), keyring, calls, self._scrape)
        self.seen: list[tuple[str, int]] = []
        # The last row that whoever asks here was told of: he, and who has the exchange, ask for no less.
        self._seq = 0
        self.app = Gateway(self.service, self._see)

    def key(self, **scopes: Any) -> str:
        """A new key."""
        scopes.setdefault("rate_per_s", 100_000)
        scopes.setdefault("burst", 100_000)
        return self.keyring.issue(NewKey(name="test", **scopes), "a test").key

    def ask(self, method: str, path: str, *, key: str | None = None, account: str = "", **more: Any) -> httpx2.Response:
        """One request."""
        headers = list(dict(more.pop("headers", {})).items()) + list(more.pop("more_headers", ()))
        seq = max(self._seq, self.exchange.seen.seq)
        if method == "GET" and seq and key is not None and "Callmarket-Min-Seq" not in dict(headers):
            headers.append(("Callmarket-Min-Seq", str(seq)))
        peer = more.pop("peer", "127.0.0.1")
        if key is not None:
            headers.append(("Authorization", f"Bearer {key}"))
        if account:
            headers.append(("Callmarket-Account", account))

        async def go() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self.app, client=(peer, 1))
            async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
                return await client.request(method, path, headers=headers, **more)

        answer = asyncio.run(go())
        self._seq = max(self._seq, int(answer.headers.get("Callmarket-Seq", 0)))
        return answer

    async def _scrape(self) -> tuple[bytes, str]:
        return await self.metrics.text(), CONTENT_TYPE

    def _see(self, scope: Any, caller: Any, status: int, seconds: float, request_id: str) -> None:
        self.seen.append((scope["path"], status))
        self.requests.count(scope, status, seconds)


@pytest.fixture
def served(database_url: str, clock: ManualClock) -> Iterator[Served]:
    """A market with an agent `a` that has tokens, an agent `b`, a provider `p`, and a market `m`, behind its front."""
    with open_exchange(database_url, clock=clock) as exchange, Keyring(database_url, 0) as keyring:
        exchange.open_market("m")
        for account_id, kind in (("a", "agent"), ("b", "agent"), ("p", "provider")):
            exchange.open_account(account_id, kind)  # type: ignore[arg-type]
        exchange.mint("a", 10_000, "grant:initial")
        exchange.mint("b", 10_000, "grant:initial")
        with ExitStack() as stack:
            yield Served(exchange, keyring, stack)
