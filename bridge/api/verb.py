"""How a verb becomes a method: build the request, submit it, read the reply.

Rule of this file: no verb is known here. A method's signature and docstring are those of its builder in `verbs`, its
result that of its reader in `results`, for every kind of exchange alike.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Generic, ParamSpec, Protocol, TypeVar

import msgspec

from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.api.names import OWN
from callmarket.engine.commands import ADMIN, OPERATOR, TREASURY

P = ParamSpec("P")
T = TypeVar("T")


class Submitting(Protocol):
    """What a blocking verb needs of its exchange."""

    def submit_checked(self, request: Request) -> Reply:
        """The reply of one request that a verb has built, and so checked."""


class SubmittingAsync(Protocol):
    """What an asyncio verb needs of its exchange."""

    async def submit_checked(self, request: Request) -> Reply:
        """The reply of one request that a verb has built, and so checked."""


class Verb(Generic[P, T]):
    """A method that blocks until the reply is there."""

    def __init__(self, build: Callable[P, Request], read: Callable[[Reply], T]) -> None:
        self._build = build
        self._read = read

    def __get__(self, exchange: Submitting, owner: type) -> Callable[P, T]:
        """The method of this exchange."""

        @wraps(self._build)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return self._read(exchange.submit_checked(self._build(*args, **kwargs)))

        return call


class AsyncVerb(Generic[P, T]):
    """A method that is awaited."""

    def __init__(self, build: Callable[P, Request], read: Callable[[Reply], T]) -> None:
        self._build = build
        self._read = read

    def __get__(self, exchange: SubmittingAsync, owner: type) -> Callable[P, Awaitable[T]]:
        """The method of this exchange."""

        @wraps(self._build)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return self._read(await exchange.submit_checked(self._build(*args, **kwargs)))

        return call


def as_actor(request: Request, actor: str | None) -> Request:
    """The request with this actor, if an exchange acts for one; about its own slot, if it names no provider."""
    acting = request if actor is None else msgspec.structs.replace(request, actor=actor)
    if not means_its_own(acting):
        return acting
    return of_provider(acting, TREASURY if acting.actor in (ADMIN, OPERATOR) else acting.actor)


def means_its_own(request: Request) -> bool:
    """Whether it means a slot and names no provider. For each bid too, so it asks for the field, not for the kind."""
    return getattr(request.command, "provider_id", "") == OWN


def of_provider(request: Request, provider_id: str) -> Request:
    """The request, of this provider's slot."""
    return msgspec.structs.replace(request, command=msgspec.structs.replace(request.command, provider_id=provider_id))
