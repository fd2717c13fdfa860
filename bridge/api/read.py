"""How a question becomes a method: build it, ask it.

Rule of this file: as `verb`: no question is known here, and a method's signature and docstring are those of its builder
in `reads` or `questions`, for every kind of exchange alike.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Generic, ParamSpec, Protocol, TypeVar

from callmarket.bridge.api.questions import Durable
from callmarket.bridge.api.reads import Live

P = ParamSpec("P")
T = TypeVar("T")


class Asking(Protocol):
    """What a blocking read needs of its exchange."""

    def ask(self, question: Live[T] | Durable[T]) -> T:
        """The answer of one question."""


class AskingAsync(Protocol):
    """What an asyncio read needs of its exchange."""

    async def ask(self, question: Live[T] | Durable[T]) -> T:
        """The answer of one question."""


class Read(Generic[P, T]):
    """A method that blocks until the answer is there."""

    def __init__(self, build: Callable[P, Live[T] | Durable[T]]) -> None:
        self._build = build

    def __get__(self, exchange: Asking, owner: type) -> Callable[P, T]:
        """The method of this exchange."""

        @wraps(self._build)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return exchange.ask(self._build(*args, **kwargs))

        return call


class AsyncRead(Generic[P, T]):
    """A method that is awaited."""

    def __init__(self, build: Callable[P, Live[T] | Durable[T]]) -> None:
        self._build = build

    def __get__(self, exchange: AskingAsync, owner: type) -> Callable[P, Awaitable[T]]:
        """The method of this exchange."""

        @wraps(self._build)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return await exchange.ask(self._build(*args, **kwargs))

        return call
