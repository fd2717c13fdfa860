"""Orders for positions: opening, closing, cancelling.

Rule of this file: what an order may do; how it does it is the walk of `engine/capital/route.py`. ORD and POS rules.
"""

from callmarket.engine.capital import limits
from callmarket.engine.capital.commands import CancelOrder, ClosePosition, OpenPosition
from callmarket.engine.capital.limits import MICRO, PPM
from callmarket.engine.capital.market import ArtifactMarket
from callmarket.engine.capital.orders import Order
from callmarket.engine.capital.positions import Position
from callmarket.engine.capital.route import Route
from callmarket.engine.commands import ADMIN, Entry
from callmarket.engine.decide.capital.cash import Cash
from callmarket.engine.decide.capital.halts import refuse_halted
from callmarket.engine.decide.capital.trades import ended, traded
from callmarket.engine.decide.refusals import refused
from callmarket.engine.events import Events
from callmarket.engine.ids import OrderId, PositionId
from callmarket.engine.reasons import CAPITAL_TRADE
from callmarket.engine.reject import Reject
from callmarket.engine.state import State


def open_position(state: State, entry: Entry, command: OpenPosition) -> Events:
    """Buy shares of a side."""
    market = state.capital.markets.get(command.artifact_id)
    account_id = command.account_id
    account = state.ledger.accounts.get(account_id)
    if account is None:
        return refused(Reject.ACCOUNT_UNKNOWN, "account_id", account_id)
    if market is None:
        return refused(Reject.ARTIFACT_MARKET_UNKNOWN, "artifact_id", command.artifact_id)
    if entry.actor not in (account_id, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, account_id)
    if account.kind not in ("agent", "quest"):
        return refused(Reject.ACCOUNT_KIND, "account_id", account_id, "agent or quest")
    if account_id == market.rules.arbiter_id:
        return refused(Reject.CONFLICT_OF_INTEREST, "account_id", account_id, "not the arbiter")
    if refusal := _refuse_terms(market, entry, command):
        return refusal
    order = opening(state, command)
    route = Route(market, order, entry.at_us)
    rests = command.time_in_force == "gtd" and route.rests
    if refusal := _refuse_route(route, command, rests=rests) or _refuse_full(state, market, account_id, command):
        return refusal
    tokens, most = command.amount_tokens, exposure_left(state, market, account_id)
    if tokens > most:
        return refused(Reject.EXPOSURE_EXCEEDED, "amount_tokens", tokens, most)
    if tokens > account.available_tokens:
        return refused(Reject.FUNDS_INSUFFICIENT, "amount_tokens", tokens, account.available_tokens)
    return traded(state, entry, route, rests=rests)


def close_position(state: State, entry: Entry, command: ClosePosition) -> Events:
    """Sell shares of a position (POS-2)."""
    position = state.capital.positions.get(command.position_id)
    if position is None:
        known = command.position_id <= state.capital.orders_placed
        reason = Reject.POSITION_CLOSED if known else Reject.POSITION_UNKNOWN
        return refused(reason, "position_id", command.position_id)
    if entry.actor not in (position.account_id, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, position.account_id)
    market = state.capital.markets[position.artifact_id]
    if refusal := _refuse_terms(market, entry, command):
        return refusal
    free = position.microshares - position.reserved_microshares
    microshares = free if command.microshares is None else command.microshares
    if microshares > free or not free:
        return refused(Reject.SHARES_INSUFFICIENT, "microshares", microshares, free)
    route = Route(market, closing(state, command, position, microshares), entry.at_us)
    rests = command.time_in_force == "gtd" and route.rests
    if refusal := _refuse_route(route, command, rests=rests) or _refuse_orders_full(
        state, position.account_id, command
    ):
        return refusal
    return traded(state, entry, route, rests=rests)


def cancel_order(state: State, entry: Entry, command: CancelOrder) -> Events:
    """Take back what rests of an order (ORD-9)."""
    order = state.capital.orders.get(command.order_id)
    if order is None:
        known = command.order_id <= state.capital.orders_placed
        return refused(Reject.ORDER_CLOSED if known else Reject.ORDER_UNKNOWN, "order_id", command.order_id)
    if entry.actor not in (order.account_id, ADMIN):
        return refused(Reject.NOT_PERMITTED, "actor", entry.actor, order.account_id)
    if state.capital.markets[order.artifact_id].phase.status == "settled":
        return refused(Reject.ARTIFACT_SETTLED, "order_id", command.order_id)
    cash = Cash(state, CAPITAL_TRADE)
    return (ended("cancelled", [order], cash), *cash.events())


