"""Open positions and resting orders, as their accounts see them.

Rule of this file: it looks at the state and copies what it returns.
"""

from datetime import datetime

from msgspec import Struct

from callmarket.bridge.api.capital.quoting import exit_microtokens, exposure_of, trades
from callmarket.bridge.api.capital.receipts import left_of, price_of
from callmarket.bridge.api.units import datetime_of, number_of
from callmarket.engine.capital.commands import Side
from callmarket.engine.capital.events import Effect
from callmarket.engine.capital.maker import price_of_side
from callmarket.engine.capital.orders import Order
from callmarket.engine.capital.positions import Position
from callmarket.engine.ids import OrderId, PositionId
from callmarket.engine.state import State


class OpenPosition(Struct, frozen=True):
    """Shares of an artifact. `price` is the present price of its side, `entry_price` what a share has cost.

    `reserved_shares` are those that resting orders would close. `exit_value_tokens` is what one order would get for all
    of them now, less the exit fee; None while the market does not trade. `exposure` is what its account has committed
    to the artifact, as a part of its wealth (POS-5).
    """

    position_id: PositionId
    artifact_id: str
    account_id: str
    side: Side
    shares: float
    reserved_shares: float
    cost_tokens: float
    entry_price: float
    price: float
    exit_value_tokens: float | None
    exposure: float | None


class OpenOrder(Struct, frozen=True):
    """A resting order. Of one that opens a position `tokens` are left, of one that closes `shares`; the other is 0."""

    order_id: OrderId
    artifact_id: str
    account_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    limit_price: float
    tokens: float
    shares: float
    expires_at: datetime


def position_of(state: State, position: Position, now_us: int) -> OpenPosition:
    """A position. Costs a walk through the market, about 30 us."""
    market = state.capital.markets[position.artifact_id]
    value = exit_microtokens(market, position, now_us) if trades(market, now_us) else None
    return OpenPosition(
        position_id=position.position_id,
        artifact_id=position.artifact_id,
        account_id=position.account_id,
        side=position.side,
        shares=number_of(position.microshares),
        reserved_shares=number_of(position.reserved_microshares),
        cost_tokens=number_of(position.cost_microtokens),
        entry_price=price_of(position.cost_microtokens, position.microshares),
        price=number_of(price_of_side(position.side, market.maker.price_micros)),
        exit_value_tokens=None if value is None else number_of(value),
        exposure=exposure_of(state, market, position.account_id),
    )


def order_of(order: Order) -> OpenOrder:
    """A resting order."""
    tokens, shares = left_of(order)
    return OpenOrder(
        order_id=order.order_id,
        artifact_id=order.artifact_id,
        account_id=order.account_id,
        position_id=order.position_id,
        side=order.side,
        effect=order.effect,
        limit_price=number_of(order.limit_price_micros),
        tokens=tokens,
        shares=shares,
        expires_at=datetime_of(order.expires_at_us),
    )
