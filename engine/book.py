"""The order book: bids by price descending, then time (BID-2).

Rule of this file: order only. A book does not know money, time or tasks; it keeps bids and hands them out best first.
A `SortedDict` maps each price to its level, a dict of bids in order of time: of the sorted structures that
`benchmarks/bench_book.py` compares it adds and cancels fastest once many rest, and bids of equal price cost no search.
A dict of levels with a heap of prices adds faster, but cannot be walked without changing it, and a decision only reads.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import merge

from msgspec import Struct
from sortedcontainers import SortedDict

from engine.commands import TimeInForce

Level = dict[int, "Bid"]


class Bid(Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """A bid that has a hold and no award (BID-8).

    `round_no` is the next round of its market when it was placed. `replaced` says that it has ended, though its hold
    has not, and that a newer bid for its task has taken its place in the index (BID-9). Its fields in order are its row
    of the image.
    """

    bid_id: int
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

    __slots__ = ("_bids", "_levels")

    def __init__(self) -> None:
        """Begin empty."""
        # Keyed by the negative price, so that the best comes first without a key function, which halves the speed.
        self._levels: SortedDict[int, Level] = SortedDict()
        self._bids = 0

    def __len__(self) -> int:
        """The number of bids. O(1)."""
        return self._bids

    def __iter__(self) -> Iterator[Bid]:
        """All bids, best first. O(1) a bid and lazy; the book must not change meanwhile."""
        for level in self._levels.values():
            yield from level.values()

    def add(self, bid: Bid) -> None:
        """Add a bid behind all others of its price. O(log levels)."""
        key = -bid.max_price_tokens
        level = self._levels.get(key)
        if level is None:
            self._levels[key] = {bid.bid_id: bid}
        else:
            level[bid.bid_id] = bid
        self._bids += 1

    def fill(self, bids: Sequence[Bid]) -> None:
        """Add bids to an empty book, as `add` does one after the other, but sort the prices once. O(bids)."""
        assert not self._bids, self._bids
        levels: defaultdict[int, Level] = defaultdict(dict)
        for bid in bids:
            levels[-bid.max_price_tokens][bid.bid_id] = bid
        self._levels.update(levels)
        self._bids = len(bids)

    def remove(self, bid: Bid) -> None:
        """Take a bid out, from wherever it stands in its level. O(1), O(log levels) for the last of its price."""
        key = -bid.max_price_tokens
        level = self._levels[key]
        del level[bid.bid_id]
        if not level:
            del self._levels[key]
        self._bids -= 1

    def levels(self) -> Iterator[tuple[int, int]]:
        """Price and number of bids of each level, best first."""
        for key, level in self._levels.items():
            yield -key, len(level)

    def check(self) -> None:
        """Assert every property of the book. O(bids)."""
        bids = 0
        before = None
        for key, level in self._levels.items():
            # Prices fall from level to level, and no level is empty, else a cancelled best price would still be quoted.
            assert before is None or before < key, f"out of order: {before}, {key}"
            assert level, f"empty level: {key}"
            before = key
            bids += len(level)
            seq = 0
            for bid_id, bid in level.items():
                # Every bid stands at its own price under its own id, behind all earlier ones.
                assert bid.bid_id == bid_id and -bid.max_price_tokens == key, (key, bid_id, bid)
                assert seq < bid.priority_seq, f"out of order: {seq}, {bid}"
                seq = bid.priority_seq
        assert bids == self._bids, (bids, self._bids)


def best_first(one: Book, two: Book) -> Iterator[Bid]:
    """The bids of two books in one order. Lazy; O(1) a bid."""
    if not two:
        return iter(one)
    if not one:
        return iter(two)
    return merge(one, two, key=priority)
