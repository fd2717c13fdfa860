"""Counts of HTTP requests, by method, route and status.

Rule of this file: a route is a template as `/api/v1/markets/{market_id}`, never what a caller wrote, so that nobody can
make as many series as there are words. For one event loop.
"""

from collections import defaultdict
from typing import Final

from callmarket.bridge.market.histogram import Histogram
from callmarket.bridge.server.http.asgi import Scope

# Where no route fits, and the path may be anything.
NO_ROUTE: Final = "none"
OTHER_METHOD: Final = "other"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

BOUNDS_S: Final = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


def route_of(scope: Scope) -> str:
    """The template of a request's route, once it was served."""
    return scope.get("path_template") or NO_ROUTE


class Requests:
    """What was asked since this process began."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.counts: Final[defaultdict[tuple[str, str, int], int]] = defaultdict(int)
        self.seconds: Final[dict[tuple[str, str], Histogram]] = {}

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """One request was answered with this status, 0 if nobody was there to answer. Under a microsecond."""
        method = scope["method"] if scope["method"] in _METHODS else OTHER_METHOD
        route = route_of(scope)
        self.counts[method, route, status] += 1
        histogram = self.seconds.get((method, route))
        if histogram is None:
            histogram = self.seconds[method, route] = Histogram(BOUNDS_S)
        histogram.add(seconds)
