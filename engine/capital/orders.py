"""Orders for positions, and the book in which they rest.

Rule of this file: records and their order. An order moves the price of long up (it opens long or closes short) or down,
so one book of two sides has all four kinds.
"""

from collections.abc import Iterator

from msgspec import Struct
from sortedcontainers import SortedDict

from callmarket.engine.capital.commands import Side
from callmarket.engine.capital.events import Effect
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.capital.maker import price_of_side
from callmarket.engine.ids import OrderId, PositionId


class Order(Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """An order. `left` is microtokens of one that opens, microshares of one that closes (ORD-1).

    Its fields in order are its row of the image.
    """

    order_id: OrderId
    artifact_id: str
    account_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    limit_price_micros: int
    left: int
    expires_at_us: int

    @property
    def opens(self) -> bool:
        """Whether it buys shares for tokens."""
        return self.effect == "open"

    @property
    def up(self) -> bool:
        """Whether it moves the price of long up."""
        return (self.side == "long") == (self.effect == "open")

    @property
    def long_price_micros(self) -> int:
        """Its limit, as a price of long."""
        return price_of_side(self.side, self.limit_price_micros)

    @property
    def most_microshares(self) -> int:
        """Shares that it can trade at its own price while it rests (ORD-4)."""
        return ((self.left + 1) * MICRO - 1) // self.limit_price_micros if self.effect == "open" else self.left

    def long_value_of(self, microshares: int) -> int:
        """What shares at its price are worth on the side of long; rounded in its favour while it rests (ORD-4)."""
        value = self.long_price_micros * microshares
        return value // MICRO if self.up else -(-value // MICRO)

    @property
    def held_tokens(self) -> int:
        """Whole tokens that are held for it while it rests (ORD-6)."""
        return self.left // MICRO if self.effect == "open" else 0

    @property
    def change_microtokens(self) -> int:
        """What it has of a started token in escrow while it rests (ORD-6)."""
        return self.left % MICRO if self.effect == "open" else 0


class OrderBook:
    """The resting orders of a market: best price first, then by id."""

    __slots__ = ("_asks", "_bids")

    def __init__(self) -> None:
        """Begin empty."""
        self._bids: SortedDict[tuple[int, OrderId], Order] = SortedDict()
        self._asks: SortedDict[tuple[int, OrderId], Order] = SortedDict()

    def __len__(self) -> int:
        """The number of orders."""
        return len(self._bids) + len(self._asks)

    def add(self, order: Order) -> None:
        """Add an order. O(log n)."""
        if order.up:
            self._bids[-order.long_price_micros, order.order_id] = order
        else:
            self._asks[order.long_price_micros, order.order_id] = order

    def remove(self, order: Order) -> None:
        """Take an order out that is there. O(log n)."""
        if order.up:
            del self._bids[-order.long_price_micros, order.order_id]
        else:
            del self._asks[order.long_price_micros, order.order_id]

    def bids(self) -> Iterator[Order]:
        """Orders that move the price up, the highest first. Lazy; none may change."""
        return iter(self._bids.values())

    def asks(self) -> Iterator[Order]:
        """Orders that move the price down, the lowest first. Lazy; none may change."""
        return iter(self._asks.values())

    def check(self) -> None:
        """Assert that each order stands where it belongs, and that no two cross (ORD-5). O(n)."""
        for (key, order_id), order in self._bids.items():
            assert order.up and (-key, order_id) == (order.long_price_micros, order.order_id), order
        for (key, order_id), order in self._asks.items():
            assert not order.up and (key, order_id) == (order.long_price_micros, order.order_id), order
        if self._bids and self._asks:
            bid, ask = self._bids.peekitem(0)[1], self._asks.peekitem(0)[1]
            assert bid.long_price_micros <= ask.long_price_micros, (bid, ask)
