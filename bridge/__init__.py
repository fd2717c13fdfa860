"""The edge of the market: agents in, replies out.

Rule of this folder: people's units (dates, dollars, impact as a number) become the engine's whole numbers here, and
errors become exceptions here. What may be done is for the engine; what is safe is for persistence.
"""

from bridge.api.clock import ManualClock, system_clock
from bridge.api.errors import (
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
from bridge.api.messages import Reply, Request
from bridge.market.app import ensure_schema, open_exchange
from bridge.market.async_exchange import AsyncExchange
from bridge.market.exchange import Exchange

__all__ = [
    "AccessDenied",
    "AsyncExchange",
    "Conflict",
    "Exchange",
    "ExchangeError",
    "Forbidden",
    "Gone",
    "Invalid",
    "ManualClock",
    "NotFound",
    "NotLeader",
    "Refused",
    "Reply",
    "Request",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnknownOutcome",
    "ensure_schema",
    "open_exchange",
    "system_clock",
]
