"""One artifact market: its maker, its orders and positions, and how far its settlement is.

Rule of this file: it holds and checks. Only `engine/capital/evolve.py` changes what is here.
"""

from collections import deque
from typing import Literal

from msgspec import Struct
from sortedcontainers import SortedDict

from callmarket.engine.capital import limits
from callmarket.engine.capital.average import Average
from callmarket.engine.capital.events import ArtifactMarketOpened, ArtifactSettled, SettledHow
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.capital.maker import Maker, difference_at, price_of_side
from callmarket.engine.capital.orders import Order, OrderBook
from callmarket.engine.capital.positions import Position
from callmarket.engine.ids import OrderId, PositionId

MarketStatus = Literal["open", "frozen", "announced", "settled"]


class Phase(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Where a market is in its life (STL-1). `due_us` is when a sweep takes it on, None where none will.

    `settled_as` and `price_micros` are what is announced or was decided. Its fields in order are its row of the image.
    """

    status: MarketStatus
    due_us: int | None
    settled_as: SettledHow | None = None
    price_micros: int | None = None


class Payout(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """By what positions are paid: the price of long or, of a void market, funds and costs (STL-3, STL-6).

    Its fields in order are its row of the image.
    """

    price_micros: int | None
    funds_microtokens: int
    cost_microtokens: int

    @staticmethod
    def of(event: ArtifactSettled) -> "Payout":
        """That of a settlement."""
        return Payout(event.price_micros, event.pool_microtokens + event.fees_microtokens, event.cost_microtokens)

    def microtokens(self, position: Position) -> int:
        """What a position is paid."""
        if self.price_micros is not None:
            return position.microshares * price_of_side(position.side, self.price_micros) // MICRO
        if self.funds_microtokens >= self.cost_microtokens:
            return position.cost_microtokens
        return position.cost_microtokens * self.funds_microtokens // self.cost_microtokens


class ArtifactMarket:
    """The market of one artifact."""

    __slots__ = (
        "average",
        "book",
        "committed",
        "cost_microtokens",
        "decayed_at_us",
        "decays",
        "fees_microtokens",
        "maker",
        "orders",
        "payout",
        "phase",
        "positions",
        "prices",
        "returned_microtokens",
        "rules",
        "trades",
    )

    def __init__(self, rules: ArtifactMarketOpened, at_us: int) -> None:
        """Begin with the whole subsidy in the pool, at a price of one half (LMSR-1)."""
        subsidy = rules.subsidy_tokens * MICRO
        self.rules = rules
        self.phase = Phase("open", rules.closes_at_us)
        self.maker = Maker(subsidy, 0, 0, 0, 0, subsidy, MICRO // 2)
        self.average = Average.begin(MICRO // 2, at_us)
        # Exit fees so far. Once it is settled, they are in the pool.
        self.fees_microtokens = 0
        # What decays gave back of the subsidy.
        self.returned_microtokens = 0
        self.decayed_at_us = at_us
        self.decays = 0
        self.trades = 0
        # The latest prices after a trade: how calm it is (LMSR-9).
        self.prices: deque[int] = deque(maxlen=limits.DECAY_PRICES)
        self.payout: Payout | None = None
        self.book = OrderBook()
        self.orders: dict[OrderId, Order] = {}
        # By id, for that is the order in which they are paid.
        self.positions: SortedDict[PositionId, Position] = SortedDict()
        # What is committed by account: costs of positions and what is left of orders that open (POS-5).
        self.committed: dict[str, int] = {}
        self.cost_microtokens = 0

    @property
    def funds_microtokens(self) -> int:
        """What of the escrow is this market's (CAP-2)."""
        return self.maker.pool_microtokens + self.fees_microtokens

    @property
    def loss_bound_microtokens(self) -> int:
        """What of the subsidy can be lost at the most (LMSR-6)."""
        return self.rules.subsidy_tokens * MICRO - self.returned_microtokens

    def average_at(self, now_us: int) -> Average:
        """The average price at a time that is not before the last trade (PRC-1, STL-7)."""
        if self.phase.status != "open":
            return self.average
        return self.average.at(now_us, self.maker.price_micros)

    def commit(self, account_id: str, microtokens: int) -> None:
        """Count more as committed, or less."""
        committed = self.committed.get(account_id, 0) + microtokens
        assert committed >= 0, (account_id, committed)
        if committed:
            self.committed[account_id] = committed
        else:
            self.committed.pop(account_id, None)

    def check(self) -> None:
        """Assert every property of the market. O(orders + positions)."""
        self.book.check()
        reserved = dict.fromkeys(self.positions, 0)
        committed: dict[str, int] = {}
        for order_id, order in self.orders.items():
            assert order.order_id == order_id and order.left > 0, order
            if order.opens:
                committed[order.account_id] = committed.get(order.account_id, 0) + order.left
            else:
                reserved[order.position_id] += order.left
        shares = {"long": 0, "short": 0}
        for position_id, position in self.positions.items():
            assert position.position_id == position_id and position.microshares > 0, position
            assert reserved[position_id] == position.reserved_microshares <= position.microshares, position
            shares[position.side] += position.microshares
            if position.cost_microtokens:
                committed[position.account_id] = committed.get(position.account_id, 0) + position.cost_microtokens
        assert committed == self.committed, (committed, self.committed)
        assert sum(position.cost_microtokens for position in self.positions.values()) == self.cost_microtokens
        assert len(self.book) == len(self.orders) and self.fees_microtokens >= 0
        if self.phase.status == "settled":
            owed = sum(map(self.payout.microtokens, self.positions.values())) if self.payout else 0
            assert owed <= self.maker.pool_microtokens, self.rules
            return
        self.maker.check()
        assert shares == {"long": self.maker.long_microshares, "short": self.maker.short_microshares}, shares
        self._check_spread()

    def _check_spread(self) -> None:
        """The price is between the best orders, but for what was rounded (ORD-5)."""
        difference, subsidy = self.maker.long - self.maker.short, self.maker.subsidy_microtokens
        rounded = 2 + self.decays
        for bid in self.book.bids():
            assert difference_at(bid.long_price_micros, subsidy, up=False) <= difference + rounded, (bid, self.maker)
            break
        for ask in self.book.asks():
            assert difference_at(ask.long_price_micros, subsidy, up=True) >= difference - rounded, (ask, self.maker)
            break
