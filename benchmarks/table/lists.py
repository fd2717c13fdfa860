"""What the standard library and `sortedcontainers` give: a heap, and sorted lists.

Rule of this file: the smallest honest version of each; a dict beside it knows the price of a number, for cancelling.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from sortedcontainers import SortedList

from benchmarks.table.peer import Bid, Call, Called, OneByOne, Step

Key = tuple[int, int]


class Heap(OneByOne):
    """`heapq` of prices and numbers; a cancelled bid stays in it until it comes up."""

    def __init__(self) -> None:
        self._heap: list[Key] = []
        self._prices: dict[int, int] = {}

    def fill(self, bids: Iterable[Bid]) -> None:
        """All at once. O(n)."""
        for bid in bids:
            self._prices[bid.number] = bid.price_tokens
            self._heap.append((-bid.price_tokens, bid.number))
        heapify(self._heap)

    def cancel(self, number: int) -> Step:
        """O(1). Raises `KeyError` if there is no such bid."""
        return lambda: self._prices.pop(number)

    def call(self, k: int) -> Call:
        """O(k log n), and as much for each cancelled bid that comes up."""

        def run() -> tuple[list[Key], int]:
            won: list[Key] = []
            while len(won) < k:
                key = heappop(self._heap)
                if self._prices.pop(key[1], None) is not None:
                    won.append(key)
            while self._heap and self._heap[0][1] not in self._prices:
                heappop(self._heap)
            return won, -self._heap[0][0] if self._heap else 0

        return Call(run, told)

    def resting(self) -> int:
        """Those that are not cancelled."""
        return len(self._prices)

    def _add(self, bid: Bid) -> None:
        """O(log n)."""
        self._prices[bid.number] = bid.price_tokens
        heappush(self._heap, (-bid.price_tokens, bid.number))


class Bisected(OneByOne):
    """A plain list, kept sorted by `bisect`; the best stand last, where a list is cut most cheaply."""

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._prices: dict[int, int] = {}

    def fill(self, bids: Iterable[Bid]) -> None:
        """All at once. O(n log n)."""
        for bid in bids:
            self._prices[bid.number] = bid.price_tokens
            self._keys.append((bid.price_tokens, -bid.number))
        self._keys.sort()

    def cancel(self, number: int) -> Step:
        """O(n). Raises `KeyError` if there is no such bid."""

        def run() -> None:
            key = (self._prices.pop(number), -number)
            at = bisect_left(self._keys, key)
            assert self._keys[at] == key, key
            del self._keys[at]

        return run

    def call(self, k: int) -> Call:
        """O(k)."""

        def run() -> tuple[list[Key], int]:
            won = [(-price_tokens, -number) for price_tokens, number in reversed(self._keys[-k:])]
            del self._keys[-k:]
            for _, number in won:
                del self._prices[number]
            return won, self._keys[-1][0] if self._keys else 0

        return Call(run, told)

    def resting(self) -> int:
        """The length of the list."""
        return len(self._keys)

    def _add(self, bid: Bid) -> None:
        """O(n): what stands behind it moves. A sort of all for some of many costs more."""
        self._prices[bid.number] = bid.price_tokens
        insort(self._keys, (bid.price_tokens, -bid.number))


class Sorted(OneByOne):
    """A `SortedList`: lists of some thousand, which stay short."""

    def __init__(self) -> None:
        self._keys: SortedList[Key] = SortedList()
        self._prices: dict[int, int] = {}

    def fill(self, bids: Iterable[Bid]) -> None:
        """All at once. O(n log n)."""
        for bid in bids:
            self._prices[bid.number] = bid.price_tokens
        self._keys.update((-price_tokens, number) for number, price_tokens in self._prices.items())

    def cancel(self, number: int) -> Step:
        """O(log n), nearly. Raises `KeyError` if there is no such bid."""
        return lambda: self._keys.remove((-self._prices.pop(number), number))

    def call(self, k: int) -> Call:
        """O(k)."""

        def run() -> tuple[list[Key], int]:
            won = list(self._keys[:k])
            del self._keys[:k]
            for _, number in won:
                del self._prices[number]
            return won, -self._keys[0][0] if self._keys else 0

        return Call(run, told)

    def resting(self) -> int:
        """The length of the list."""
        return len(self._keys)

    def _add(self, bid: Bid) -> None:
        """O(log n), nearly."""
        self._prices[bid.number] = bid.price_tokens
        self._keys.add((-bid.price_tokens, bid.number))


def told(answer: tuple[list[Key], int]) -> Called:
    """Winners as keys, and the price."""
    won, price_tokens = answer
    return Called(tuple(number for _, number in won), price_tokens)
