"""The way of an order through the maker and the resting orders (ORD-2 to ORD-8), naively.

Rule of this file: nothing is changed. It says what would happen, so that an order can be refused for it.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from callmarket.engine.capital import limits
from callmarket.engine.capital.events import OrderEnd
from tests.support.naive.capital.maker import pool_for, shares_for, spread_at
from tests.support.naive.capital.state import Order

if TYPE_CHECKING:
    from tests.support.naive.shard import Shard

LONG, SHORT = 0, 1


@dataclass(frozen=True)
class Fill:
    """Shares that changed hands, and what each of the two paid or received. None is the maker."""

    order: Order | None
    shares: int
    microtokens: int
    others_microtokens: int = 0


@dataclass(frozen=True)
class End:
    """The end of a resting order that was met (ORD-8)."""

    order: Order
    reason: OrderEnd


@dataclass
class Route:
    """What an order meets on its way, step by step. `left` is what it could not do."""

    left: int
    steps: list[Fill | End] = field(default_factory=list)
    why_it_ends: Literal["done", "limit", "steps", "full"] = "limit"

    @property
    def fills(self) -> list[Fill]:
        """The steps that traded."""
        return [step for step in self.steps if isinstance(step, Fill)]


class Walk:
    """One order on its way; `taker` is as it would rest."""

    def __init__(self, shard: "Shard", taker: Order) -> None:
        self.now, self.taker, self.route = shard.now, taker, Route(taker.left)
        capital, artifact = shard.capital, taker.artifact
        self.subsidy = capital.markets[artifact].subsidy
        self.outstanding = list(capital.outstanding(artifact))
        self.reserves = list(capital.reserves(artifact))
        others = [order for order in capital.orders_of(artifact) if order.moves_up != taker.moves_up]
        ahead = [order for order in others if self.is_within_limit(order)]
        worse = 1 if taker.moves_up else -1
        self.ahead = sorted(ahead, key=lambda order: (worse * order.price_of_long, order.order_id))

    def is_within_limit(self, order: Order) -> bool:
        """Whether the taker's limit allows the other's price."""
        if self.taker.moves_up:
            return order.price_of_long <= self.taker.price_of_long
        return order.price_of_long >= self.taker.price_of_long

    def to_the_end(self) -> Route:
        """ORD-2: best price first."""
        route = self.route
        while True:
            # The first fill may be of ever so little: else nobody could close the last shares.
            if route.left < limits.ORDER_REST_MIN and route.fills:
                route.why_it_ends = "done"
            elif len(route.steps) >= limits.ORDER_FILLS_MAX:
                route.why_it_ends = "steps"
            elif (to_level := self.shares_to(self.level())) > 0:
                if self.trade_with_maker(to_level):
                    continue
                route.why_it_ends = "full"
            elif self.ahead:
                if self.meet(self.ahead[0]):
                    continue
                route.why_it_ends = "full"
            else:
                route.why_it_ends = "limit"
            return route

    def level(self) -> int:
        """Return the price of long that the maker may go to."""
        return (self.ahead[0] if self.ahead else self.taker).price_of_long

    def shares_to(self, price: int) -> int:
        """LMSR-4: how many shares bring the maker's price there."""
        spread = self.reserves[LONG] - self.reserves[SHORT]
        upward = self.taker.moves_up
        target = spread_at(self.subsidy, price, upward)
        return target - spread if upward else spread - target

    def trade_with_maker(self, to_level: int) -> bool:
        """LMSR-3, LMSR-5. Return whether the order may go on."""
        own, other = (LONG, SHORT) if self.taker.side == "long" else (SHORT, LONG)
        before = pool_for(self.subsidy, (self.reserves[LONG], self.reserves[SHORT]))
        full = False
        if self.taker.effect == "open":
            shares = min(to_level, shares_for(self.subsidy, self.reserves[own], self.reserves[other], self.route.left))
            room = limits.SIDE_MICROSHARES_MAX - self.outstanding[own]
            shares, full = min(shares, room), shares > room
        else:
            shares = min(to_level, self.route.left)
        if shares <= 0:
            return False
        signed = shares if self.taker.effect == "open" else -shares
        self.reserves[own] += signed
        self.outstanding[own] += signed
        money = abs(pool_for(self.subsidy, (self.reserves[LONG], self.reserves[SHORT])) - before)
        self.fill(Fill(None, shares, money))
        return not full

    def fill(self, fill: Fill) -> None:
        """Note a fill."""
        self.route.steps.append(fill)
        self.route.left -= fill.microtokens if self.taker.effect == "open" else fill.shares

    def meet(self, order: Order) -> bool:
        """ORD-4, ORD-8. Return whether the order may go on."""
        if order.expires_at <= self.now:
            self.route.steps.append(End(self.ahead.pop(0), "expired"))
            return True
        if order.account == self.taker.account:
            self.route.steps.append(End(self.ahead.pop(0), "self_trade"))
            return True
        price = order.price_of_long
        wanted = min(self.most_of_taker(price), self.most_of_resting(order))
        both_open = self.taker.effect == order.effect == "open"
        both_close = self.taker.effect == order.effect == "close"
        shares = min(wanted, limits.SIDE_MICROSHARES_MAX - max(self.outstanding)) if both_open else wanted
        if shares <= 0:
            return False
        # In favour of the resting order: long shares are dear where it sells them, and cheap where it buys them.
        of_long = price * shares // limits.MICRO if order.moves_up else -(-price * shares // limits.MICRO)
        worth = {"long": of_long, "short": shares - of_long}
        self.fill(Fill(order, shares, worth[self.taker.side], worth[order.side]))
        for side in (LONG, SHORT):
            # Two that open make n of both sides; two that close end n of both; else shares change hands.
            made = shares if both_open else -shares if both_close else 0
            self.reserves[side] += made
            self.outstanding[side] += made
        self.ahead.pop(0)
        return shares == wanted

    def most_of_taker(self, price: int) -> int:
        """ORD-4: how many shares the rest of the order is good for."""
        if self.taker.effect == "close":
            return self.route.left
        own_price = price if self.taker.side == "long" else limits.MICRO - price
        return self.route.left * limits.MICRO // own_price

    def most_of_resting(self, order: Order) -> int:
        """ORD-4: how many shares a resting order is good for."""
        if order.effect == "close":
            return order.left
        return ((order.left + 1) * limits.MICRO - 1) // order.limit
