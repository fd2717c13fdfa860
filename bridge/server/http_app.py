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

from bridge.api.errors import ExchangeError, Forbidden, Invalid, Unauthorized
from bridge.api.headers import IDEMPOTENCY_HEADER
from bridge.api.problem import MEDIA_TYPE
from bridge.api.spelling import whole
from bridge.server import docs, openapi, resources
from bridge.server.caller import Caller
from bridge.server.front import CALLER, LOOKING, REQUEST_ID
from bridge.server.problems import first_fault, headers_of, problem_of
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
from bridge.server.strict import StrictRequest, expected_of
from engine.limits import SEQ_MAX

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
        if isinstance(error, HTTPException) and error.status_code == HTTPStatus.BAD_REQUEST:
            error = _named(error, request)
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
            guards=[need_caller, let_read, know_options, know_numbers, honour_keys],
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


def let_read(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """A key that may only read is told so before the body is looked at. Raises `Forbidden`."""
    principal = connection.scope["state"][CALLER].principal
    asks = isinstance(connection, Request) and connection.method in LOOKING
    if not (asks or principal.may_change):
        raise Forbidden(f"key {principal.key_id} may only read")


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
        known[name].check(name, connection.query_params.getall(name))


def know_numbers(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """A number in a path is written as in a parameter, though the framework knows more ways. Raises `Invalid`."""
    for name, value in connection.path_params.items():
        if isinstance(value, int):
            text = _in_path(name, connection)
            if whole(text, SEQ_MAX) != value:
                raise Invalid(name, text, f"a whole number up to {SEQ_MAX}, in digits")


def honour_keys(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Whoever sends an Idempotency-Key counts on it: where it would mean nothing it is refused. Raises `Invalid`."""
    caller: Caller = connection.scope["state"][CALLER]
    is_honoured = str(getattr(handler, "operation_id", "")) in document().keyed
    asks = isinstance(connection, Request) and connection.method == "GET"
    if caller.command_id and not (is_honoured or asks):
        raise Invalid(IDEMPOTENCY_HEADER, caller.command_id, "none: it is not remembered here")


def _in_path(name: str, connection: AnyConnection) -> str:
    """A part of the path as it was written."""
    steps = zip(connection.scope["path_template"].split("/"), connection.scope["path"].split("/"), strict=False)
    return next((text for step, text in steps if step == f"{{{name}}}"), "")


def _named(error: HTTPException, request: AnyRequest) -> Exception:
    """A parameter or header of the wrong shape, by its name and with its value; anything else as it is."""
    field, words = first_fault(error)
    given = {**request.headers, **request.path_params, **request.query_params}
    value = given.get(field, given.get(field.lower()))
    return error if value is None else Invalid(field, value, expected_of(words))
