"""All items of a list that comes in pages.

Rule of this file: bounded by `items_max`, which the caller may raise.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

from callmarket.bridge.api.contract.results import Page

T = TypeVar("T")

ITEMS_MAX: Final = 100_000


def each(ask: Callable[..., Page[T]], *args: Any, items_max: int = ITEMS_MAX, **options: Any) -> Iterator[T]:
    """Up to `items_max` items of all pages, for example `each(client.bids, market_id="agents")`."""
    given = 0
    while True:
        page = ask(*args, **options)
        yield from page.items[: items_max - given]
        given += len(page.items)
        if page.next is None or given >= items_max:
            return
        options["after"] = page.next


async def each_async(
    ask: Callable[..., Awaitable[Page[T]]], *args: Any, items_max: int = ITEMS_MAX, **options: Any
) -> AsyncIterator[T]:
    """The same as `each`, for an asynchronous client."""
    given = 0
    while True:
        page = await ask(*args, **options)
        for item in page.items[: items_max - given]:
            yield item
        given += len(page.items)
        if page.next is None or given >= items_max:
            return
        options["after"] = page.next