def opening(state: State, command: OpenPosition) -> Order:
    """The order that a command to open is."""
    order_id = OrderId(state.capital.orders_placed + 1)
    return Order(
        order_id=order_id,
        artifact_id=command.artifact_id,
        account_id=command.account_id,
        position_id=PositionId(order_id),
        side=command.side,
        effect="open",
        limit_price_micros=command.limit_price_micros or limits.PRICE_MICROS_MAX,
        left=command.amount_tokens * MICRO,
        expires_at_us=command.expires_at_us or 0,
    )


def closing(state: State, command: ClosePosition, position: Position, microshares: int) -> Order:
    """The order that a command to close is."""
    return Order(
        order_id=OrderId(state.capital.orders_placed + 1),
        artifact_id=position.artifact_id,
        account_id=position.account_id,
        position_id=position.position_id,
        side=position.side,
        effect="close",
        limit_price_micros=command.limit_price_micros or limits.PRICE_MICROS_MIN,
        left=microshares,
        expires_at_us=command.expires_at_us or 0,
    )


def exposure_left(state: State, market: ArtifactMarket, account_id: str) -> int:
    """Whole tokens that an account may still commit here (POS-5)."""
    most = state.capital.wealth_microtokens(state.ledger.accounts[account_id]) * market.rules.exposure_limit_ppm // PPM
    return max(most - market.committed.get(account_id, 0), 0) // MICRO


def _refuse_terms(market: ArtifactMarket, entry: Entry, command: OpenPosition | ClosePosition) -> Events | None:
    if command.time_in_force == "gtd":
        if command.expires_at_us is None:
            return refused(Reject.TTL_MISSING, "expires_at_us", "", "a time for gtd")
        if command.expires_at_us <= entry.at_us:
            return refused(Reject.TTL_PAST, "expires_at_us", command.expires_at_us, entry.at_us)
    return refuse_halted(market, entry)


def _refuse_route(route: Route, command: OpenPosition | ClosePosition, *, rests: bool) -> Events | None:
    if (command.time_in_force == "fok" and route.left >= limits.ORDER_REST_MIN) or (not route.fills and not rests):
        return refused(Reject.UNFILLABLE, "time_in_force", command.time_in_force, route.left)
    return None


def _refuse_full(state: State, market: ArtifactMarket, account_id: str, command: OpenPosition) -> Events | None:
    """The refusal beyond the bounds of orders and positions (ORD-9, POS-6)."""
    if refusal := _refuse_orders_full(state, account_id, command):
        return refusal
    capital = state.capital
    positions, orders = capital.positions_by_account.get(account_id, ()), capital.orders_by_account.get(account_id, ())
    if len(positions) + len(orders) >= limits.POSITIONS_PER_ACCOUNT_MAX:
        return refused(Reject.POSITIONS_PER_ACCOUNT_FULL, "account_id", account_id, limits.POSITIONS_PER_ACCOUNT_MAX)
    if len(market.positions) + len(market.orders) >= limits.POSITIONS_PER_ARTIFACT_MAX:
        bound = limits.POSITIONS_PER_ARTIFACT_MAX
        return refused(Reject.POSITIONS_PER_ARTIFACT_FULL, "artifact_id", command.artifact_id, bound)
    if len(capital.positions) + len(capital.orders) >= limits.POSITIONS_MAX:
        return refused(Reject.POSITIONS_FULL, "artifact_id", command.artifact_id, limits.POSITIONS_MAX)
    return None


def _refuse_orders_full(state: State, account_id: str, command: OpenPosition | ClosePosition) -> Events | None:
    if command.time_in_force != "gtd":
        return None
    if len(state.capital.orders_by_account.get(account_id, ())) >= limits.ORDERS_PER_ACCOUNT_MAX:
        return refused(Reject.ORDERS_PER_ACCOUNT_FULL, "account_id", account_id, limits.ORDERS_PER_ACCOUNT_MAX)
    if len(state.capital.orders) >= limits.ORDERS_MAX:
        return refused(Reject.ORDERS_FULL, "account_id", account_id, limits.ORDERS_MAX)
    return None
