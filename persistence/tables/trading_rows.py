"""The rows of positions, orders, trades and fills in artifact markets, folded for `capital_rows`.

Rule of this file: pure, as `projections` is. A position that an earlier batch made is known by its id alone, so what a
batch does to it is added to what is there.
"""

from typing import Final

from callmarket.engine.capital.events import OrderMatched, OrderRested, OrdersEnded, PositionsPaid, SharesTraded
from callmarket.engine.ids import OrderId, PositionId
from callmarket.persistence.tables.capital_shapes import (
    FillRow,
    OrderChange,
    OrderRow,
    PositionChange,
    PositionRow,
    TradeRow,
)
from callmarket.persistence.tables.table import POSTGRES_EPOCH_US


class TradingRows:
    """What some journal rows do to these tables."""

    __slots__ = ("fills", "orders", "orders_changed", "positions", "positions_changed", "trades")

    def __init__(self) -> None:
        """Begin with nothing changed."""
        self.positions: Final[dict[PositionId, PositionRow]] = {}
        self.positions_changed: Final[dict[PositionId, PositionChange]] = {}
        self.orders: Final[dict[OrderId, OrderRow]] = {}
        self.orders_changed: Final[dict[OrderId, OrderChange]] = {}
        self.trades: Final[list[TradeRow]] = []
        self.fills: Final[list[FillRow]] = []

    def trade(self, event: SharesTraded, at: int, seq: int) -> int:
        """Add a receipt, and what it did to the position; the microtokens that were traded."""
        shares_micros, tokens_micros = sum(event.microshares), sum(event.microtokens)
        self.trades.append(
            TradeRow(
                order_id=event.order_id,
                traded_at=at,
                artifact_id=event.artifact_id,
                account_id=event.account_id,
                position_id=event.position_id,
                side=event.side,
                effect=event.effect,
                shares_micros=shares_micros,
                tokens_micros=tokens_micros,
                fee_micros=event.fee_microtokens,
                realised_micros=event.realised_microtokens,
                fill_orders=list(event.sources),
                fill_shares_micros=list(event.microshares),
                fill_tokens_micros=list(event.microtokens),
                price_before_micros=event.price_before_micros,
                price_after_micros=event.price_after_micros,
                average_price_micros=event.average_price_micros,
                long_micros=event.long_microshares,
                short_micros=event.short_microshares,
                subsidy_micros=event.subsidy_microtokens,
                pool_micros=event.pool_microtokens,
                fees_micros=event.fees_microtokens,
                loss_bound_micros=event.loss_bound_microtokens,
                seq=seq,
            )
        )
        self._fill(event, shares_micros, tokens_micros, at, seq)
        return tokens_micros

    def match(self, event: OrderMatched, at: int, seq: int) -> None:
        """Fill a resting order, and do to its position what that does."""
        self._fill(event, event.microshares, event.microtokens, at, seq)
        order = self._order(event.order_id, seq)
        order.left_micros = event.left
        order.filled_shares_micros += event.microshares
        order.filled_tokens_micros += event.microtokens
        order.fee_micros += event.fee_microtokens
        order.realised_micros += event.realised_microtokens
        order.returned_micros += event.returned
        if not event.left:
            order.status = "filled"
            order.ended_at = at

    def rest(self, event: OrderRested, at: int, seq: int) -> None:
        """Add the row of an order that rests now."""
        self.orders[event.order_id] = OrderRow(
            order_id=event.order_id,
            account_id=event.account_id,
            artifact_id=event.artifact_id,
            position_id=event.position_id,
            side=event.side,
            effect=event.effect,
            limit_price_micros=event.limit_price_micros,
            rested_micros=event.left,
            left_micros=event.left,
            filled_shares_micros=0,
            filled_tokens_micros=0,
            fee_micros=0,
            realised_micros=0,
            returned_micros=0,
            status="open",
            rested_at=at,
            expires_at=event.expires_at_us - POSTGRES_EPOCH_US,
            ended_at=None,
            seq=seq,
        )

    def end_orders(self, event: OrdersEnded, at: int, seq: int) -> None:
        """End orders; what was left of them stays in their rows."""
        for order_id in event.order_ids:
            order = self._order(order_id, seq)
            order.status = event.reason
            order.ended_at = at

    def pay(self, event: PositionsPaid, at: int, seq: int) -> None:
        """End positions at the settled price; their shares and cost stay in their rows."""
        paid = zip(event.position_ids, event.microtokens, event.realised_microtokens, strict=True)
        for position_id, micros, realised_micros in paid:
            position = self._position(position_id, seq)
            position.settled_as = event.settled_as
            position.settlement_price_micros = event.price_micros
            position.settlement_micros = micros
            position.settled_at = at
            position.realised_micros += realised_micros

    def _fill(
        self, event: SharesTraded | OrderMatched, shares_micros: int, tokens_micros: int, at: int, seq: int
    ) -> None:
        """Add what an order bought or sold, and bring its position there."""
        self.fills.append(
            FillRow(
                event.order_id,
                seq,
                at,
                event.account_id,
                event.artifact_id,
                event.position_id,
                event.side,
                event.effect,
                shares_micros,
                tokens_micros,
                event.fee_microtokens,
                event.realised_microtokens,
                seq,
            )
        )
        if event.effect == "close":
            position = self._position(event.position_id, seq)
            position.shares_micros -= shares_micros
            # What it earned is what came in, less the fee, less this part of the cost (POS-4).
            position.cost_micros -= tokens_micros - event.fee_microtokens - event.realised_microtokens
            position.realised_micros += event.realised_microtokens
        else:
            position = self._opened(event, shares_micros, at, seq)
            position.bought_micros += shares_micros
            position.paid_micros += tokens_micros
            position.shares_micros += shares_micros
            position.cost_micros += tokens_micros
        position.traded_at = at

    def _opened(
        self, event: SharesTraded | OrderMatched, shares_micros: int, at: int, seq: int
    ) -> PositionRow | PositionChange:
        """The row of a position that has bought: a new one, if these are all the shares that it has."""
        position_id = event.position_id
        is_new = event.position_microshares == shares_micros
        if is_new and position_id not in self.positions and position_id not in self.positions_changed:
            # If it is one that had sold all of what it had, the table adds to what is there.
            self.positions[position_id] = PositionRow(
                id=position_id,
                account_id=event.account_id,
                artifact_id=event.artifact_id,
                side=event.side,
                bought_micros=0,
                paid_micros=0,
                shares_micros=0,
                cost_micros=0,
                realised_micros=0,
                settled_as=None,
                settlement_price_micros=None,
                settlement_micros=None,
                settled_at=None,
                opened_at=at,
                traded_at=at,
                seq=seq,
            )
        return self._position(position_id, seq)

    def _position(self, position_id: PositionId, seq: int) -> PositionRow | PositionChange:
        position = self.positions.get(position_id) or self.positions_changed.get(position_id)
        if position is None:
            position = self.positions_changed[position_id] = PositionChange(position_id)
        position.seq = seq
        return position

    def _order(self, order_id: OrderId, seq: int) -> OrderRow | OrderChange:
        order = self.orders.get(order_id) or self.orders_changed.get(order_id)
        if order is None:
            order = self.orders_changed[order_id] = OrderChange(order_id)
        order.seq = seq
        return order
