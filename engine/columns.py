"""Columns of an event that says many things of one kind: a value for each, or one value that is all of theirs.

Rule of this file: one column has one spelling, so equal events are equal bytes.
"""

from typing import TypeVar

T = TypeVar("T")


def said_once(column: tuple[T, ...]) -> tuple[T, ...]:
    """A column, not empty, as an event has it: of one value where all are alike. O(column)."""
    return column[:1] if column.count(column[0]) == len(column) else column


def spread(column: tuple[T, ...], count: int) -> tuple[T, ...]:
    """The column of `count` values that `said_once` was given. O(column)."""
    return column if len(column) == count else column * count
