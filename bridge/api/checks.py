"""Checks of what is asked, before anybody is asked.

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

# A page of rows that a person or an agent can use; more would hold the sequencer for milliseconds.
ROWS_MAX: Final = 1_000
# As many as most lists have: who wants all rows asks for so many first, because a page weighs what was asked for.
ROWS_FEW: Final = 100


def check_limit(limit: int, field: str = "limit") -> None:
    """Check how many rows are asked for. Raises `Invalid`."""
    if type(limit) is not int or not 0 < limit <= ROWS_MAX:
        raise Invalid(field, limit, f"1 to {ROWS_MAX}")


def check_name(field: str, name: str) -> None:
    """Check what must be a name, so that no text is looked for that PostgreSQL cannot hold. Raises `Invalid`."""
    try:
        check_names(name, "")
    except ShapeError as error:
        raise Invalid(field, name, expected_in_words(error.bound)) from None


def check_names_given(**names: str | None) -> None:
    """Check those of some names that are given. Raises `Invalid`."""
    for field, name in names.items():
        if name is not None:
            check_name(field, name)


def check_id(field: str, number: int) -> None:
    """Check the number of a bid or an award. Raises `Invalid`."""
    if type(number) is not int or not 0 < number <= SEQ_MAX:
        raise Invalid(field, number, f"a whole number from 1 to {SEQ_MAX}")


def check_one_of(field: str, value: str, allowed: Sequence[str]) -> None:
    """Check a word of a closed list. Raises `Invalid`."""
    if value not in allowed:
        raise Invalid(field, value, f"one of {', '.join(allowed)}")


def check_since(since: datetime | None) -> None:
    """Check the beginning of a period, which the database has to be able to compare with. Raises `Invalid`."""
    if since is not None:
        units.check_instant("since", since)
        try:
            since.astimezone(UTC)
        except OverflowError:
            raise Invalid("since", since.isoformat(), "a time that is in the years 1 to 9999 of UTC too") from None
