"""How a change of plain tables becomes a method: build it, make it.

Rule of this file: as `read`: no change is known here, and a method's signature and docstring are those of its builder.
A change moves no token and is not journaled; what it writes is one transaction, and it may be made again with the same
result.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Generic, ParamSpec, Protocol, TypeVar

import psycopg

from callmarket.bridge.api.errors import Invalid

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where a change is made, and by whom: what the rows say of it."""

    connection: psycopg.Connection
    shard_id: int
    by: str


@dataclass(frozen=True)
class Change(Generic[T]):
    """A change that was checked. `make` raises `NotFound` or `Conflict`, and then has changed nothing.

    One that decides by what the journal has done to the tables waits until they have all that is durable.
    """

    make: Callable[[Place], T]
    decides_by_tables: bool = False


def check_change(change: object) -> None:
    """Check that it is one. Raises `Invalid`."""
    if not isinstance(change, Change):
        raise Invalid("change", change, "a Change, as the functions of callmarket.bridge.api.artifact_changes make it")


class Changing(Protocol):
    """What a blocking change needs of its exchange."""

    def change(self, change: Change[T]) -> T:
        """The result of one change."""


class ChangingAsync(Protocol):
    """What an asyncio change needs of its exchange."""

    async def change(self, change: Change[T]) -> T:
        """The result of one change."""


class Write(Generic[P, T]):
    """A method that blocks until the change is committed."""

    def __init__(self, build: Callable[P, Change[T]]) -> None:
        self._build = build

    def __get__(self, exchange: Changing, owner: type) -> Callable[P, T]:
        """The method of this exchange."""

        @wraps(self._build)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return exchange.change(self._build(*args, **kwargs))

        return call


class AsyncWrite(Generic[P, T]):
    """A method that is awaited."""

    def __init__(self, build: Callable[P, Change[T]]) -> None:
        self._build = build

    def __get__(self, exchange: ChangingAsync, owner: type) -> Callable[P, Awaitable[T]]:
        """The method of this exchange."""

        @wraps(self._build)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return await exchange.change(self._build(*args, **kwargs))

        return call
