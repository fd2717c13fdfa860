"""How a row of a result becomes an object: its columns are the arguments, by name.

Rule of this file: as `psycopg.rows`, whose factories do the same; but a client of the service takes the shapes of rows
from the queries, and must not need a database driver for it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from psycopg import Cursor
    from psycopg.rows import RowFactory

T = TypeVar("T")


def row_of(make: Callable[..., T]) -> "RowFactory[T]":
    """Rows as what `make` makes of their columns: a class, or a function."""

    def factory(cursor: "Cursor[Any]") -> Callable[[Sequence[Any]], T]:
        names = [column.name for column in cursor.description or ()]
        return lambda values: make(**dict(zip(names, values, strict=True)))

    return factory
