"""What the texts for accounting tools share: the commodity, days, and names that stay apart.

Rule of this file: nothing depends on a particular tool.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from callmarket.persistence.queries.months import SequencedMovement

# The one commodity. Neither tool takes it for a number or a keyword.
TOKEN: Final = "TOKEN"  # noqa: S105 -- a name, no secret

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


class Tool(NamedTuple):
    """How the ledger is written for one tool."""

    suffix: str
    included: Callable[[Sequence[str]], str]
    """The file that has those of all months."""
    opening: Callable[[str, date], str]
    """An account that is opened on a day."""
    transaction: Callable[[SequencedMovement], str]
    """A movement."""
    assertion: Callable[[str, int, date], str]
    """The balance, in tokens, that an account has when a day begins."""


def encoded(text: str, escape: str, besides: str = "") -> str:
    """A text in which each byte that is no letter or digit, nor `besides`, is written by `escape`: no two are alike.

    `escape` begins with a sign that is not left as it is.
    """
    plain = _PLAIN | set(besides.encode())
    return "".join(chr(byte) if byte in plain else escape.format(byte) for byte in text.encode())


def day_of(at: datetime) -> date:
    """The day of a time, in UTC."""
    return at.astimezone(UTC).date()


def month_of(at: datetime) -> str:
    """The month of a time in UTC, as 2026-11."""
    return f"{day_of(at):%Y-%m}"


def bounds_of(month: str) -> tuple[datetime, datetime]:
    """When a month begins, and when the next one does."""
    year, number = int(month[:4]), int(month[5:])
    begins = datetime(year, number, 1, tzinfo=UTC)
    return begins, begins.replace(year=year + number // 12, month=number % 12 + 1)


def months_between(first: datetime, last: datetime) -> list[str]:
    """Each month from that of one time to that of another."""
    months, begins = [], bounds_of(month_of(first))[0]
    while begins <= last:
        months.append(month_of(begins))
        begins = bounds_of(months[-1])[1]
    return months
