"""What an order did, from the events that it caused.

Rule of this file: a receipt follows from the events alone, so a retry gets the very same one.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from callmarket.bridge.api.units import datetime_of, number_of
from callmarket.engine.capital.commands import Side
from callmarket.engine.capital.events import Effect, OrderMatched, OrderRested, OrdersEnded, SharesTraded
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.capital.orders import Order
from callmarket.engine.events import Event
from callmarket.engine.ids import OrderId, PositionId


class Fill(Struct, frozen=True):
    """Shares that were traded at one price: with the market maker (`order_id` is None), or with a resting order."""

    order_id: OrderId | None
    shares: float
    tokens: float
    price: float


class MarketAfter(Struct, frozen=True):
    """An artifact market after an order. The prices are those of a long share.

    `price_average` is as of just before the order. The pool pays `payout_if_long_tokens` if long is worth 1, and
    `payout_if_short_tokens` if short is; of its subsidy it cannot lose more than `loss_bound_tokens`.
    """

    price_before: float
    price_after: float
    price_average: float
    subsidy_tokens: float
    pool_tokens: float
    fees_tokens: float
    payout_if_long_tokens: float
    payout_if_short_tokens: float
    loss_bound_tokens: float


class Resting(Struct, frozen=True):
    """What of an order rests: tokens of one that opens a position, shares of one that closes it; the other is 0."""

    limit_price: float
    tokens: float
    shares: float
    expires_at: datetime


class Trade(Struct, frozen=True):
    """What an order did.

    `tokens` is what its `shares` cost or, before `fee_tokens`, brought; `average_price` is that of a share, None
    without fills. `realised_tokens` is what a close earned after the fee, and `position_shares` what the position then
    has. `returned_tokens` is what of the tokens of an opening order was not used, and stays with the account.
    `resting` is what rests, if anything does. `self_traded` are own orders that it met, and so ended. `market` is None
    if nothing was traded.
    """

    order_id: OrderId
    position_id: PositionId
    artifact_id: str
    account_id: str
    side: Side
    effect: Effect
    shares: float
    tokens: float
    average_price: float | None
    fee_tokens: float
    realised_tokens: float
    position_shares: float
    returned_tokens: float
    fills: tuple[Fill, ...]
    resting: Resting | None
    self_traded: tuple[OrderId, ...]
    market: MarketAfter | None


def price_of(microtokens: int, microshares: int) -> float:
    """Tokens for a share, to six decimal places, a half up."""
    return number_of((2 * microtokens * MICRO + microshares) // (2 * microshares))


def trade_of(events: Iterable[Event], amount_tokens: int = 0) -> Trade:
    """The receipt of an order with these events; `amount_tokens` of one that opens a position, else 0."""
    traded: SharesTraded | None = None
    rested: OrderRested | None = None
    self_traded: tuple[OrderId, ...] = ()
    for event in events:
        match event:
            case SharesTraded():
                traded = event
            case OrderRested():
                rested = event
            case OrdersEnded(reason="self_trade"):
                self_traded += event.order_ids
            case _:
                pass
    order = traded or rested
    assert order is not None, "an order that is taken trades or rests"
    opens = order.effect == "open"
    microtokens = sum(traded.microtokens) if traded else 0
    microshares = sum(traded.microshares) if traded else 0
    left = rested.left if rested else 0
    return Trade(
        order_id=order.order_id,
        position_id=order.position_id,
        artifact_id=order.artifact_id,
        account_id=order.account_id,
        side=order.side,
        effect=order.effect,
        shares=number_of(microshares),
        tokens=number_of(microtokens),
        average_price=price_of(microtokens, microshares) if microshares else None,
        fee_tokens=number_of(traded.fee_microtokens if traded else 0),
        realised_tokens=number_of(traded.realised_microtokens if traded else 0),
        position_shares=number_of(traded.position_microshares if traded else 0),
        returned_tokens=number_of(amount_tokens * MICRO - microtokens - left) if opens else 0.0,
        fills=fills_of(traded) if traded else (),
        resting=resting_of(rested) if rested else None,
        self_traded=self_traded,
        market=market_after(traded) if traded else None,
    )


def fills_of(event: SharesTraded) -> tuple[Fill, ...]:
    """The fills of an order, in their order."""
    return tuple(
        Fill(OrderId(source) if source else None, number_of(shares), number_of(tokens), price_of(tokens, shares))
        for source, shares, tokens in zip(event.sources, event.microshares, event.microtokens, strict=True)
    )


def resting_of(event: OrderRested) -> Resting:
    """What of an order rests."""
    tokens, shares = left_of(event)
    return Resting(
        limit_price=number_of(event.limit_price_micros),
        tokens=tokens,
        shares=shares,
        expires_at=datetime_of(event.expires_at_us),
    )


def left_of(order: Order | OrderRested | OrderMatched) -> tuple[float, float]:
    """What is left of an order, in tokens and in shares: of one that opens tokens, of one that closes shares."""
    left = number_of(order.left)
    return (left, 0.0) if order.effect == "open" else (0.0, left)


def market_after(event: SharesTraded) -> MarketAfter:
    """The market as an order that traded leaves it."""
    return MarketAfter(
        price_before=number_of(event.price_before_micros),
        price_after=number_of(event.price_after_micros),
        price_average=number_of(event.average_price_micros),
        subsidy_tokens=number_of(event.subsidy_microtokens),
        pool_tokens=number_of(event.pool_microtokens),
        fees_tokens=number_of(event.fees_microtokens),
        payout_if_long_tokens=number_of(event.long_microshares),
        payout_if_short_tokens=number_of(event.short_microshares),
        loss_bound_tokens=number_of(event.loss_bound_microtokens),
    )
