"""Everything that is served, by path: the operations, the routes and the files of the pages.

Rule of this file: it only puts them together.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from callmarket.bridge.api.market import all_operations
from callmarket.bridge.server.endpoint import Endpoint, endpoint_of
from callmarket.bridge.server.openapi.document import Document
from callmarket.bridge.server.pages import docs, resources
from callmarket.bridge.server.pages.static_files import StaticRoute
from callmarket.bridge.server.requests.routing import Router
from callmarket.bridge.server.routes import batch, cycles, events, keys, metrics, platform, public

_ROUTES: Final = (batch, cycles, keys, events, platform, metrics, public)


def endpoints() -> Iterator[Endpoint]:
    """All endpoints that the OpenAPI document describes: the operations of the market, and the routes."""
    yield from map(endpoint_of, all_operations())
    for module in _ROUTES:
        yield from module.ENDPOINTS


@cache
def router() -> Router[Any]:
    """The router of all endpoints and files. Made once for a process; about 50 ms."""
    found = document()
    served: list[Endpoint | StaticRoute] = [
        *found.endpoints,
        *docs.static_routes(found.body),
        *resources.static_routes(),
    ]
    return Router(served)


@cache
def document() -> Document:
    """The OpenAPI document, derived from the declarations. Made once for a process."""
    return Document(tuple(endpoints()))
