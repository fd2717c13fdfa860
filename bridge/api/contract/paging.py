"""All rows of a list that comes in pages.

Rule of this file: it asks for a small page first, because a page costs by its limit, and most lists fit in one.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from callmarket.bridge.api.checks import ROWS_FEW, ROWS_MAX
from callmarket.bridge.api.contract.results import Page

T = TypeVar("T")


def all_rows(ask: Callable[[str | None, int], Page[T]]) -> Iterator[T]:
    """The rows of all pages. Each page is asked for by `ask(after, limit)` when the iteration reaches it."""
    after, limit = None, ROWS_FEW
    while True:
        page = ask(after, limit)
        yield from page.items
        if page.next is None:
            return
        after, limit = page.next, ROWS_MAX
