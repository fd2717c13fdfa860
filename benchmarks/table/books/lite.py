"""`litebook`, a book in Rust.

Rule of this file: the package's public interface only. It names orders itself, so a dict has to know whose is whose.
"""

from typing import Any, Final

from litebook import OrderBook, OrderType

from benchmarks.table.peer import Bid, Call, Called, OneByOne, Step


class Lite(OneByOne):
    """Fills name the order that bought."""

    def __init__(self) -> None:
        self._book: Final = OrderBook(tick_size=1.0)
        self._orders: Final = dict[int, str]()
        self._numbers: Final = dict[str, int]()

    def cancel(self, number: int) -> Step:
        """One order."""

        def run() -> None:
            order_id = self._orders.pop(number)
            del self._numbers[order_id]
            self._book.cancel(order_id)

        return run

    def call(self, k: int) -> Call:
        """One order to sell, at the lowest price."""

        def run() -> tuple[list[int], int]:
            fills = self._book.add(self._book.create_order(OrderType.Sell, price=1.0, quantity=float(k)))
            numbers = [self._numbers.pop(fill.buy_id) for fill in fills]
            for number in numbers:
                del self._orders[number]
            best = self._book.best_bid()
            return numbers, int(best[0]) if best else 0

        return Call(run, told)

    def resting(self) -> int:
        """What the book says that it could sell."""
        return round(self._book.buy_volume())

    def _add(self, bid: Bid) -> None:
        order: Any = self._book.create_order(OrderType.Buy, price=float(bid.price_tokens), quantity=1.0)
        fills = self._book.add(order)
        assert not fills, bid
        self._orders[bid.number] = order.id
        self._numbers[order.id] = bid.number


def told(answer: tuple[list[int], int]) -> Called:
    """Winners and price."""
    return Called(tuple(answer[0]), answer[1])
