"""A change of plain tables: data that moves no tokens and is not journaled.

Rule of this file: nothing depends on a particular change. Each change is one transaction, and is idempotent.
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
    """Where a change is made, and in whose name (`by`), which the rows record."""

    connection: "psycopg.Connection"
    shard_id: int
    by: str
    positions: Callable[[], tuple[int, int]]
    """Returns the row up to which the tables are, and the last row of the journal, when it is called."""


@dataclass(frozen=True)
class Change(Generic[T]):
    """A checked change. `make` raises `NotFound` or `Conflict`, and then has changed nothing.

    With `decides_by_tables` it depends on projected rows, so it waits until the tables have every durable row.
    """

    make: Callable[[WriteContext], T]
    decides_by_tables: bool = False


def check_change(change: object) -> None:
    """Check that this is a `Change`. Raises `Invalid`."""
    if not isinstance(change, Change):
        raise Invalid("change", change, "a Change, as the operations of callmarket.bridge.api make it")
