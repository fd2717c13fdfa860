"""`pyorderbook`, a book in plain Python.

Rule of this file: the package's public interface only. It names orders itself, so a dict has to know whose is whose. It
keeps levels from which all was cancelled, and so cannot be asked for the best bid.
"""

from typing import Final
from uuid import UUID

from pyorderbook import Book, Order, Side, TradeBlotter

from benchmarks.table.peer import Bid, Call, Called, OneByOne, Step

SYMBOL: Final = "slot"


class Pure(OneByOne):
    """Trades name the order that stood."""

    def __init__(self) -> None:
        self._book: Final = Book()
        self._orders: Final = dict[int, Order]()
        self._numbers: Final = dict[UUID, int]()

    def cancel(self, number: int) -> Step:
        """It raises where there is none."""

        def run() -> None:
            order = self._orders.pop(number)
            del self._numbers[order.id]
            self._book.cancel(order)

        return run

    def call(self, k: int) -> Call:
        """One order to sell, at the lowest price."""

        def run() -> list[int]:
            blotter: TradeBlotter = self._book.match(Order(Side.ASK, SYMBOL, 1, k))
            numbers = [self._numbers.pop(trade.standing_order_id) for trade in blotter.trades]
            for number in numbers:
                del self._orders[number]
            return numbers

        return Call(run, lambda numbers: Called(tuple(numbers), None))

    def resting(self) -> int:
        """Orders that stand."""
        return len(self._book.order_map)

    def _add(self, one: Bid) -> None:
        order = Order(Side.BID, SYMBOL, one.price_tokens, 1)
        trades = self._book.match(order).trades
        assert not trades, one
        self._orders[one.number] = order
        self._numbers[order.id] = one.number
