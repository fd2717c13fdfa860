"""All items of a list that comes in pages.

Rule of this file: bounded by `items_max`, which the caller may raise.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Invalid

T = TypeVar("T")

ITEMS_MAX: Final = 100_000


def each(ask: Callable[..., Page[T]], *args: Any, items_max: int = ITEMS_MAX, **options: Any) -> Iterator[T]:
    """Up to `items_max` items of all pages, for example `each(client.bids, market_id="agents")`.

    Raises `Invalid` at the first item where `items_max` is no positive number.
    """
    _check(items_max)
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
    _check(items_max)
    given = 0
    while True:
        page = await ask(*args, **options)
        for item in page.items[: items_max - given]:
            yield item
        given += len(page.items)
        if page.next is None or given >= items_max:
            return
        options["after"] = page.next


def _check(items_max: int) -> None:
    if type(items_max) is not int or items_max < 1:
        raise Invalid("items_max", items_max, "a whole number from 1 on")
