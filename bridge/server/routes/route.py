"""Decorators that make a function a route.

Rule of this file: as of `bridge.api.contract.operation`: no route is known here, and the arguments of a request follow
from the function's signature.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from callmarket.bridge.api.contract.declaration import Declaration, Method
from callmarket.bridge.api.messages import Ack
from callmarket.bridge.server.endpoint import JSON, Endpoint
from callmarket.bridge.server.requests.caller import Caller
from callmarket.bridge.server.service import Service


def route(
    method: Method,
    path: str,
    tag: str,
    summary: str,
    *,
    status: int = 200,
    problems: tuple[int, ...] = (),
    example: Mapping[str, Any] | None = None,
    is_keyed: bool = False,
    media_type: str = JSON,
) -> Callable[[Callable[..., Awaitable[Any]]], Endpoint]:
    """Serve a function at this path. It is called with the service, the caller and the arguments of the request.

    With `is_keyed` these include a `command_id` and an `ack`.
    """

    def declare(function: Callable[..., Awaitable[Any]]) -> Endpoint:
        declaration = Declaration(
            function, method, path, tag, summary, status=status, problems=problems, example=example, given=2
        )

        async def perform(service: Service, caller: Caller | None, given: dict[str, Any], ack: Ack) -> Any:
            return await function(service, caller, **given, **({"ack": ack} if is_keyed else {}))

        return Endpoint(declaration, perform, is_keyed=is_keyed, takes_ack=is_keyed, media_type=media_type)

    return declare


def public_route(
    path: str, summary: str, *, problems: tuple[int, ...] = (), more: Mapping[int, Any] | None = None
) -> Callable[[Callable[..., Awaitable[Any]]], Endpoint]:
    """Serve a function at this path, without a key. It is called with the service and the arguments of the request."""

    def declare(function: Callable[..., Awaitable[Any]]) -> Endpoint:
        declaration = Declaration(function, "GET", path, "Service", summary, problems=problems, given=1)

        async def perform(service: Service, _: Caller | None, given: dict[str, Any], __: Ack) -> Any:
            return await function(service, **given)

        return Endpoint(declaration, perform, is_public=True, more=more or {})

    return declare
