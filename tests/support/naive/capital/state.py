"""What artifact markets are made of, naively: markets, resting orders, positions, purses.

Rule of this file: that of `tests.support.naive.shard`: what can be summed when it is asked for is not kept, so the
shares of a side are those of its positions.
"""

from dataclasses import dataclass, field
from typing import Literal

from callmarket.engine.capital import limits
from callmarket.engine.capital.commands import OpenArtifactMarket, Side
from callmarket.engine.capital.events import Effect, SettledHow
from tests.support.naive.capital.maker import Reserves, average_after, pool_for, price_of_long

# e begins at one half, and has 20 bits beyond the millionth (PRC-1).
BITS = 20
Status = Literal["open", "frozen", "announced", "settled"]


@dataclass(eq=False)
class ArtifactMarket:
    """One artifact's market."""

    rules: OpenArtifactMarket
    opened_at: int
    # S and K, in microtokens, and what closes have paid in fees.
    subsidy: int
    pool: int
    fees: int = 0
    # The maker's offsets of long and short.
    offsets: Reserves = (0, 0)
    # What decays gave back in all, and when the last one was.
    returned: int = 0
    decayed_at: int | None = None
    # After each trade.
    prices: list[int] = field(default_factory=list)
    average: int = (limits.MICRO // 2) << BITS
    average_at: int = 0
    status: Status = "open"
    # Until when it is frozen, or when an announced settlement is carried out.
    until: int = 0
    settled_as: SettledHow | Literal[""] = ""
    settled_price: int | None = None
    # When it was settled: the place among all settlements, and pool, fees and costs at that moment (STL-6).
    settled_place: int = 0
    settled_money: int = 0
    settled_costs: int = 0
    # All is paid.
    closed: bool = False

    @property
    def due_at(self) -> int:
        """When the sweep has something to do with it (STL-5, STL-7, STL-9)."""
        return self.rules.closes_at_us if self.status == "open" else self.until


@dataclass(eq=False)
class Order:
    """A resting order. `left` is microtokens of one that opens, microshares of one that closes."""

    order_id: int
    artifact: str
    account: str
    position_id: int
    side: Side
    effect: Effect
    limit: int
    left: int
    expires_at: int

    @property
    def price_of_long(self) -> int:
        """Its limit as a price of long."""
        return self.limit if self.side == "long" else limits.MICRO - self.limit

    @property
    def moves_up(self) -> bool:
        """ORD-2: which way it would move the price."""
        return (self.side == "long") == (self.effect == "open")

    def change(self) -> int:
        """CAP-2: what it has of a started token in escrow."""
        return self.left % limits.MICRO if self.effect == "open" else 0

    def held(self) -> int:
        """ORD-6: the whole tokens that it holds."""
        return self.left // limits.MICRO if self.effect == "open" else 0


@dataclass(eq=False)
class Position:
    """Shares of one side, and what they cost (POS-1)."""

    position_id: int
    artifact: str
    account: str
    side: Side
    shares: int = 0
    cost: int = 0


@dataclass(eq=False)
class Capital:
    """All artifact markets of a shard."""

    markets: dict[str, ArtifactMarket] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    # Those that have shares.
    positions: dict[int, Position] = field(default_factory=dict)
    purses: dict[str, int] = field(default_factory=dict)
    orders_ever: int = 0
    settlements_ever: int = 0
    # What this command's events pay to (or, negative, take from) whom and in which artifact, in their order (CAP-3).
    flows: list[tuple[str, str, int]] = field(default_factory=list)

    def orders_of(self, artifact: str) -> list[Order]:
        """Return the resting orders of a market, by id."""
        return [order for _, order in sorted(self.orders.items()) if order.artifact == artifact]

    def positions_of(self, artifact: str) -> list[Position]:
        """Return the open positions of a market, by id."""
        return [position for _, position in sorted(self.positions.items()) if position.artifact == artifact]

    def outstanding(self, artifact: str) -> Reserves:
        """Return l and s."""
        positions = self.positions_of(artifact)
        long, short = (sum(one.shares for one in positions if one.side == side) for side in ("long", "short"))
        return long, short

    def reserves(self, artifact: str) -> Reserves:
        """Return V."""
        long, short = self.outstanding(artifact)
        offsets = self.markets[artifact].offsets
        return long + offsets[0], short + offsets[1]

    def price(self, artifact: str) -> int:
        """Return the price of long."""
        return price_of_long(self.markets[artifact].subsidy, self.reserves(artifact))

    def held(self, account: str) -> int:
        """Return what the account's resting orders hold (ORD-6)."""
        return sum(order.held() for order in self.orders.values() if order.account == account)

    def reserved(self, position_id: int) -> int:
        """Return the shares of a position that resting orders are to close (ORD-6)."""
        closing = [order for order in self.orders.values() if order.effect == "close"]
        return sum(order.left for order in closing if order.position_id == position_id)

    def cost_of(self, account: str) -> int:
        """Return what all positions of an account have cost (POS-5)."""
        return sum(position.cost for position in self.positions.values() if position.account == account)

    def committed(self, account: str, artifact: str) -> int:
        """Return what an account has in an artifact (POS-5)."""
        costs = sum(one.cost for one in self.positions_of(artifact) if one.account == account)
        opening = [order for order in self.orders_of(artifact) if order.effect == "open"]
        return costs + sum(order.left for order in opening if order.account == account)

    def read_average(self, artifact: str, now: int) -> int:
        """PRC-1: bring the average up to now, and return it to the nearest millionth."""
        market = self.markets[artifact]
        if market.status == "open":
            waited = now - market.average_at
            market.average = average_after(market.average, self.price(artifact) << BITS, waited)
        market.average_at = now
        return (market.average + (1 << BITS - 1)) >> BITS

    def pay(self, account: str, artifact: str, microtokens: int) -> None:
        """CAP-3: note what an account is to have by an event."""
        if microtokens:
            self.flows.append((account, artifact, microtokens))

    def check(self, escrow_tokens: int) -> None:
        """CAP-2, ORD-5, ORD-6, LMSR-2, LMSR-6: what holds after every command."""
        for account, purse in self.purses.items():
            assert 0 <= purse < limits.MICRO, (account, purse)
        money = sum(market.pool + market.fees for market in self.markets.values())
        change = sum(order.change() for order in self.orders.values())
        assert money + sum(self.purses.values()) + change == escrow_tokens * limits.MICRO, "CAP-2"
        for position_id, position in self.positions.items():
            assert position.shares > 0
            assert self.reserved(position_id) <= position.shares, position
        for artifact, market in self.markets.items():
            self._check_market(artifact, market)

    def _check_market(self, artifact: str, market: ArtifactMarket) -> None:
        if market.status == "settled":
            return
        reserves = self.reserves(artifact)
        assert market.pool == pool_for(market.subsidy, reserves) >= max(self.outstanding(artifact)), artifact
        orders = self.orders_of(artifact)
        bids = [order.price_of_long for order in orders if order.moves_up]
        asks = [order.price_of_long for order in orders if not order.moves_up]
        assert max(bids, default=0) < min(asks, default=limits.MICRO), "ORD-5"
