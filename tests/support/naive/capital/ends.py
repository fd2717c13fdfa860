"""How resting orders end that are not filled (ORD-8, ORD-9, STL-4), naively."""

from callmarket.engine.capital.events import OrderEnd, OrdersEnded
from tests.support.naive.capital.state import Order
from tests.support.naive.shard import Shard


def end_orders(shard: Shard, reason: OrderEnd, orders: list[Order]) -> None:
    """End resting orders that are not filled, in one event."""
    if not orders:
        return
    for order in orders:
        del shard.capital.orders[order.order_id]
        shard.capital.pay(order.account, order.artifact, order.change())
    columns = [(order.order_id, order.artifact, order.account, order.effect, order.left) for order in orders]
    shard.say(OrdersEnded(reason, *zip(*columns, strict=True)))
