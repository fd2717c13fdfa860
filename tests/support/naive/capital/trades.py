"""What an order that trades changes and says (ORD-4 to ORD-8, POS-1 to POS-4), naively."""

from callmarket.engine.capital import limits
from callmarket.engine.capital.events import OrderMatched, OrderRested, SharesTraded
from tests.support.naive.capital.ends import end_orders
from tests.support.naive.capital.route import End, Fill, Route
from tests.support.naive.capital.state import Order, Position
from tests.support.naive.shard import Shard


def carry_out(shard: Shard, taker: Order, route: Route, rests: bool) -> None:
    """The receipt, then the resting orders that were met in order, and what rests."""
    receipt_place = len(shard.said)
    average = shard.capital.read_average(taker.artifact, shard.now) if route.fills else 0
    price_before = shard.capital.price(taker.artifact)
    fee = realised = 0
    if route.fills:
        shares = sum(fill.shares for fill in route.fills)
        fee, realised, flow = move_shares(shard, taker, shares, sum(fill.microtokens for fill in route.fills))
        shard.capital.pay(taker.account, taker.artifact, flow)
    for step in route.steps:
        if isinstance(step, End):
            end_orders(shard, step.reason, [step.order])
            continue
        put_in_pool(shard, taker, step.microtokens)
        if step.order is not None:
            put_in_pool(shard, step.order, step.others_microtokens)
            shard.say(match(shard, step, step.order))
    if route.fills:
        shard.said.insert(receipt_place, receipt(shard, taker, route, fee, realised, price_before, average))
    if rests:
        taker.left = route.left
        rest(shard, taker)


def put_in_pool(shard: Shard, order: Order, microtokens: int) -> None:
    """LMSR-3, ORD-4: who opens pays the pool, and who closes is paid by it, whomever the shares come from or go to."""
    market = shard.capital.markets[order.artifact]
    market.pool += microtokens if order.effect == "open" else -microtokens


def receipt(
    shard: Shard, taker: Order, route: Route, fee: int, realised: int, price_before: int, average: int
) -> SharesTraded:
    """LMSR-6: what an order did, and the market after all of it."""
    capital, artifact = shard.capital, taker.artifact
    market = capital.markets[artifact]
    price_after = capital.price(artifact)
    market.prices.append(price_after)
    long, short = capital.outstanding(artifact)
    return SharesTraded(
        artifact_id=artifact,
        order_id=taker.order_id,
        account_id=taker.account,
        position_id=taker.position_id,
        side=taker.side,
        effect=taker.effect,
        sources=tuple(fill.order.order_id if fill.order is not None else 0 for fill in route.fills),
        microshares=tuple(fill.shares for fill in route.fills),
        microtokens=tuple(fill.microtokens for fill in route.fills),
        fee_microtokens=fee,
        realised_microtokens=realised,
        position_microshares=shares_of(shard, taker),
        price_before_micros=price_before,
        price_after_micros=price_after,
        average_price_micros=average,
        long_microshares=long,
        short_microshares=short,
        subsidy_microtokens=market.subsidy,
        pool_microtokens=market.pool,
        fees_microtokens=market.fees,
        loss_bound_microtokens=market.rules.subsidy_tokens * limits.MICRO - market.returned,
    )


def move_shares(shard: Shard, order: Order, shares: int, microtokens: int) -> tuple[int, int, int]:
    """POS-1, POS-3, POS-4: into or out of the order's position. Return the fee, what was realised, what is paid out."""
    capital = shard.capital
    if order.effect == "open":
        new = Position(order.position_id, order.artifact, order.account, order.side)
        position = capital.positions.setdefault(order.position_id, new)
        position.shares += shares
        position.cost += microtokens
        return 0, 0, -microtokens
    position, market = capital.positions[order.position_id], capital.markets[order.artifact]
    fee = -(-market.rules.exit_fee_ppm * microtokens // limits.PPM)
    cost = position.cost * shares // position.shares
    position.shares -= shares
    position.cost -= cost
    if position.shares == 0:
        del capital.positions[order.position_id]
    market.fees += fee
    return fee, microtokens - fee - cost, microtokens - fee


def shares_of(shard: Shard, order: Order) -> int:
    """Return what the position of an order has now."""
    position = shard.capital.positions.get(order.position_id)
    return position.shares if position is not None else 0


def match(shard: Shard, fill: Fill, order: Order) -> OrderMatched:
    """ORD-4, ORD-6, ORD-7: a resting order is filled, and pays from its hold and what it has of a started token."""
    capital = shard.capital
    change_before = order.change()
    order.left -= fill.others_microtokens if order.effect == "open" else fill.shares
    returned = 0
    filled = order.left < limits.ORDER_REST_MIN
    if filled:
        returned = order.left
        order.left = 0
        del capital.orders[order.order_id]
    fee, realised, flow = move_shares(shard, order, fill.shares, fill.others_microtokens)
    # What it pays, less what of it was in escrow already: whole tokens, but for what is given back.
    capital.pay(order.account, order.artifact, flow + change_before - order.change())
    return OrderMatched(
        order_id=order.order_id,
        artifact_id=order.artifact,
        account_id=order.account,
        position_id=order.position_id,
        side=order.side,
        effect=order.effect,
        microshares=fill.shares,
        microtokens=fill.others_microtokens,
        fee_microtokens=fee,
        realised_microtokens=realised,
        position_microshares=shares_of(shard, order),
        left=order.left,
        returned=returned,
    )


def rest(shard: Shard, order: Order) -> None:
    """ORD-5, ORD-6."""
    shard.capital.orders[order.order_id] = order
    shard.capital.pay(order.account, order.artifact, -order.change())
    shard.say(
        OrderRested(
            order_id=order.order_id,
            artifact_id=order.artifact,
            account_id=order.account,
            position_id=order.position_id,
            side=order.side,
            effect=order.effect,
            limit_price_micros=order.limit,
            left=order.left,
            expires_at_us=order.expires_at,
        )
    )
