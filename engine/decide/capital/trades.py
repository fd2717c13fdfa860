"""What an order that is taken causes: its receipt, what became of the orders it met, what rests of it, and the tokens.

Rule of this file: it says in events what a walk has found, and decides nothing.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from callmarket.engine.capital import limits
from callmarket.engine.capital.events import OrderEnd, OrderMatched, OrderRested, OrdersEnded, SharesTraded
from callmarket.engine.capital.limits import MICRO, PPM
from callmarket.engine.capital.market import ArtifactMarket
from callmarket.engine.capital.orders import Order
from callmarket.engine.capital.positions import Position
from callmarket.engine.capital.route import Fill, Met, Route
from callmarket.engine.commands import Entry
from callmarket.engine.decide.capital.cash import Cash
from callmarket.engine.events import Event, Events
from callmarket.engine.ids import PositionId
from callmarket.engine.reasons import CAPITAL_TRADE
from callmarket.engine.state import State


def traded(state: State, entry: Entry, route: Route, *, rests: bool) -> Events:
    """The events of an order that trades, rests, or both."""
    order, market, cash = route.order, route.market, Cash(state, CAPITAL_TRADE)
    fee = realised = 0
    shares = route.microshares
    if route.fills and order.opens:
        cash.pay(order.account_id, order.artifact_id, -route.microtokens)
    elif route.fills:
        position = state.capital.positions[order.position_id]
        shares = position.microshares - shares
        fee = fee_of(market, route.microtokens)
        realised = route.microtokens - fee - position.cost_of(route.microshares)
        cash.pay(order.account_id, order.artifact_id, route.microtokens - fee)
    others: list[Event] = []
    changed: dict[PositionId, Position] = {}
    fees = fee
    for step in route.steps:
        if type(step) is Met:
            others.append(ended(step.reason, [step.order], cash))
        elif type(step) is Fill and step.order is not None:
            matched = _matched(state, step.order, step, cash, changed)
            fees += matched.fee_microtokens
            others.append(matched)
    events: list[Event] = others
    if route.fills:
        events = [_receipt(route, entry, fee, realised, shares, market.fees_microtokens + fees), *others]
    if rests:
        events.append(_rested(order, route.left, cash))
    return (*events, *cash.events())


def ended(reason: OrderEnd, orders: Sequence[Order], cash: Cash) -> OrdersEnded:
    """The end of some resting orders, of which the started tokens are paid back."""
    for order in orders:
        cash.pay(order.account_id, order.artifact_id, order.change_microtokens)
    return OrdersEnded(
        reason,
        tuple([order.order_id for order in orders]),
        tuple([order.artifact_id for order in orders]),
        tuple([order.account_id for order in orders]),
        tuple([order.effect for order in orders]),
        tuple([order.left for order in orders]),
    )


def fee_of(market: ArtifactMarket, microtokens: int) -> int:
    """The exit fee of what a close brings, rounded up (POS-3)."""
    return -(-microtokens * market.rules.exit_fee_ppm // PPM)


def _receipt(route: Route, entry: Entry, fee: int, realised: int, shares: int, fees: int) -> SharesTraded:
    order, market, fills = route.order, route.market, route.fills
    return SharesTraded(
        artifact_id=order.artifact_id,
        order_id=order.order_id,
        account_id=order.account_id,
        position_id=order.position_id,
        side=order.side,
        effect=order.effect,
        sources=tuple([fill.order.order_id if fill.order else 0 for fill in fills]),
        microshares=tuple([fill.microshares for fill in fills]),
        microtokens=tuple([fill.microtokens for fill in fills]),
        fee_microtokens=fee,
        realised_microtokens=realised,
        position_microshares=shares,
        price_before_micros=market.maker.price_micros,
        price_after_micros=route.price_micros,
        average_price_micros=market.average_at(entry.at_us).micros,
        long_microshares=route.long,
        short_microshares=route.short,
        subsidy_microtokens=market.maker.subsidy_microtokens,
        pool_microtokens=route.pool,
        fees_microtokens=fees,
        loss_bound_microtokens=market.loss_bound_microtokens,
    )


def _matched(state: State, order: Order, fill: Fill, cash: Cash, changed: dict[PositionId, Position]) -> OrderMatched:
    """What became of a resting order. `changed` has the positions that others of the same walk have changed."""
    left, returned, microtokens = fill.left, 0, fill.resting_microtokens
    position = _position_of(state, order, changed)
    if left < limits.ORDER_REST_MIN:
        left, returned = 0, left
    fee = realised = 0
    if order.opens:
        flow = order.change_microtokens - microtokens - left % MICRO
        position.microshares += fill.microshares
        position.cost_microtokens += microtokens
    else:
        fee = fee_of(state.capital.markets[order.artifact_id], microtokens)
        cost = position.cost_of(fill.microshares)
        position.microshares -= fill.microshares
        position.cost_microtokens -= cost
        realised = microtokens - fee - cost
        flow = microtokens - fee
    cash.pay(order.account_id, order.artifact_id, flow)
    return OrderMatched(
        order_id=order.order_id,
        artifact_id=order.artifact_id,
        account_id=order.account_id,
        position_id=order.position_id,
        side=order.side,
        effect=order.effect,
        microshares=fill.microshares,
        microtokens=microtokens,
        fee_microtokens=fee,
        realised_microtokens=realised,
        position_microshares=position.microshares,
        left=left,
        returned=returned,
    )


def _position_of(state: State, order: Order, changed: dict[PositionId, Position]) -> Position:
    """The position that a resting order opens or closes, as the walk so far leaves it."""
    position = changed.get(order.position_id)
    if position is None:
        known = state.capital.positions.get(order.position_id)
        empty = Position(order.position_id, order.artifact_id, order.account_id, order.side, 0, 0, 0)
        position = changed[order.position_id] = replace(known) if known else empty
    return position


def _rested(order: Order, left: int, cash: Cash) -> OrderRested:
    if order.opens:
        cash.pay(order.account_id, order.artifact_id, -(left % MICRO))
    return OrderRested(
        order_id=order.order_id,
        artifact_id=order.artifact_id,
        account_id=order.account_id,
        position_id=order.position_id,
        side=order.side,
        effect=order.effect,
        limit_price_micros=order.limit_price_micros,
        left=left,
        expires_at_us=order.expires_at_us,
    )
