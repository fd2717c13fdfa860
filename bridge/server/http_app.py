"""The framework's part: all routes, what they are given, and how errors are told.

Rule of this file: it only joins.
"""

import logging
from http import HTTPStatus
from typing import Any, Final

from litestar import Litestar, Request, Response, Router
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from bridge.errors import ExchangeError, Unauthorized
from bridge.server.caller import Caller
from bridge.server.front import CALLER
from bridge.server.problem import MEDIA_TYPE
from bridge.server.problems import headers_of, problem_of
from bridge.server.routes import accounts, awards, bids, events, keys, markets, public, slots
from bridge.server.service import Service
from bridge.server.strict import StrictRequest

logger: Final = logging.getLogger(__name__)

PREFIX: Final = "/api/v1"

# What needs a key; `front` sees to it.
BEHIND_THE_FRONT: Final = (markets, slots, bids, awards, accounts, keys, events)

AnyRequest = Request[Any, Any, Any]


def http_app(service: Service) -> Litestar:
    """The routes of a market."""

    async def given_caller(request: AnyRequest) -> Caller:
        caller: Caller = request.scope["state"][CALLER]
        return caller

    def problem(request: AnyRequest, error: Exception) -> Response[Any]:
        caller: Caller | None = request.scope["state"].get(CALLER)
        told = problem_of(error, caller.request_id if caller else "", service.durable_seq())
        if told.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("request %s failed", told.request_id, exc_info=error)
        return Response(told, status_code=told.status, media_type=MEDIA_TYPE, headers=headers_of(told))

    return Litestar(
        route_handlers=[
            *public.HANDLERS,
            Router(
                PREFIX,
                route_handlers=[handler for module in BEHIND_THE_FRONT for handler in module.HANDLERS],
                dependencies={"caller": Provide(given_caller)},
                guards=[need_caller],
            ),
        ],
        dependencies={"service": Provide(lambda: service, sync_to_thread=False, use_cache=True)},
        exception_handlers={ExchangeError: problem, HTTPException: problem, Exception: problem},
        request_class=StrictRequest,
        openapi_config=openapi(),
        # Logging is the process's own business.
        logging_config=None,
        request_max_body_size=None,
    )


def need_caller(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A second lock: `front` has let nobody in without a key, however the path was spelled. Raises `Unauthorized`."""
    if connection.scope["state"].get(CALLER) is None:
        raise Unauthorized("an API key is needed: Authorization: Bearer cmk_...")


def openapi() -> OpenAPIConfig:
    """What the OpenAPI document says of the service as a whole."""
    return OpenAPIConfig(
        title="callmarket",
        version="1",
        path="/api/schema",
        use_handler_docstrings=True,
        components=Components(
            security_schemes={"apiKey": SecurityScheme(type="http", scheme="bearer", bearer_format="cmk_KEYID_SECRET")}
        ),
        security=[{"apiKey": []}],
    )
