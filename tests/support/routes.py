"""The routes of a market, made once and used by one service after the other.

Rule of this file: the real application. To make one takes a fifth of a second of the processor, which hundreds of tests
need not spend again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from callmarket.bridge.server.asgi import Application
from callmarket.bridge.server.http_app import http_app
from callmarket.bridge.server.service import Service

# Made, and used by nobody at this moment, each with the service that it was made for, which lends its fields from the
# one that is served: services that are up at the same time have an application each.
_free: list[tuple[Service, Application]] = []


@contextmanager
def routes_of(service: Service) -> Iterator[Application]:
    """The application of a service, for as long as it is served."""
    own, app = _free.pop() if _free else _made()
    own.__dict__ = service.__dict__
    try:
        yield app
    finally:
        own.__dict__ = {}
        _free.append((own, app))


def _made() -> tuple[Service, Application]:
    own = Service.__new__(Service)
    return own, cast(Application, http_app(own))
