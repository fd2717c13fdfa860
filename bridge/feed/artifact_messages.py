"""The messages of artifact markets: their lives, their trades and the changes of their books.

Rule of this file: that of `messages`, whose union these join. Everything that changes a market or its book is in
them, but for time: the average price also moves while nothing happens. An order enters the book with `artifact.order`.
It changes with `artifact.matched`, which has what is left of it, and leaves with that if nothing is, with
`artifact.ended`, or with `artifact.settled`: then all orders leave, and those that are still to be released are named
by `artifact.ended` later. Payouts, purses and what a close has earned are not in the feed.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from callmarket.bridge.api.capital.receipts import Fill, MarketAfter
from callmarket.bridge.feed.message_base import MessageBase
from callmarket.engine.capital.commands import SettledAs, Side
from callmarket.engine.capital.events import Effect, OrderEnd, SettledHow
from callmarket.engine.ids import OrderId, PositionId


class ArtifactOpenedMessage(MessageBase, frozen=True, tag="artifact.opened"):
    """A market exists, with these rules, and its price is one half."""

    artifact_id: str
    subsidy_tokens: int
    closes_at: datetime
    exit_fee: float
    exposure_limit: float
    decay: float
    decay_floor: float
    dispute_window: timedelta
    arbiter_id: str | None


class ArtifactTradedMessage(MessageBase, frozen=True, tag="artifact.traded"):
    """An order traded: `tokens` is what its shares cost or brought before the fee. `market` is as it is after that."""

    artifact_id: str
    order_id: OrderId
    account_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    shares: float
    tokens: float
    fills: tuple[Fill, ...]
    market: MarketAfter


class ArtifactOrderMessage(MessageBase, frozen=True, tag="artifact.order"):
    """An order rests: with tokens if it opens a position, with shares if it closes one; the other is 0."""

    artifact_id: str
    order_id: OrderId
    account_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    limit_price: float
    tokens: float
    shares: float
    expires_at: datetime


class ArtifactMatchedMessage(MessageBase, frozen=True, tag="artifact.matched"):
    """A resting order traded `traded_shares`; this is left of it, nothing if it is filled."""

    artifact_id: str
    order_id: OrderId
    account_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    traded_shares: float
    tokens: float
    shares: float


class EndedOrder(Struct, frozen=True):
    """One of the orders that ended together."""

    order_id: OrderId
    account_id: str


class ArtifactEndedMessage(MessageBase, frozen=True, tag="artifact.ended"):
    """These resting orders ended, so."""

    artifact_id: str
    status: OrderEnd
    orders: tuple[EndedOrder, ...]


class ArtifactFrozenMessage(MessageBase, frozen=True, tag="artifact.frozen"):
    """Nothing trades until then, and a settlement that was announced is taken back."""

    artifact_id: str
    until: datetime
    price_average: float


class ArtifactUnfrozenMessage(MessageBase, frozen=True, tag="artifact.unfrozen"):
    """A frozen market trades again."""

    artifact_id: str


class ArtifactAnnouncedMessage(MessageBase, frozen=True, tag="artifact.announced"):
    """The market will be settled so at `due_at`, if nobody freezes it before; until then nothing trades."""

    artifact_id: str
    settled_as: SettledAs
    price: float | None
    due_at: datetime


class ArtifactSettledMessage(MessageBase, frozen=True, tag="artifact.settled"):
    """A long share is worth `price`; None of a void market, where costs are given back. The market has ended."""

    artifact_id: str
    settled_as: SettledHow
    price: float | None
    pool_tokens: float
    fees_tokens: float
    positions: int
    orders: int


class ArtifactDecayedMessage(MessageBase, frozen=True, tag="artifact.decayed"):
    """The maker has less liquidity, at the same price."""

    artifact_id: str
    subsidy_tokens: float
    pool_tokens: float
    returned_tokens: float


ArtifactMessage = (
    ArtifactOpenedMessage
    | ArtifactTradedMessage
    | ArtifactOrderMessage
    | ArtifactMatchedMessage
    | ArtifactEndedMessage
    | ArtifactFrozenMessage
    | ArtifactUnfrozenMessage
    | ArtifactAnnouncedMessage
    | ArtifactSettledMessage
    | ArtifactDecayedMessage
)
