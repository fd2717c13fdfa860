"""Checks of the arguments of questions, before they are asked.

Rule of this file: pure; each raises `Invalid` with the field, its value and what was expected.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from callmarket.bridge.api import units
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.names import expected_in_words
from callmarket.engine.codec import ShapeError, check_names
from callmarket.engine.limits import SEQ_MAX

# The largest page; a larger one would block the sequencer for milliseconds.
ROWS_MAX: Final = 1_000
# Most lists are no longer than this. A caller that wants all rows asks for this many first: a page costs by `limit`.
ROWS_FEW: Final = 100


def check_limit(limit: int, field: str = "limit") -> None:
    """Check the limit of a page. Raises `Invalid`."""
    if type(limit) is not int or not 0 < limit <= ROWS_MAX:
        raise Invalid(field, limit, f"1 to {ROWS_MAX}")


def check_name(field: str, name: str) -> None:
    """Check a name, so that no query has a text that PostgreSQL cannot store. Raises `Invalid`."""
    try:
        check_names(name, "")
    except ShapeError as error:
        raise Invalid(field, name, expected_in_words(error.bound)) from None


def check_names_given(**names: str | None) -> None:
    """Check the names that are not None. Raises `Invalid`."""
    for field, name in names.items():
        if name is not None:
            check_name(field, name)


def check_id(field: str, number: int) -> None:
    """Check the id of a bid or an award. Raises `Invalid`."""
    if type(number) is not int or not 0 < number <= SEQ_MAX:
        raise Invalid(field, number, f"a whole number from 1 to {SEQ_MAX}")


def check_one_of(field: str, value: str, allowed: Sequence[str]) -> None:
    """Check that a value is one of those allowed. Raises `Invalid`."""
    if value not in allowed:
        raise Invalid(field, value, f"one of {', '.join(allowed)}")


def check_since(since: datetime | None) -> None:
    """Check the beginning of a period: the database must be able to compare with it. Raises `Invalid`."""
    if since is not None:
        units.check_instant("since", since)
        try:
            since.astimezone(UTC)
        except OverflowError:
            raise Invalid("since", since.isoformat(), "a time that is in the years 1 to 9999 of UTC too") from None
