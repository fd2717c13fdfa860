"""A call market for agent compute: agents bid tokens for slots, each call sells them at one price.

    from callmarket import Client

    with Client("http://127.0.0.1:8321", "cmk_...") as market:
        placed = market.place_bid("gpu", "agent-7", "task-1", max_price_tokens=120)

`Client` and `AsyncClient` speak to a service (`callmarket serve`); `open_exchange` runs the market in this process;
`Worker` works off what its bids win. All of them have the same methods with the same results and errors.

Rule of this file: the public names and where each comes from. A name is imported when it is first asked for, so that
a program that only wants a client loads no database driver and no web framework.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from callmarket.extras import advice

if TYPE_CHECKING:
    from callmarket.bridge.api.clock import ManualClock, system_clock
    from callmarket.bridge.api.errors import (
        AccessDenied,
        Conflict,
        ExchangeError,
        Forbidden,
        Gone,
        Invalid,
        NotFound,
        NotLeader,
        Refused,
        TooManyRequests,
        Unauthorized,
        Unavailable,
        UnknownOutcome,
    )
    from callmarket.bridge.api.messages import Reply, Request
    from callmarket.bridge.client import AsyncClient, Client, InDoubt, each, each_async
    from callmarket.bridge.fleet.agent import Worker
    from callmarket.bridge.market.app import ensure_schema, open_exchange
    from callmarket.bridge.market.async_exchange import AsyncExchange
    from callmarket.bridge.market.exchange import Exchange
    from callmarket.engine.ids import AwardId, BidId, OrderId, PositionId

    __version__: str

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "AsyncExchange",
    "AwardId",
    "BidId",
    "Client",
    "Conflict",
    "Exchange",
    "ExchangeError",
    "Forbidden",
    "Gone",
    "InDoubt",
    "Invalid",
    "ManualClock",
    "NotFound",
    "NotLeader",
    "OrderId",
    "PositionId",
    "Refused",
    "Reply",
    "Request",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnknownOutcome",
    "Worker",
    "__version__",
    "each",
    "each_async",
    "ensure_schema",
    "open_exchange",
    "system_clock",
]

_ERRORS = "callmarket.bridge.api.errors"
_FROM = {
    "AsyncClient": "callmarket.bridge.client",
    "AsyncExchange": "callmarket.bridge.market.async_exchange",
    "AwardId": "callmarket.engine.ids",
    "BidId": "callmarket.engine.ids",
    "Client": "callmarket.bridge.client",
    "Exchange": "callmarket.bridge.market.exchange",
    "InDoubt": "callmarket.bridge.client",
    "ManualClock": "callmarket.bridge.api.clock",
    "OrderId": "callmarket.engine.ids",
    "PositionId": "callmarket.engine.ids",
    "Reply": "callmarket.bridge.api.messages",
    "Request": "callmarket.bridge.api.messages",
    "Worker": "callmarket.bridge.fleet.agent",
    "each": "callmarket.bridge.client",
    "each_async": "callmarket.bridge.client",
    "ensure_schema": "callmarket.bridge.market.app",
    "open_exchange": "callmarket.bridge.market.app",
    "system_clock": "callmarket.bridge.api.clock",
}


def __getattr__(name: str) -> Any:
    """The public name, imported on its first use. A missing extra is a `ModuleNotFoundError` that names it."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 -- most programs never ask

        value: Any = version("callmarket")
    elif name in __all__:
        value = getattr(_module(_FROM.get(name, _ERRORS)), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        line = advice(error)
        if line is None:
            raise
        raise ModuleNotFoundError(line, name=error.name, path=error.path) from error


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
