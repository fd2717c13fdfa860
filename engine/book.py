"""The order book: bids by price descending, then time (BID-2).

Rule of this file: order only. A book does not know money, time or tasks; it keeps bids and hands them out best first.
A dict has for each price its level, a dict of bids in order of time, and a `SortedList` the prices: of the sorted
structures that `benchmarks/bench_book.py` compares it adds and cancels fastest once many rest, and bids of equal price
cost no search. (A `SortedDict` is the same in one, at a third more for a price that is new.) A dict of levels with a
heap of prices adds faster, but cannot be walked without changing it, and a decision only reads.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import chain, islice

from msgspec import Struct
from sortedcontainers import SortedList

from callmarket.engine.commands import TimeInForce
from callmarket.engine.ids import BidId

Level = dict[BidId, "Bid"]


class Bid(Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """A bid that has a hold and no award (BID-8).

    `round_no` is the next round of its market when it was placed. `replaced` says that it has ended, though its hold
    has not, and that a newer bid for its task has taken its place in the index (BID-9). Its fields in order are its row
    of the image.
    """

    bid_id: BidId
    market_id: str
    bidder_id: str
    task_id: str
    max_price_tokens: int
    expected_value_microusd: int
    ttl_at_us: int | None
    time_in_force: TimeInForce
    priority_seq: int
    round_no: int
    replaced: bool


def priority(bid: Bid) -> tuple[int, int]:
    """The sort key of the book: best first. A total order, since `priority_seq` is unique."""
    return -bid.max_price_tokens, bid.priority_seq


class Book:
    """Bids, best first. A bid is added with a later `priority_seq` than all that are in the book."""

    __slots__ = ("_bids", "_levels", "_prices")

    def __init__(self) -> None:
        """Begin empty."""
        self._levels: dict[int, Level] = {}
        # Of these, in order: the best last, where a call takes them from, and where a sorted list is cut most cheaply.
        self._prices: SortedList[int] = SortedList()
        self._bids = 0

    def __len__(self) -> int:
        """The number of bids. O(1)."""
        return self._bids

    def __iter__(self) -> Iterator[Bid]:
        """All bids, best first. O(1) a bid and lazy; the book must not change meanwhile."""
        # Nothing of this is Python while it runs, which halves a walk.
        levels = map(self._levels.__getitem__, reversed(self._prices))
        return chain.from_iterable(map(dict[BidId, Bid].values, levels))

    def add(self, bid: Bid) -> None:
        """Add a bid behind all others of its price. O(log levels)."""
        level = self._levels.get(bid.max_price_tokens)
        if level is None:
            self._levels[bid.max_price_tokens] = {bid.bid_id: bid}
            self._prices.add(bid.max_price_tokens)
        else:
            level[bid.bid_id] = bid
        self._bids += 1

    def fill(self, bids: Sequence[Bid]) -> None:
        """Add bids to an empty book, as `add` does one after the other, but sort the prices once. O(bids)."""
        assert not self._bids, self._bids
        levels: defaultdict[int, Level] = defaultdict(dict)
        for bid in bids:
            levels[bid.max_price_tokens][bid.bid_id] = bid
        self._levels.update(levels)
        self._prices.update(levels)
        self._bids = len(bids)

    def remove(self, bid: Bid) -> None:
        """Take a bid out, from wherever it stands in its level. O(1), O(log levels) for the last of its price."""
        level = self._levels[bid.max_price_tokens]
        del level[bid.bid_id]
        if not level:
            del self._levels[bid.max_price_tokens]
            self._prices.remove(bid.max_price_tokens)
        self._bids -= 1

    def remove_all(self, bids: Sequence[Bid]) -> None:
        """Take bids out, as `remove` does one after the other; half as dear where they are the best, best first."""
        levels, emptied = self._levels, list[int]()
        for bid in bids:
            price_tokens = bid.max_price_tokens
            level = levels[price_tokens]
            del level[bid.bid_id]
            if not level:
                del levels[price_tokens]
                emptied.append(price_tokens)
        self._bids -= len(bids)
        best = list(islice(reversed(self._prices), len(emptied))) == emptied
        for price_tokens in emptied:
            if best:
                self._prices.pop()
            else:
                self._prices.remove(price_tokens)

    def levels(self) -> Iterator[tuple[int, int]]:
        """Price and number of bids of each level, best first."""
        for price_tokens in reversed(self._prices):
            yield price_tokens, len(self._levels[price_tokens])

    def check(self) -> None:
        """Assert every property of the book. O(bids)."""
        for _ in self.checked():
            pass

    def checked(self) -> Iterator[Bid]:
        """All bids, best first, while every property of the book is asserted: for callers that visit each anyway."""
        bids = 0
        before = 0
        assert len(self._prices) == len(self._levels), (len(self._prices), len(self._levels))
        for price_tokens in reversed(self._prices):
            level = self._levels[price_tokens]
            # Prices fall from level to level, and no level is empty, else a cancelled best price would still be quoted.
            assert not before or price_tokens < before, f"out of order: {before}, {price_tokens}"
            assert level, f"empty level: {price_tokens}"
            before = price_tokens
            bids += len(level)
            seq = 0
            for bid_id, bid in level.items():
                # Every bid stands at its own price under its own id, behind all earlier ones.
                assert bid.bid_id == bid_id and bid.max_price_tokens == price_tokens, (price_tokens, bid_id, bid)
                assert seq < bid.priority_seq, f"out of order: {seq}, {bid}"
                seq = bid.priority_seq
                yield bid
        assert bids == self._bids, (bids, self._bids)


def best_first(one: Book, two: Book) -> Iterator[Bid]:
    """The bids of two books in one order. Lazy; O(1) a bid."""
    if not two:
        return iter(one)
    if not one:
        return iter(two)
    return merge(one, two, key=priority)
