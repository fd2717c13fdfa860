"""The rows that questions about artifact markets are answered with: one class a kind, one field a column.

Rule of this file: that of `rows`. `_micros` are millionths: of a token, of a share, or of a token a share. They are
exact, and divided where they are shown.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from callmarket.engine.capital.commands import Side
from callmarket.engine.capital.events import Effect, OrderStatus, PositionStatus
from callmarket.engine.capital.market import MarketStatus
from callmarket.engine.ids import OrderId, PositionId

ArtifactState = Literal["listed", "challenged", "announced", "validated", "flagged", "deprecated", "void"]


class ArtifactMarketRow(Struct, frozen=True):
    """A market for positions in an artifact. Its prices are those of long, the average as of the last journal row.

    `due_at` is when a frozen market opens again, or an announced settlement is carried out. Once it is settled, shares,
    pool and fees are those of then, and `funds_micros` is what of them is still to be paid.
    """

    artifact_id: str
    status: MarketStatus
    status_at: datetime
    due_at: datetime | None
    announced_as: str | None
    announced_price_micros: int | None
    settled_as: str | None
    settle_price_micros: int | None
    settled_at: datetime | None
    closed_at: datetime | None
    opened_at: datetime
    closes_at: datetime
    subsidy_tokens: int
    exit_fee_ppm: int
    exposure_limit_ppm: int
    decay_ppm: int
    decay_floor_ppm: int
    dispute_window_us: int
    arbiter_id: str
    price_micros: int
    average_price_micros: int
    subsidy_micros: int
    long_micros: int
    short_micros: int
    pool_micros: int
    fees_micros: int
    returned_micros: int
    paid_micros: int
    remainder_micros: int
    funds_micros: int
    positions_open: int
    orders_open: int
    trades: int
    volume_micros: int
    seq: int


class ArtifactStateRow(Struct, frozen=True):
    """A state that an artifact came into. With a price it is settled; `announced_as` says as what it will be."""

    artifact_id: str
    entered_seq: int
    state: ArtifactState
    announced_as: str | None
    price_micros: int | None
    average_price_micros: int | None
    until_at: datetime | None
    entered_at: datetime


class PositionRow(Struct, frozen=True):
    """A position; `shares_micros` and `cost_micros` of a settled one are those for which it was paid."""

    position_id: PositionId
    account_id: str
    artifact_id: str
    side: Side
    status: PositionStatus
    tokens_committed: int
    bought_micros: int
    paid_micros: int
    shares_micros: int
    cost_micros: int
    realised_micros: int
    entry_price_micros: int
    settlement_price_micros: int | None
    settlement_micros: int | None
    settled_at: datetime | None
    opened_at: datetime
    traded_at: datetime


class OrderRow(Struct, frozen=True):
    """An order that rested. `rested`, `left` and `returned` are of a token if it opens, of a share if it closes.

    One past `expires_at` stays `open` here until a sweep has ended it.
    """

    order_id: OrderId
    account_id: str
    artifact_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    status: OrderStatus
    limit_price_micros: int
    rested_micros: int
    left_micros: int
    filled_shares_micros: int
    filled_tokens_micros: int
    fee_micros: int
    realised_micros: int
    returned_micros: int
    rested_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class TradeRow(Struct, frozen=True):
    """The receipt of an order that traded, and the market after it; its fills are the three arrays, in their order."""

    order_id: OrderId
    seq: int
    traded_at: datetime
    artifact_id: str
    account_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    shares_micros: int
    tokens_micros: int
    fee_micros: int
    realised_micros: int
    fill_orders: Sequence[int]
    fill_shares_micros: Sequence[int]
    fill_tokens_micros: Sequence[int]
    price_before_micros: int
    price_after_micros: int
    average_price_micros: int
    long_micros: int
    short_micros: int
    subsidy_micros: int
    pool_micros: int
    fees_micros: int
    loss_bound_micros: int


class FillRow(Struct, frozen=True):
    """What an order of an account, taken or resting, bought or sold in one journal row."""

    order_id: OrderId
    filled_seq: int
    filled_at: datetime
    account_id: str
    artifact_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    shares_micros: int
    tokens_micros: int
    fee_micros: int
    realised_micros: int


class PriceCandle(Struct, frozen=True):
    """The trades from `opens_at` on, for the length of one interval.

    Prices are those of long: before the first trade, the highest and the lowest before or after any, after the last.
    """

    opens_at: datetime
    trades: int
    volume_micros: int
    open_price_micros: int
    high_price_micros: int
    low_price_micros: int
    close_price_micros: int
    average_price_micros: int
