"""Other ways to build the book, beside which ours is measured.

Rule of this file: the smallest honest version of each structure, with the interface of `engine.book.Book` that a call
needs: add, remove, best first.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Protocol

from sortedcontainers import SortedKeyList, SortedList

from callmarket.engine.book import Bid, Book, priority

_SEQ_BITS = 53
_SEQ_MASK = (1 << _SEQ_BITS) - 1


class BookLike(Protocol):
    """What a candidate can do."""

    def add(self, bid: Bid) -> None:
        """Add a bid."""

    def remove(self, bid: Bid) -> None:
        """Take a bid out."""

    def __iter__(self) -> Iterator[Bid]:
        """Yield bids, best first."""


class PackedSortedList:
    """A sorted list of integers `-price, time` packed into one, with a dict beside it."""

    def __init__(self) -> None:
        self._keys: SortedList[int] = SortedList()
        self._bids: dict[int, Bid] = {}

    def add(self, bid: Bid) -> None:
        """Add a bid. O(log n)."""
        self._keys.add(-bid.max_price_tokens << _SEQ_BITS | bid.priority_seq)
        self._bids[bid.priority_seq] = bid

    def remove(self, bid: Bid) -> None:
        """Take a bid out. O(log n)."""
        self._keys.remove(-bid.max_price_tokens << _SEQ_BITS | bid.priority_seq)
        del self._bids[bid.priority_seq]

    def __iter__(self) -> Iterator[Bid]:
        """Yield bids, best first."""
        return (self._bids[key & _SEQ_MASK] for key in self._keys)


class KeyedSortedList:
    """A sorted list of bids with a key function: the shortest code."""

    def __init__(self) -> None:
        self._bids: SortedKeyList[Bid, tuple[int, int]] = SortedKeyList(key=priority)

    def add(self, bid: Bid) -> None:
        """Add a bid. O(log n)."""
        self._bids.add(bid)

    def remove(self, bid: Bid) -> None:
        """Take a bid out. O(log n)."""
        self._bids.remove(bid)

    def __iter__(self) -> Iterator[Bid]:
        """Yield bids, best first."""
        return iter(self._bids)


class LazyHeapLevels:
    """A dict of price levels and a heap of prices, from which emptied ones are dropped when they come up."""

    def __init__(self) -> None:
        self._levels: dict[int, dict[int, Bid]] = {}
        self._prices: list[int] = []

    def add(self, bid: Bid) -> None:
        """Add a bid. O(log levels)."""
        level = self._levels.get(bid.max_price_tokens)
        if level is None:
            self._levels[bid.max_price_tokens] = {bid.bid_id: bid}
            heappush(self._prices, -bid.max_price_tokens)
        else:
            level[bid.bid_id] = bid

    def remove(self, bid: Bid) -> None:
        """Take a bid out. O(1)."""
        level = self._levels[bid.max_price_tokens]
        del level[bid.bid_id]
        if not level:
            del self._levels[bid.max_price_tokens]

    def __iter__(self) -> Iterator[Bid]:
        """Yield bids, best first; the prices taken off the heap are put back, each once, when the walk ends."""
        taken: set[int] = set()
        try:
            while self._prices:
                price = heappop(self._prices)
                level = self._levels.get(-price)
                if level and price not in taken:
                    taken.add(price)
                    yield from level.values()
        finally:
            for price in taken:
                heappush(self._prices, price)


CANDIDATES: dict[str, type[BookLike]] = {
    "dict of levels, sorted prices (ours)": Book,
    "lazy heap of levels": LazyHeapLevels,
    "SortedList of packed ints": PackedSortedList,
    "SortedKeyList of bids": KeyedSortedList,
}
