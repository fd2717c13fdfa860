"""The ways to a market that the contract is tried on.

Rule of this file: one fixture, `api`, which gives a blocking `Market` for each way; another way joins by one more
entry of `WAYS`. Beside it `owner` is the exchange itself, for what only its owner may do.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, cast

import pytest

from callmarket import AsyncClient, AsyncExchange, Client, Exchange, ManualClock, open_exchange
from callmarket.bridge.api.market import Market
from tests.bridge.conftest import START_US
from tests.support.served_market import served
from tests.support.small_market import WAIT_S_MAX


class Blocking:
    """An asyncio way to a market, with each call run in a loop of its own thread and waited for."""

    def __init__(self, way: object, loop: asyncio.AbstractEventLoop) -> None:
        self._way = way
        self._loop = loop

    def acting_as(self, actor: str) -> "Blocking":
        """The same way, for this account."""
        return Blocking(cast(AsyncExchange | AsyncClient, self._way).acting_as(actor), self._loop)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._way, name)

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            async def ask() -> Any:
                return await method(*args, **kwargs)

            return self._run(ask())

        return call

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S_MAX)


@contextmanager
def threads(owner: Exchange) -> Iterator[Market]:
    """`Exchange` itself."""
    yield owner


@contextmanager
def loop_of_its_own() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S_MAX)
        loop.close()


@contextmanager
def in_loop(owner: Exchange) -> Iterator[Market]:
    """`AsyncExchange`, made blocking."""
    with loop_of_its_own() as loop:
        yield cast(Market, Blocking(AsyncExchange(owner), loop))


@contextmanager
def over_http(owner: Exchange) -> Iterator[Market]:
    """`Client`, over a real socket, with the key of an admin as the first start makes it."""
    with served(owner) as market, Client(market.url, market.key(admin=True)) as client:
        yield client


@contextmanager
def over_http_in_loop(owner: Exchange) -> Iterator[Market]:
    """`AsyncClient`, made blocking."""
    with served(owner) as market, loop_of_its_own() as loop:
        client = Blocking(AsyncClient(market.url, market.key(admin=True)), loop)
        try:
            yield cast(Market, client)
        finally:
            client.close()


WAYS: dict[str, Callable[[Exchange], AbstractContextManager[Market]]] = {
    "threads": threads,
    "asyncio": in_loop,
    "client": over_http,
    "async-client": over_http_in_loop,
}


def acting_as(api: Market, actor: str) -> Market:
    """The same way to the market, for this account."""
    if isinstance(api, Blocking):
        return cast(Market, api.acting_as(actor))
    assert isinstance(api, Exchange | Client), api
    return api.acting_as(actor)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at a fixed time."""
    return ManualClock(START_US)


@pytest.fixture
def owner(database_url: str, clock: ManualClock) -> Iterator[Exchange]:
    """The exchange itself, with nothing in it."""
    with open_exchange(database_url, clock=clock) as exchange:
        yield exchange


@pytest.fixture(params=list(WAYS))
def api(request: pytest.FixtureRequest, owner: Exchange) -> Iterator[Market]:
    """The same market, by one way after the other."""
    with WAYS[request.param](owner) as way:
        yield way
