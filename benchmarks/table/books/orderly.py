"""`orderly-chaos`, a book in C++.

Rule of this file: the package's public interface only. An order's id is a bid's number and one more.
"""

from itertools import count
from typing import Final

from orderly_chaos import LimitOrderBook, Side, Trade

from benchmarks.table.peer import Bid, Call, Called, OneByOne, Step

# Ids of what sells stand apart from those of bids.
FIRST_SALE: Final = 2**40


class Orderly(OneByOne):
    """Trades are reported one by one."""

    def __init__(self) -> None:
        self._trades: Final = list[Trade]()
        self._book: Final = LimitOrderBook(on_trade=self._trades.append)
        self._sales: Final = count(FIRST_SALE)

    def cancel(self, number: int) -> Step:
        """It raises where there is none."""
        return lambda: self._book.cancel(number + 1)

    def call(self, k: int) -> Call:
        """One order to sell, at any price."""
        sale = next(self._sales)

        def run() -> int:
            self._trades.clear()
            sold = self._book.market(Side.SELL, order_id=sale, quantity=k)
            assert sold == k, sold
            return self._book.best_buy() or 0

        return Call(run, lambda price_tokens: Called(tuple(one.maker_id - 1 for one in self._trades), price_tokens))

    def resting(self) -> int:
        """Orders to buy."""
        return int(self._book.count_buy())

    def _add(self, bid: Bid) -> None:
        filled = self._book.limit(Side.BUY, order_id=bid.number + 1, quantity=1, price=bid.price_tokens)
        assert filled == 0, bid
