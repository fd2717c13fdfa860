"""The framework's part: all routes, what they are given, and how errors are told.

Rule of this file: it only joins.
"""

import logging
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from litestar import Litestar, Request, Response, Router
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import HTTPException, MethodNotAllowedException
from litestar.handlers import BaseRouteHandler

from bridge.errors import ExchangeError, Invalid, Unauthorized
from bridge.server import docs, openapi, resources
from bridge.server.caller import Caller
from bridge.server.front import CALLER, REQUEST_ID
from bridge.server.problem import MEDIA_TYPE
from bridge.server.problems import headers_of, problem_of
from bridge.server.routes import (
    accounts,
    artifacts,
    awards,
    bids,
    budgets,
    commitments,
    events,
    holds,
    keys,
    markets,
    metrics,
    platform,
    public,
    slots,
)
from bridge.server.service import Service
from bridge.server.strict import StrictRequest

logger: Final = logging.getLogger(__name__)

PREFIX: Final = "/api/v1"
# Of those who move over from another auction.
PLATFORM_PREFIX: Final = "/api"

# What needs a key; `front` sees to it. Each with its name in the OpenAPI document.
BEHIND_THE_FRONT: Final = {
    "Markets": markets,
    "Slots": slots,
    "Bids": bids,
    "Awards": awards,
    "Wallets": accounts,
    "Budgets": budgets,
    "Artifacts": artifacts,
    "Commitments": commitments,
    "Holds": holds,
    "Keys": keys,
    "Events": events,
}

AnyRequest = Request[Any, Any, Any]
AnyConnection = ASGIConnection[Any, Any, Any, Any]


def http_app(service: Service) -> Litestar:
    """The routes of a market."""

    def problem(request: AnyRequest, error: Exception) -> Response[Any]:
        told = problem_of(error, request.scope["state"].get(REQUEST_ID, ""), service.durable_seq())
        if told.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("request %s failed", told.request_id, exc_info=error)
        headers = headers_of(told)
        if told.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(document().methods(request.scope["path"]))
        return Response(told, status_code=told.status, media_type=MEDIA_TYPE, headers=headers)

    return Litestar(
        route_handlers=[*_routers(), *docs.handlers(document()), *resources.handlers()],
        dependencies={"service": Provide(lambda: service, sync_to_thread=False, use_cache=True)},
        exception_handlers={ExchangeError: problem, HTTPException: problem, Exception: problem},
        request_class=StrictRequest,
        # The document is made once, by `document`, and served like anything else.
        openapi_config=None,
        # Logging is the process's own business.
        logging_config=None,
        request_max_body_size=None,
    )


@cache
def document() -> openapi.Document:
    """The OpenAPI document, made from the routes themselves."""
    return openapi.Document(
        Litestar(
            route_handlers=_routers(),
            dependencies={"service": Provide(lambda: None, sync_to_thread=False)},
            openapi_config=openapi.config(),
            logging_config=None,
        )
    )


def _routers() -> list[Router]:
    """All routes but those of the document."""

    async def given_caller(request: AnyRequest) -> Caller:
        caller: Caller = request.scope["state"][CALLER]
        return caller

    def router(path: str, name: str, handlers: Any) -> Router:
        return Router(
            path,
            route_handlers=handlers,
            tags=[name],
            dependencies={"caller": Provide(given_caller)},
            guards=[need_caller, know_options],
        )

    return [
        *(router(PREFIX, name, module.HANDLERS) for name, module in BEHIND_THE_FRONT.items()),
        router(PLATFORM_PREFIX, "Platform", platform.HANDLERS),
        router("/", "Metrics", metrics.HANDLERS),
        Router("/", route_handlers=public.HANDLERS, tags=["Service"], guards=[know_options]),
    ]


def need_caller(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """A second lock: `front` has let nobody in without a key, however the path was spelled. Raises `Unauthorized`."""
    if connection.scope["state"].get(CALLER) is None:
        raise Unauthorized("an API key is needed: Authorization: Bearer cmk_...")


def know_options(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """A mistyped parameter is not silently its default, and of two values neither counts. Raises `Invalid`.

    OPTIONS, which the framework would answer by itself, tells browsers of other sites what they may do: nothing.
    """
    if isinstance(connection, Request) and connection.method == "OPTIONS":
        raise MethodNotAllowedException
    if not connection.scope["query_string"]:
        return
    known = document().options[str(getattr(handler, "operation_id", ""))]
    for name in connection.query_params:
        if name not in known:
            expected = f"one of {', '.join(sorted(known))}" if known else "no parameters"
            raise Invalid(name, connection.query_params[name], expected)
        if not known[name] and len(connection.query_params.getall(name)) > 1:
            raise Invalid(name, "twice", "one value")
