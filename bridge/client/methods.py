"""How a verb or a read becomes a method of a client.

Rule of this file: as `bridge.api.verb` and `bridge.api.read`: no verb is known here, and a method's signature and
docstring are those of its builder.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Generic, ParamSpec, Protocol, TypeVar

from callmarket.bridge.api.messages import Request
from callmarket.bridge.client.call import Call

P = ParamSpec("P")
T = TypeVar("T")


class Calling(Protocol):
    """What a blocking method needs of its client."""

    def send(self, request: Request, kind: type[T]) -> T:
        """The result of one request."""

    def perform(self, call: Call[T]) -> T:
        """The result of one call."""


class CallingAsync(Protocol):
    """What an asyncio method needs of its client."""

    async def send(self, request: Request, kind: type[T]) -> T:
        """The result of one request."""

    async def perform(self, call: Call[T]) -> T:
        """The result of one call."""


class Sent(Generic[P, T]):
    """A verb that blocks until the result is there."""

    def __init__(self, build: Callable[P, Request], kind: type[T]) -> None:
        self._build = build
        self._kind = kind

    def __get__(self, client: Calling, owner: type) -> Callable[P, T]:
        """The method of this client."""

        @wraps(self._build)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return client.send(self._build(*args, **kwargs), self._kind)

        return call


class Asked(Generic[P, T]):
    """A read that blocks until the answer is there."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self._build = build

    def __get__(self, client: Calling, owner: type) -> Callable[P, T]:
        """The method of this client."""

        @wraps(self._build)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return client.perform(self._build(*args, **kwargs))

        return call


class AsyncSent(Generic[P, T]):
    """A verb that is awaited."""

    def __init__(self, build: Callable[P, Request], kind: type[T]) -> None:
        self._build = build
        self._kind = kind

    def __get__(self, client: CallingAsync, owner: type) -> Callable[P, Awaitable[T]]:
        """The method of this client."""

        @wraps(self._build)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return await client.send(self._build(*args, **kwargs), self._kind)

        return call


class AsyncAsked(Generic[P, T]):
    """A read that is awaited."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self._build = build

    def __get__(self, client: CallingAsync, owner: type) -> Callable[P, Awaitable[T]]:
        """The method of this client."""

        @wraps(self._build)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return await client.perform(self._build(*args, **kwargs))

        return call
