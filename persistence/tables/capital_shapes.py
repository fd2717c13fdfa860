"""The rows of artifact markets in the SQL tables, and what later batches change of them.

Rule of this file: that of `rows`. Money is in millionths of a token, shares in millionths of a share, prices in
millionths of a token a share (`*_micros`). Columns that the database itself makes of these are in no row.
"""

from typing import Final

from msgspec import Struct

from callmarket.engine.capital.commands import Side
from callmarket.engine.capital.events import Effect, OrderStatus
from callmarket.engine.ids import OrderId, PositionId
from callmarket.persistence.tables.table import Table


class ArtifactMarketRow(Struct, gc=False):
    """A market for positions in an artifact: its rules, and where it stands."""

    artifact_id: str
    subsidy_tokens: int
    closes_at: int
    exit_fee_ppm: int
    exposure_limit_ppm: int
    decay_ppm: int
    decay_floor_ppm: int
    dispute_window_us: int
    arbiter_id: str
    opened_at: int
    status: str
    status_at: int
    due_at: int | None
    announced_as: str | None
    announced_price_micros: int | None
    settled_as: str | None
    settle_price_micros: int | None
    settled_at: int | None
    closed_at: int | None
    price_micros: int
    average_price_micros: int
    averaged_at: int
    subsidy_micros: int
    long_micros: int
    short_micros: int
    long_offset_micros: int
    short_offset_micros: int
    pool_micros: int
    fees_micros: int
    returned_micros: int
    paid_micros: int
    remainder_micros: int
    positions_open: int
    orders_open: int
    trades: int
    volume_micros: int
    seq: int


class ArtifactMarketChange(Struct, gc=False):
    """What a batch did to a market: with a status all that belongs to it, and how much to add to what is counted."""

    artifact_id: str
    status: str | None = None
    status_at: int | None = None
    due_at: int | None = None
    announced_as: str | None = None
    announced_price_micros: int | None = None
    settled_as: str | None = None
    settle_price_micros: int | None = None
    settled_at: int | None = None
    closed_at: int | None = None
    price_micros: int | None = None
    average_price_micros: int | None = None
    averaged_at: int | None = None
    subsidy_micros: int | None = None
    long_micros: int | None = None
    short_micros: int | None = None
    long_offset_micros: int | None = None
    short_offset_micros: int | None = None
    pool_micros: int | None = None
    fees_micros: int | None = None
    returned_micros: int = 0
    paid_micros: int = 0
    remainder_micros: int = 0
    positions_open: int = 0
    orders_open: int = 0
    trades: int = 0
    volume_micros: int = 0
    seq: int = 0


class ArtifactStateRow(Struct, gc=False):
    """A state that an artifact came into, for ever."""

    artifact_id: str
    entered_seq: int
    state: str
    announced_as: str | None
    price_micros: int | None
    average_price_micros: int | None
    until_at: int | None
    entered_at: int
    seq: int


class PositionRow(Struct, gc=False):
    """A position: what its order bought, and what is left of that, or was when it was settled."""

    id: PositionId
    account_id: str
    artifact_id: str
    side: Side
    bought_micros: int
    paid_micros: int
    shares_micros: int
    cost_micros: int
    realised_micros: int
    settled_as: str | None
    settlement_price_micros: int | None
    settlement_micros: int | None
    settled_at: int | None
    opened_at: int
    traded_at: int
    seq: int


class PositionChange(Struct, gc=False):
    """What a batch did to a position that was there."""

    id: PositionId
    bought_micros: int = 0
    paid_micros: int = 0
    shares_micros: int = 0
    cost_micros: int = 0
    realised_micros: int = 0
    settled_as: str | None = None
    settlement_price_micros: int | None = None
    settlement_micros: int | None = None
    settled_at: int | None = None
    traded_at: int | None = None
    seq: int = 0


class OrderRow(Struct, gc=False):
    """An order that rested."""

    order_id: OrderId
    account_id: str
    artifact_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    limit_price_micros: int
    rested_micros: int
    left_micros: int
    filled_shares_micros: int
    filled_tokens_micros: int
    fee_micros: int
    realised_micros: int
    returned_micros: int
    status: OrderStatus
    rested_at: int
    expires_at: int
    ended_at: int | None
    seq: int


class OrderChange(Struct, gc=False):
    """What a batch did to an order that rested before it."""

    order_id: OrderId
    left_micros: int | None = None
    filled_shares_micros: int = 0
    filled_tokens_micros: int = 0
    fee_micros: int = 0
    realised_micros: int = 0
    returned_micros: int = 0
    status: OrderStatus | None = None
    ended_at: int | None = None
    seq: int = 0


class TradeRow(Struct, gc=False):
    """The receipt of an order that traded, and the market after it."""

    order_id: OrderId
    traded_at: int
    artifact_id: str
    account_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    shares_micros: int
    tokens_micros: int
    fee_micros: int
    realised_micros: int
    fill_orders: list[int]
    fill_shares_micros: list[int]
    fill_tokens_micros: list[int]
    price_before_micros: int
    price_after_micros: int
    average_price_micros: int
    long_micros: int
    short_micros: int
    subsidy_micros: int
    pool_micros: int
    fees_micros: int
    loss_bound_micros: int
    seq: int


class FillRow(Struct, gc=False):
    """What one order, taken or resting, bought or sold in one journal row."""

    order_id: OrderId
    filled_seq: int
    filled_at: int
    account_id: str
    artifact_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    shares_micros: int
    tokens_micros: int
    fee_micros: int
    realised_micros: int
    seq: int


class PurseRow(Struct, gc=False):
    """What an account has of a started token."""

    account_id: str
    purse_micros: int
    updated_at: int
    seq: int


ARTIFACT_MARKETS: Final = Table(
    "artifact_markets",
    ArtifactMarketRow,
    changes=(ArtifactMarketChange,),
    added=frozenset(
        {
            "returned_micros",
            "paid_micros",
            "remainder_micros",
            "positions_open",
            "orders_open",
            "trades",
            "volume_micros",
        }
    ),
    of_status=frozenset({"due_at", "announced_as", "announced_price_micros"}),
)
ARTIFACT_STATES: Final = Table("artifact_states", ArtifactStateRow, key_columns=2)
POSITIONS: Final = Table(
    "artifact_positions",
    PositionRow,
    changes=(PositionChange,),
    added=frozenset({"bought_micros", "paid_micros", "shares_micros", "cost_micros", "realised_micros"}),
    replaces=True,
)
ORDERS: Final = Table(
    "market_orders",
    OrderRow,
    changes=(OrderChange,),
    added=frozenset(
        {"filled_shares_micros", "filled_tokens_micros", "fee_micros", "realised_micros", "returned_micros"}
    ),
)
TRADES: Final = Table("market_trades", TradeRow)
FILLS: Final = Table("market_fills", FillRow, key_columns=2)
PURSES: Final = Table("account_purses", PurseRow, replaces=True)
CAPITAL_TABLES: Final = (ARTIFACT_MARKETS, ARTIFACT_STATES, POSITIONS, ORDERS, TRADES, FILLS, PURSES)
