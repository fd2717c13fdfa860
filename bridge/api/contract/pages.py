"""Where a page ends, as an opaque text to hand back for the next one.

Rule of this file: a cursor says which list it belongs to, in which order, and the last key; another list's, or one that
somebody has made up, is refused and never guessed at.
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
"""Which end of a list comes first."""


def check_order(order: Order) -> None:
    """Check the order of a list. Raises `Invalid`."""
    if order not in ("newest", "oldest"):
        raise Invalid("order", order, "'newest' or 'oldest'")


def cursor(kind: str, key: int | str) -> str:
    """The cursor after a key of a list of this kind."""
    return base64.urlsafe_b64encode(f"{kind}:{key}".encode()).decode().rstrip("=")


def number_after(kind: str, after: str | None) -> int | None:
    """The number that a cursor of this kind names. Raises `Invalid`."""
    text = _key(kind, after)
    if text is None:
        return None
    number = whole(text, SEQ_MAX)
    if number is None:
        raise _wrong(after)
    return number


def name_after(kind: str, after: str | None) -> str | None:
    """The name that a cursor of this kind names. Raises `Invalid`."""
    text = _key(kind, after)
    if text is not None:
        try:
            check_name("after", text)
        except Invalid:
            raise _wrong(after) from None
    return text


def names_after(kind: str, after: str | None) -> tuple[str, str] | None:
    """The two names that a cursor of this kind names, as `two_names` has written them. Raises `Invalid`."""
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
    """The key of a list that goes by two names: none has a space."""
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
    """The kind of a list's cursors, and the page to ask for: one row more, which tells whether there is a next one."""
    check_limit(limit)
    check_order(order)
    kind = f"{name}-{order}"
    return kind, Paging(limit + 1, number_after(kind, after), newest=order == "newest")


def page_of(rows: Sequence[R], limit: int, kind: str, key: Callable[[R], int | str], at: "Tables") -> Page[R]:
    """The page of these rows, which are one more than were asked for if there is a next one."""
    items = tuple(rows[:limit])
    return Page(items, cursor(kind, key(items[-1])) if len(rows) > limit else None, at.seq, at.durable_seq)


def number_below(kind: str, after: str | None) -> int:
    """The number that a page of the newest first begins below. Raises `Invalid`."""
    number = number_after(kind, after)
    return SEQ_MAX + 1 if number is None else number
