"""All artifact markets of a shard, and what started tokens the accounts have.

Rule of this file: indexes that agree with each other. It moves no token: the ledger does, by the transfers that follow.
"""

from sortedcontainers import SortedList

from callmarket.engine.capital import limits
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.capital.market import ArtifactMarket, Phase
from callmarket.engine.capital.orders import Order
from callmarket.engine.capital.positions import Position
from callmarket.engine.deadlines import Deadlines
from callmarket.engine.ids import OrderId, PositionId
from callmarket.engine.ledger import Account


class Capital:
    """The capital markets of a shard. Each method is O(1) or O(log n), but for `check`."""

    __slots__ = (
        "cost_by_account",
        "due",
        "markets",
        "order_deadlines",
        "orders",
        "orders_by_account",
        "orders_placed",
        "paying",
        "positions",
        "positions_by_account",
        "purses",
    )

    def __init__(self) -> None:
        """Begin empty."""
        self.markets: dict[str, ArtifactMarket] = {}
        self.orders: dict[OrderId, Order] = {}
        # The last id given: an order or position that is not here and not above this has ended.
        self.orders_placed = 0
        self.order_deadlines = Deadlines()
        self.orders_by_account: dict[str, dict[OrderId, Order]] = {}
        self.positions: dict[PositionId, Position] = {}
        self.positions_by_account: dict[str, dict[PositionId, Position]] = {}
        # What the positions of an account have cost, in all markets.
        self.cost_by_account: dict[str, int] = {}
        # Millionths of a token; none is no entry (CAP-3).
        self.purses: dict[str, int] = {}
        # (when, artifact) of the markets that a sweep takes on: to open again, to settle.
        self.due: SortedList[tuple[int, str]] = SortedList()
        # Settled markets with positions or orders left, in the order of settlement.
        self.paying: dict[str, None] = {}

    def open(self, market: ArtifactMarket) -> None:
        """Add a market."""
        self.markets[market.rules.artifact_id] = market
        self._note_due(market)

    def enter(self, market: ArtifactMarket, phase: Phase) -> None:
        """Let a market be in another phase."""
        if market.phase.due_us is not None:
            self.due.remove((market.phase.due_us, market.rules.artifact_id))
        market.phase = phase
        self._note_due(market)

    def _note_due(self, market: ArtifactMarket) -> None:
        if market.phase.due_us is not None:
            self.due.add((market.phase.due_us, market.rules.artifact_id))

    def add_order(self, order: Order) -> None:
        """Let an order rest; of one that closes, its shares are reserved."""
        market = self.markets[order.artifact_id]
        self.orders[order.order_id] = market.orders[order.order_id] = order
        market.book.add(order)
        self.order_deadlines.add(order.expires_at_us, order.order_id)
        self.orders_by_account.setdefault(order.account_id, {})[order.order_id] = order
        self._reserve(market, order, order.left)

    def reduce_order(self, order: Order, left: int) -> None:
        """Let less of a resting order be left."""
        self._reserve(self.markets[order.artifact_id], order, left - order.left)
        order.left = left

    def remove_order(self, order: Order) -> None:
        """Take a resting order out, and free what was left of it."""
        market = self.markets[order.artifact_id]
        self.reduce_order(order, 0)
        del self.orders[order.order_id], market.orders[order.order_id]
        market.book.remove(order)
        self.order_deadlines.discard(order.expires_at_us, order.order_id)
        of_account = self.orders_by_account[order.account_id]
        del of_account[order.order_id]
        if not of_account:
            del self.orders_by_account[order.account_id]

    def _reserve(self, market: ArtifactMarket, order: Order, more: int) -> None:
        if order.opens:
            market.commit(order.account_id, more)
        else:
            # The shares of a fill may be gone already, with the last of the position.
            position = market.positions.get(order.position_id)
            if position is not None:
                position.reserved_microshares += more

    def add_shares(self, position: Position) -> None:
        """Add shares to the position of this id, or open it with them."""
        market = self.markets[position.artifact_id]
        account_id, cost = position.account_id, position.cost_microtokens
        held = self.positions.get(position.position_id)
        if held is None:
            self.positions[position.position_id] = market.positions[position.position_id] = position
            self.positions_by_account.setdefault(account_id, {})[position.position_id] = position
        else:
            held.microshares += position.microshares
            held.cost_microtokens += cost
        self._note_cost(market, account_id, cost)

    def take_shares(self, position: Position, microshares: int) -> None:
        """Take shares from a position, with their part of its cost; without shares it has ended (POS-1, POS-4)."""
        market, account_id = self.markets[position.artifact_id], position.account_id
        cost = position.cost_of(microshares)
        position.microshares -= microshares
        position.cost_microtokens -= cost
        assert position.microshares >= 0, position
        self._note_cost(market, account_id, -cost)
        if not position.microshares:
            del self.positions[position.position_id], market.positions[position.position_id]
            of_account = self.positions_by_account[account_id]
            del of_account[position.position_id]
            if not of_account:
                del self.positions_by_account[account_id]

    def _note_cost(self, market: ArtifactMarket, account_id: str, more: int) -> None:
        market.cost_microtokens += more
        market.commit(account_id, more)
        cost = self.cost_by_account.get(account_id, 0) + more
        if cost:
            self.cost_by_account[account_id] = cost
        else:
            self.cost_by_account.pop(account_id, None)

    def soonest(self) -> int | None:
        """When a sweep has something to end here: 0 where a settled market still owes; None if nothing is due ever."""
        if self.paying:
            return 0
        order_us = self.order_deadlines.soonest()
        market_us = self.due[0][0] if self.due else None
        if order_us is None or market_us is None:
            return order_us if market_us is None else market_us
        return min(order_us, market_us)

    def wealth_microtokens(self, account: Account) -> int:
        """The balance of an account, and what its positions have cost (POS-5)."""
        return account.balance_tokens * MICRO + self.cost_by_account.get(account.account_id, 0)

    def check(self, escrow_tokens: int) -> None:
        """Assert every property of the markets, and that the escrow has exactly what is theirs (CAP-2). O(all)."""
        self.order_deadlines.check()
        assert self.order_deadlines.by_id() == {one.order_id: one.expires_at_us for one in self.orders.values()}
        orders = positions = funds = change = 0
        due: list[tuple[int, str]] = []
        for artifact_id, market in self.markets.items():
            assert market.rules.artifact_id == artifact_id
            market.check()
            orders += len(market.orders)
            positions += len(market.positions)
            funds += market.funds_microtokens
            if market.phase.due_us is not None:
                due.append((market.phase.due_us, artifact_id))
            unpaid = market.phase.status == "settled" and bool(market.orders or market.positions)
            assert unpaid == (artifact_id in self.paying), artifact_id
            assert len(market.positions) <= limits.POSITIONS_PER_ARTIFACT_MAX, artifact_id
        assert sorted(due) == list(self.due), "markets are due at other times"
        assert orders == len(self.orders) <= limits.ORDERS_MAX, (orders, len(self.orders))
        assert positions == len(self.positions) <= limits.POSITIONS_MAX, (positions, len(self.positions))
        for order in self.orders.values():
            assert self.markets[order.artifact_id].orders[order.order_id] is order, order
            assert order.order_id <= self.orders_placed, order
            change += order.change_microtokens
        self._check_accounts()
        owned = funds + sum(self.purses.values()) + change
        assert escrow_tokens * MICRO == owned, (escrow_tokens, funds, sum(self.purses.values()), change)

    def _check_accounts(self) -> None:
        orders: dict[str, dict[OrderId, Order]] = {}
        for order_id, order in self.orders.items():
            orders.setdefault(order.account_id, {})[order_id] = order
        assert orders == self.orders_by_account, "orders of other accounts"
        assert max(map(len, orders.values()), default=0) <= limits.ORDERS_PER_ACCOUNT_MAX
        positions: dict[str, dict[PositionId, Position]] = {}
        costs: dict[str, int] = {}
        for position_id, position in self.positions.items():
            assert position_id <= self.orders_placed, position
            positions.setdefault(position.account_id, {})[position_id] = position
            costs[position.account_id] = costs.get(position.account_id, 0) + position.cost_microtokens
        assert positions == self.positions_by_account, "positions of other accounts"
        assert {account: cost for account, cost in costs.items() if cost} == self.cost_by_account
        assert max(map(len, positions.values()), default=0) <= limits.POSITIONS_PER_ACCOUNT_MAX
        for account_id, purse in self.purses.items():
            assert 0 < purse < MICRO, (account_id, purse)
