"""The way of an order through maker and resting orders, best price first (ORD-2).

Rule of this file: it looks and changes nothing. What an order would do, a quote says by the same walk.
"""

from collections.abc import Iterator
from itertools import takewhile
from typing import Literal

from msgspec import Struct

from callmarket.engine.capital import limits
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.capital.maker import difference_at, pool_and_price, price_of_side, shares_for
from callmarket.engine.capital.market import ArtifactMarket
from callmarket.engine.capital.orders import Order


class Fill(Struct, frozen=True, gc=False):
    """Shares traded with a resting order, or with the maker, and the taker's tokens for them.

    `resting_microtokens` is what the other side pays or is paid, and `left` what then is left of it.
    """

    order: Order | None
    microshares: int
    microtokens: int
    resting_microtokens: int = 0
    left: int = 0


class Met(Struct, frozen=True, gc=False):
    """A resting order that ends because it was met (ORD-8)."""

    order: Order
    reason: Literal["self_trade", "expired"]


class Route:
    """What an order does. `long`, `short`, `pool` and `price_micros` are the maker's after it; `left` is of the order.

    `microshares` are bought or sold in all, for `microtokens` before the fee.

    Costs 15 us with the maker alone, and some 8 us more for each resting order that is met.
    """

    __slots__ = (
        "at_limit",
        "fills",
        "left",
        "long",
        "market",
        "microshares",
        "microtokens",
        "order",
        "pool",
        "price_micros",
        "short",
        "steps",
    )

    def __init__(self, market: ArtifactMarket, order: Order, now_us: int) -> None:
        """Walk until the limit, the end of the order, or a bound."""
        self.market = market
        self.order = order
        self.left = order.left
        self.long = market.maker.long_microshares
        self.short = market.maker.short_microshares
        self.pool = market.maker.pool_microtokens
        self.price_micros = market.maker.price_micros
        self.steps: list[Fill | Met] = []
        self.at_limit = False
        self._walk(now_us)
        self.fills = [step for step in self.steps if type(step) is Fill]
        self.microshares = sum([fill.microshares for fill in self.fills])
        self.microtokens = sum([fill.microtokens for fill in self.fills])

    @property
    def rests(self) -> bool:
        """Whether what is left could rest: the order ended at its limit and has enough left (ORD-5, ORD-7)."""
        return self.at_limit and self.left >= limits.ORDER_REST_MIN

    @property
    def _difference(self) -> int:
        maker = self.market.maker
        return self.long + maker.long_offset_microshares - self.short - maker.short_offset_microshares

    def _walk(self, now_us: int) -> None:
        order, crossing = self.order, self._crossing()
        while self._goes_on():
            resting = next(crossing, None)
            level = (resting or order).long_price_micros
            if not self._trade_with_maker(level) or not self._goes_on():
                return
            if resting is None:
                self.at_limit = True
                return
            if resting.expires_at_us <= now_us:
                self.steps.append(Met(resting, "expired"))
            elif resting.account_id == order.account_id:
                self.steps.append(Met(resting, "self_trade"))
            elif not self._trade_with(resting):
                return

    def _goes_on(self) -> bool:
        if len(self.steps) >= limits.ORDER_FILLS_MAX:
            return False
        # A first fill may be small: a position may have less than is worth another one.
        return self.left >= limits.ORDER_REST_MIN or self.left == self.order.left

    def _crossing(self) -> Iterator[Order]:
        """Resting orders of the other side that are not beyond the limit, the best first."""
        limit, book = self.order.long_price_micros, self.market.book
        if self.order.up:
            return takewhile(lambda ask: ask.long_price_micros <= limit, book.asks())
        return takewhile(lambda bid: bid.long_price_micros >= limit, book.bids())

    def _trade_with_maker(self, level_micros: int) -> bool:
        """Trade up to a price of long. Whether the price is there."""
        order, maker = self.order, self.market.maker
        subsidy, buys_long = maker.subsidy_microtokens, order.side == "long"
        to_level = difference_at(level_micros, subsidy, up=order.up) - self._difference
        if not order.up:
            to_level = -to_level
        if to_level <= 0:
            return True
        long, short = self.long + maker.long_offset_microshares, self.short + maker.short_offset_microshares
        if order.opens:
            own, other, side = (long, short, self.long) if buys_long else (short, long, self.short)
            affordable = shares_for(own, other, subsidy, self.pool, self.left)
            microshares = min(to_level, affordable, limits.SIDE_MICROSHARES_MAX - side)
            moved = microshares
        else:
            microshares = min(to_level, self.left)
            moved = -microshares
        if not microshares:
            return False
        if buys_long:
            self.long += moved
            long += moved
        else:
            self.short += moved
            short += moved
        pool, self.price_micros = pool_and_price(long, short, subsidy)
        microtokens = abs(pool - self.pool)
        self.pool = pool
        self._fill(Fill(None, microshares, microtokens))
        return microshares == to_level

    def _trade_with(self, resting: Order) -> bool:
        """Trade with a resting order at its price (ORD-4). Whether as much as both can, so that the walk may go on."""
        order = self.order
        own_price = price_of_side(order.side, resting.long_price_micros)
        mine_most = self.left * MICRO // own_price if order.opens else self.left
        microshares = min(mine_most, resting.most_microshares)
        room = microshares
        if order.opens and resting.opens:
            room = limits.SIDE_MICROSHARES_MAX - max(self.long, self.short)
        is_cut, microshares = room < microshares, min(room, microshares)
        if not microshares:
            return False
        # A pair of shares is worth a token: what long is not, short is.
        of_long = resting.long_value_of(microshares)
        of_short = microshares - of_long
        mine = of_long if order.side == "long" else of_short
        theirs = of_long if resting.side == "long" else of_short
        made = (order.opens + resting.opens - 1) * microshares
        self.long += made
        self.short += made
        self.pool += made
        left = resting.left - (theirs if resting.opens else microshares)
        self._fill(Fill(resting, microshares, mine, theirs, left))
        return not is_cut

    def _fill(self, fill: Fill) -> None:
        self.steps.append(fill)
        self.left -= fill.microtokens if self.order.opens else fill.microshares
        assert self.left >= 0, (self.order, fill)
