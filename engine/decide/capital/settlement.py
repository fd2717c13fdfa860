"""From a settled price to every payout, in bounded steps.

Rule of this file: what is decided in one row is paid by it and the sweeps that follow, at the same price (STL-4).
"""

from collections.abc import Sequence
from itertools import islice

from msgspec import Struct

from callmarket.engine.capital.commands import SUBSIDY_POOL
from callmarket.engine.capital.events import (
    ArtifactMarketClosed,
    ArtifactSettled,
    ArtifactUnfrozen,
    PositionsPaid,
    SettledHow,
)
from callmarket.engine.capital.market import ArtifactMarket, Payout
from callmarket.engine.capital.orders import Order
from callmarket.engine.capital.positions import Position
from callmarket.engine.decide.capital.cash import Cash
from callmarket.engine.decide.capital.trades import ended
from callmarket.engine.events import Event
from callmarket.engine.ids import OrderId
from callmarket.engine.reasons import CAPITAL_SETTLE
from callmarket.engine.state import State


class Ends(Struct):
    """What came to an end: the events, and how many of what. `unfinished` says that a market has more to end."""

    events: list[Event]
    orders: int = 0
    positions: int = 0
    markets: int = 0
    unfinished: bool = False

    def add(self, other: "Ends") -> None:
        """Take in what another step ended."""
        self.events += other.events
        self.orders += other.orders
        self.positions += other.positions
        self.markets += other.markets

    @property
    def items(self) -> int:
        """What counts for a sweep (SET-6)."""
        return self.orders + self.positions + self.markets


def settled(market: ArtifactMarket, settled_as: SettledHow, price: int | None, items_max: int, cash: Cash) -> Ends:
    """The settlement, and the first payouts."""
    event = ArtifactSettled(
        artifact_id=market.rules.artifact_id,
        settled_as=settled_as,
        price_micros=price,
        pool_microtokens=market.maker.pool_microtokens,
        fees_microtokens=market.fees_microtokens,
        cost_microtokens=market.cost_microtokens,
        positions=len(market.positions),
        orders=len(market.orders),
    )
    ends = _paid(market, settled_as, Payout.of(event), items_max, cash)
    ends.events.insert(0, event)
    return ends


def swept(state: State, now_us: int, room: int, before: Sequence[Event]) -> tuple[Ends, bool]:
    """The ends that are due, as far as there is room, and whether more is (SET-6). `before` is what the sweep did.

    One kind at a time, so that nothing ends twice: what is owed, then orders past their deadline, then markets.
    """
    cash = Cash(state, CAPITAL_SETTLE, before)
    if not room:
        ends, more = Ends([]), _is_due(state, now_us)
    elif state.capital.paying:
        ends, more = _pay_on(state, now_us, room, cash)
    elif orders := _orders_due(state, now_us, room + 1):
        ends, more = Ends([ended("expired", orders[:room], cash)], orders=len(orders[:room])), len(orders) > room
        more = more or _is_market_due(state, now_us)
    else:
        ends, more = _take_on(state, now_us, room, cash)
    ends.events += cash.events()
    return ends, more


def _is_due(state: State, now_us: int) -> bool:
    return bool(state.capital.paying or _orders_due(state, now_us, 1)) or _is_market_due(state, now_us)


def _is_market_due(state: State, now_us: int) -> bool:
    due = state.capital.due
    return bool(due) and due[0][0] <= now_us


def _orders_due(state: State, now_us: int, count: int) -> list[Order]:
    """The first orders past their deadline (ORD-9)."""
    due = islice(state.capital.order_deadlines.due(now_us), count)
    return [state.capital.orders[OrderId(order_id)] for order_id in due]


def _pay_on(state: State, now_us: int, room: int, cash: Cash) -> tuple[Ends, bool]:
    """Orders and positions of markets settled before, in the order of settlement."""
    total = Ends([])
    for artifact_id in state.capital.paying:
        if total.items == room:
            return total, True
        market = state.capital.markets[artifact_id]
        phase, payout = market.phase, market.payout
        assert phase.settled_as is not None and payout is not None, artifact_id
        ends = _paid(market, phase.settled_as, payout, room - total.items, cash)
        total.add(ends)
        if ends.unfinished:
            return total, True
    # All is paid. Orders that ended here may be past their deadline too.
    others = len(_orders_due(state, now_us, total.orders + 1)) > total.orders
    return total, _is_market_due(state, now_us) or others


def _take_on(state: State, now_us: int, room: int, cash: Cash) -> tuple[Ends, bool]:
    """Open again or settle the markets that are due (STL-5, STL-7, STL-9)."""
    total, more = Ends([]), False
    for due_us, artifact_id in state.capital.due:
        if due_us > now_us:
            break
        if total.items >= room:
            return total, True
        market = state.capital.markets[artifact_id]
        phase = market.phase
        if phase.status == "frozen":
            ends = Ends([ArtifactUnfrozen(artifact_id)], markets=1)
            more = more or market.rules.closes_at_us <= now_us
        elif phase.status == "announced":
            assert phase.settled_as is not None, artifact_id
            ends = settled(market, phase.settled_as, phase.price_micros, room - total.items - 1, cash)
        else:
            price = market.average_at(now_us).micros
            ends = settled(market, "listed", price, room - total.items - 1, cash)
        ends.markets = 1
        more = more or ends.unfinished
        total.add(ends)
    return total, more


def _paid(market: ArtifactMarket, settled_as: SettledHow, payout: Payout, items_max: int, cash: Cash) -> Ends:
    """The ends of the first orders and positions of a settled market, and its own end if these were the last."""
    artifact_id, funds, ends = market.rules.artifact_id, market.funds_microtokens, Ends([])
    # By id: an order rests before any later one does.
    orders = list(islice(market.orders.values(), items_max))
    if orders:
        ends.events.append(ended("settled", orders, cash))
        ends.orders = len(orders)
    positions = list(islice(market.positions.values(), items_max - len(orders)))
    if positions:
        amounts = [payout.microtokens(position) for position in positions]
        ends.events.append(_payment(settled_as, payout, positions, amounts))
        ends.positions = len(positions)
        funds -= sum(amounts)
        for position, amount in zip(positions, amounts, strict=True):
            cash.pay(position.account_id, artifact_id, amount)
    ends.unfinished = ends.orders + ends.positions < len(market.orders) + len(market.positions)
    if not ends.unfinished:
        ends.events.append(ArtifactMarketClosed(artifact_id, funds))
        cash.pay(SUBSIDY_POOL, artifact_id, funds)
    return ends


def _payment(
    settled_as: SettledHow, payout: Payout, positions: Sequence[Position], amounts: Sequence[int]
) -> PositionsPaid:
    return PositionsPaid(
        artifact_id=positions[0].artifact_id,
        settled_as=settled_as,
        price_micros=payout.price_micros,
        position_ids=tuple([position.position_id for position in positions]),
        account_ids=tuple([position.account_id for position in positions]),
        microtokens=tuple(amounts),
        realised_microtokens=tuple(
            [amount - position.cost_microtokens for position, amount in zip(positions, amounts, strict=True)]
        ),
    )
