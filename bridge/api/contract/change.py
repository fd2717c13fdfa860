"""A change of plain tables: what moves no token and is not journaled.

Rule of this file: no change is known here. What one writes is one transaction, and it may be made again with the same
result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from callmarket.bridge.api.errors import Invalid

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")


@dataclass(frozen=True)
class WriteContext:
    """Where a change is made, and by whom: what the rows say of it."""

    connection: "psycopg.Connection"
    shard_id: int
    by: str
    positions: Callable[[], tuple[int, int]]
    """Where the tables stand and where the journal ends, at the moment of asking."""


@dataclass(frozen=True)
class Change(Generic[T]):
    """A change that was checked. `make` raises `NotFound` or `Conflict`, and then has changed nothing.

    One that decides by what the journal has done to the tables waits until they have all that is durable.
    """

    make: Callable[[WriteContext], T]
    decides_by_tables: bool = False


def check_change(change: object) -> None:
    """Check that it is one. Raises `Invalid`."""
    if not isinstance(change, Change):
        raise Invalid("change", change, "a Change, as the operations of callmarket.bridge.api make it")
