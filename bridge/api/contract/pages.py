"""Cursors: opaque texts that say where a page ends, to be handed back for the next one.

Rule of this file: a cursor names its list, the order, and the last key. A cursor of another list, or a malformed one,
is refused.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from callmarket.bridge.api.checks import check_limit, check_name
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.spelling import whole
from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence.queries import Paging

if TYPE_CHECKING:
    from callmarket.bridge.api.contract.queries import Tables

R = TypeVar("R", bound=msgspec.Struct)

Order = Literal["newest", "oldest"]
"""Whether the newest or the oldest rows of a list come first."""


def check_order(order: Order) -> None:
    """Check the order of a list. Raises `Invalid`."""
    if order not in ("newest", "oldest"):
        raise Invalid("order", order, "'newest' or 'oldest'")


def cursor(kind: str, key: int | str) -> str:
    """The cursor for the rows after `key` in a list of this kind."""
    return base64.urlsafe_b64encode(f"{kind}:{key}".encode()).decode().rstrip("=")


def number_after(kind: str, after: str | None) -> int | None:
    """The number in a cursor of this kind; None without a cursor. Raises `Invalid`."""
    text = _key(kind, after)
    if text is None:
        return None
    number = whole(text, SEQ_MAX)
    if number is None:
        raise _wrong(after)
    return number


def name_after(kind: str, after: str | None) -> str | None:
    """The name in a cursor of this kind; None without a cursor. Raises `Invalid`."""
    text = _key(kind, after)
    if text is not None:
        try:
            check_name("after", text)
        except Invalid:
            raise _wrong(after) from None
    return text


def names_after(kind: str, after: str | None) -> tuple[str, str] | None:
    """The two names in a cursor of this kind, written by `two_names`; None without a cursor. Raises `Invalid`."""
    text = _key(kind, after)
    if text is None:
        return None
    first, _, second = text.partition(" ")
    try:
        check_name("after", first)
        check_name("after", second)
    except Invalid:
        raise _wrong(after) from None
    return first, second


def two_names(first: str, second: str) -> str:
    """The key of a list that is ordered by two names. Names have no spaces."""
    return f"{first} {second}"


def _key(kind: str, after: str | None) -> str | None:
    if after is None:
        return None
    try:
        padded = after + "=" * (-len(after) % 4)
        found = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (AttributeError, TypeError, ValueError, binascii.Error):
        raise _wrong(after) from None
    of, _, key = found.partition(":")
    if of != kind:
        raise _wrong(after)
    return key


def _wrong(after: object) -> Invalid:
    return Invalid("after", after, "a cursor that the same list gave as `next`, in the same order")


def numbered(name: str, limit: int, after: str | None, order: Order) -> tuple[str, Paging]:
    """The cursor kind of a list, and the page to query: one row more than `limit`, to see if there is a next page."""
    check_limit(limit)
    check_order(order)
    kind = f"{name}-{order}"
    return kind, Paging(limit + 1, number_after(kind, after), newest=order == "newest")


def page_of(rows: Sequence[R], limit: int, kind: str, key: Callable[[R], int | str], at: "Tables") -> Page[R]:
    """The page of these rows. One row more than `limit` means that there is a next page."""
    items = tuple(rows[:limit])
    return Page(items, cursor(kind, key(items[-1])) if len(rows) > limit else None, at.seq, at.durable_seq)


def number_below(kind: str, after: str | None) -> int:
    """The exclusive upper bound of the numbers of a page, newest first. Raises `Invalid`."""
    number = number_after(kind, after)
    return SEQ_MAX + 1 if number is None else number
