"""All rows of a list that comes in pages, for who wants them all.

Rule of this file: it asks for few rows first, because a page weighs what was asked for, and most lists have no more.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from callmarket.bridge.api.checks import ROWS_FEW, ROWS_MAX
from callmarket.bridge.api.contract.results import Page

T = TypeVar("T")


def all_rows(ask: Callable[[str | None, int], Page[T]]) -> Iterator[T]:
    """The rows of all pages, which are asked for one after the other, as far as somebody reads: `ask(after, limit)`."""
    after, limit = None, ROWS_FEW
    while True:
        page = ask(after, limit)
        yield from page.items
        if page.next is None:
            return
        after, limit = page.next, ROWS_MAX
