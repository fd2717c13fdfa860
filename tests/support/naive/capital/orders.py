"""Orders that open, close and are taken back (ORD, POS), naively."""

from collections.abc import Iterator

from callmarket.engine.capital import limits
from callmarket.engine.capital.commands import CancelOrder, ClosePosition, OpenPosition
from callmarket.engine.reject import Reject
from tests.support.naive.capital.ends import end_orders
from tests.support.naive.capital.markets import refuse_to_trade
from tests.support.naive.capital.purses import TRADE, move_tokens
from tests.support.naive.capital.route import Route, Walk
from tests.support.naive.capital.state import Order
from tests.support.naive.capital.trades import carry_out
from tests.support.naive.shard import Shard, permit


def refuse_order(shard: Shard, command: OpenPosition | ClosePosition, account: str) -> Iterator[Reject]:
    """ORD-1, ORD-9."""
    gtd = command.time_in_force == "gtd"
    if gtd and command.expires_at_us is None:
        yield Reject.TTL_MISSING
    if gtd and command.expires_at_us is not None and command.expires_at_us <= shard.now:
        yield Reject.TTL_PAST
    orders = list(shard.capital.orders.values())
    if gtd and sum(order.account == account for order in orders) >= limits.ORDERS_PER_ACCOUNT_MAX:
        yield Reject.ORDERS_PER_ACCOUNT_FULL
    if gtd and len(orders) >= limits.ORDERS_MAX:
        yield Reject.ORDERS_FULL


def refuse_route(shard: Shard, taker: Order, time_in_force: str) -> Iterator[Reject]:
    """ORD-1: what cannot trade at all and does not rest; and what was to be filled whole."""
    route = Walk(shard, taker).to_the_end()
    if not route.fills and not rests(route, time_in_force):
        yield Reject.UNFILLABLE
    if time_in_force == "fok" and route.left >= limits.ORDER_REST_MIN:
        yield Reject.UNFILLABLE


def rests(route: Route, time_in_force: str) -> bool:
    """ORD-5."""
    return time_in_force == "gtd" and route.why_it_ends == "limit" and route.left >= limits.ORDER_REST_MIN


def as_resting(shard: Shard, command: OpenPosition | ClosePosition) -> Order:
    """Return an order as it would rest if it met nothing. Its limit is the bound of prices where none is named."""
    order_id = shard.capital.orders_ever + 1
    expires_at = command.expires_at_us or 0
    if isinstance(command, OpenPosition):
        limit = command.limit_price_micros or limits.PRICE_MICROS_MAX
        whose = command.artifact_id, command.account_id, order_id, command.side
        return Order(order_id, *whose, "open", limit, command.amount_tokens * limits.MICRO, expires_at)
    position = shard.capital.positions[command.position_id]
    free = position.shares - shard.capital.reserved(position.position_id)
    limit = command.limit_price_micros or limits.PRICE_MICROS_MIN
    whose = position.artifact, position.account, position.position_id, position.side
    return Order(order_id, *whose, "close", limit, command.microshares or free, expires_at)


def refuse_open_position(shard: Shard, command: OpenPosition, actor: str) -> Iterator[Reject]:
    """CAP-1, ORD-1, POS-5, POS-6, STL-8."""
    account, capital = command.account_id, shard.capital
    market = capital.markets.get(command.artifact_id)
    if market is None:
        yield Reject.ARTIFACT_MARKET_UNKNOWN
    if account not in shard.accounts:
        yield Reject.ACCOUNT_UNKNOWN
    yield from permit(actor, account)
    if market is None or account not in shard.accounts:
        return
    if shard.accounts[account].kind not in ("agent", "quest"):
        yield Reject.ACCOUNT_KIND
    if account == market.rules.arbiter_id:
        yield Reject.CONFLICT_OF_INTEREST
    yield from refuse_order(shard, command, account)
    yield from refuse_to_trade(shard, market)
    if not any(refuse_to_trade(shard, market)):
        yield from refuse_route(shard, as_resting(shard, command), command.time_in_force)
    places = [*capital.orders.values(), *capital.positions.values()]
    if sum(one.account == account for one in places) >= limits.POSITIONS_PER_ACCOUNT_MAX:
        yield Reject.POSITIONS_PER_ACCOUNT_FULL
    if sum(one.artifact == command.artifact_id for one in places) >= limits.POSITIONS_PER_ARTIFACT_MAX:
        yield Reject.POSITIONS_PER_ARTIFACT_FULL
    if len(places) >= limits.POSITIONS_MAX:
        yield Reject.POSITIONS_FULL
    committed = capital.committed(account, command.artifact_id) + command.amount_tokens * limits.MICRO
    wealth = shard.accounts[account].balance * limits.MICRO + capital.cost_of(account)
    if committed * limits.PPM > market.rules.exposure_limit_ppm * wealth:
        yield Reject.EXPOSURE_EXCEEDED
    if shard.available(account) < command.amount_tokens:
        yield Reject.FUNDS_INSUFFICIENT


def refuse_close_position(shard: Shard, command: ClosePosition, actor: str) -> Iterator[Reject]:
    """ORD-1, POS-1, POS-2."""
    capital = shard.capital
    position = capital.positions.get(command.position_id)
    if position is None:
        known = command.position_id <= capital.orders_ever
        yield Reject.POSITION_CLOSED if known else Reject.POSITION_UNKNOWN
        return
    yield from permit(actor, position.account)
    yield from refuse_order(shard, command, position.account)
    market = capital.markets[position.artifact]
    yield from refuse_to_trade(shard, market)
    free = position.shares - capital.reserved(position.position_id)
    if free <= 0 or (command.microshares or 0) > free:
        yield Reject.SHARES_INSUFFICIENT
    elif not any(refuse_to_trade(shard, market)):
        yield from refuse_route(shard, as_resting(shard, command), command.time_in_force)


def take_order(shard: Shard, command: OpenPosition | ClosePosition) -> None:
    """ORD-1 to ORD-8, POS-1 to POS-4."""
    taker = as_resting(shard, command)
    shard.capital.orders_ever += 1
    route = Walk(shard, taker).to_the_end()
    carry_out(shard, taker, route, rests(route, command.time_in_force))
    move_tokens(shard, TRADE)


def refuse_cancel_order(shard: Shard, command: CancelOrder, actor: str) -> Iterator[Reject]:
    """ORD-9."""
    capital = shard.capital
    order = capital.orders.get(command.order_id)
    if order is None:
        known = command.order_id <= capital.orders_ever
        yield Reject.ORDER_CLOSED if known else Reject.ORDER_UNKNOWN
        return
    yield from permit(actor, order.account)
    if capital.markets[order.artifact].status == "settled":
        yield Reject.ARTIFACT_SETTLED


def cancel_order(shard: Shard, command: CancelOrder) -> None:
    """ORD-9: all that is left is free again."""
    end_orders(shard, "cancelled", [shard.capital.orders[command.order_id]])
    move_tokens(shard, TRADE)
