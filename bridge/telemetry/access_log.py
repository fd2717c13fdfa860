"""One line for a request: the key, the route, the outcome, the time it took, and the row that it made.

Rule of this file: a line costs a good tenth of a bid, so there are up to `lines_per_s`; of those beyond, the next
second's first line says how many. Reads that went well are for `debug`. The key's id is logged, the key never.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from callmarket.bridge.server.http.asgi import Scope
from callmarket.bridge.server.requests.caller import Caller
from callmarket.bridge.telemetry.requests import route_of

logger: Final = logging.getLogger("callmarket.access")

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# What a caller writes is shown in short.
_PATH_CHARS_MAX: Final = 200


class PerSecond:
    """Lets up to `most` a second through, and counts the rest. For one thread, or where a miscount is harmless."""

    def __init__(self, most: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        """At most this many."""
        self._most: Final = most
        self._monotonic: Final = monotonic
        self._second = -1
        self._passed = 0
        self._held_back = 0

    def passes(self) -> bool:
        """Whether one more may pass in this second."""
        second = int(self._monotonic())
        if second != self._second:
            self._second, self._passed = second, 0
        if self._passed < self._most:
            self._passed += 1
            return True
        self._held_back += 1
        return False

    def held_back(self) -> int:
        """How many did not pass since this was asked last."""
        held_back, self._held_back = self._held_back, 0
        return held_back


class AccessLog:
    """The lines of one process. For the loop in which it serves."""

    def __init__(self, lines_per_s: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Write up to `lines_per_s` lines."""
        self._bound: Final = PerSecond(lines_per_s, monotonic)

    def log_request(self, scope: Scope, caller: Caller | None, status: int, seconds: float, request_id: str) -> None:
        """Log one request: its status after `seconds`; 0 if the client had gone."""
        method = scope["method"]
        level = logging.DEBUG if method in _READS and 0 < status < 400 else logging.INFO
        if status >= 500:
            level = logging.WARNING
        if not logger.isEnabledFor(level) or not self._bound.passes():
            return
        self.tell_rest()
        fields: dict[str, Any] = {
            "request_id": request_id,
            "method": method,
            "route": route_of(scope),
            "path": scope["path"][:_PATH_CHARS_MAX],
            "status": status,
            "ms": round(seconds * 1_000, 3),
        }
        if caller is not None:
            fields["key_id"] = caller.principal.key_id
            if caller.account:
                fields["account"] = caller.account
            if caller.seq:
                fields["seq"] = caller.seq
        logger.log(level, "request", extra=fields)

    def tell_rest(self) -> None:
        """Say how many requests had no line, if any."""
        held_back = self._bound.held_back()
        if held_back:
            logger.warning("requests without a line", extra={"requests": held_back})


class RateLimitFilter(logging.Filter):
    """Lets some lines of a logger through in a second: for warnings that anybody outside can cause at any rate."""

    def __init__(self, lines_per_s: int) -> None:
        """Let up to `lines_per_s` lines through."""
        super().__init__()
        self._bound: Final = PerSecond(lines_per_s)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this one is logged."""
        return record.levelno >= logging.ERROR or self._bound.passes()
