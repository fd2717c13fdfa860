"""One SQL table as the fold and the writer know it: its columns, its key, and how a change alters a row.

Rule of this file: pure; it names no table.
"""

import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Union, get_args, get_origin

from msgspec import Struct

# From 1970 to 2000, where PostgreSQL counts from.
POSTGRES_EPOCH_US: Final = 946_684_800_000_000


@dataclass(frozen=True)
class Table:
    """One table: its name, the class of its rows, how many of its first columns name one, and those of its changes."""

    name: str
    row: type[Struct]
    key_columns: int = 1
    changes: tuple[type[Struct], ...] = ()
    numeric: frozenset[str] = frozenset()
    # Columns of a change that are added to the present values, instead of replacing them.
    added: frozenset[str] = frozenset()
    # Columns that a change replaces wherever it names a status, also by None.
    of_status: frozenset[str] = frozenset()
    # A new row may find one of its key: then it takes its place or, where columns are added, changes it.
    replaces: bool = False

    @property
    def key(self) -> Sequence[str]:
        """The columns that name a row in its shard."""
        return self.row.__struct_fields__[: self.key_columns]

    def key_of(self, change: type[Struct]) -> Sequence[str]:
        """The columns by which a change finds its row."""
        return [column for column in self.key if column in change.__struct_fields__]

    @property
    def columns(self) -> Sequence[str]:
        """The columns of a row, without `shard_id`."""
        return self.row.__struct_fields__

    def sql_type(self, column: str) -> str:
        """The type of a column."""
        if column in self.numeric:
            return "numeric"
        if column.endswith("_at") or column in ("timestamp", "lease_until"):
            return "timestamptz"
        return _sql_type(self.row.__annotations__[column])


def _sql_type(annotation: object) -> str:
    """That of a field: words are text, whole numbers int8, and None is either's."""
    if get_origin(annotation) in (Union, types.UnionType):
        (kind,) = {_sql_type(part) for part in get_args(annotation) if part is not type(None)}
        return kind
    if get_origin(annotation) is list:
        return "int8[]"
    return "text" if annotation is str or get_origin(annotation) is Literal else "int8"
