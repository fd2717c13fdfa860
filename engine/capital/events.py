"""What happened in artifact markets.

Rule of this file: that of `engine/events.py`, whose union these join. Money in millionths of a token, shares in
millionths of a share; `PursesSet` and the transfers that follow it say what of it moved in whole tokens (CAP-3).
"""

from typing import Literal

from callmarket.engine.capital.commands import SettledAs, Side
from callmarket.engine.fields import EventBase
from callmarket.engine.ids import OrderId, PositionId

Effect = Literal["open", "close"]
# A market whose closing date came was settled by its price, and nobody said what the artifact was (STL-5).
SettledHow = SettledAs | Literal["listed"]
OrderEnd = Literal["cancelled", "self_trade", "expired", "settled"]


class CapitalEventBase(EventBase, frozen=True, gc=False):
    """What all events of artifact markets have in common: `engine/evolve.py` tells them by it."""


class ArtifactMarketOpened(CapitalEventBase, frozen=True, gc=False, tag="artifact_market_opened"):
    """A market for positions exists, with these rules; its subsidy moves by the transfer that follows."""

    artifact_id: str
    subsidy_tokens: int
    closes_at_us: int
    exit_fee_ppm: int
    exposure_limit_ppm: int
    decay_ppm: int
    decay_floor_ppm: int
    dispute_window_us: int
    arbiter_id: str


class SharesTraded(CapitalEventBase, frozen=True, gc=False, tag="shares_traded"):
    """The receipt of an order that traded, and the market after it (LMSR-6).

    The three tuples are its fills in order and run in parallel: the resting order that each was with (0 is the maker),
    its shares, and what these cost or brought before the fee. `position_id` is what was opened or reduced;
    `realised_microtokens` is what a close earned after the fee, and
    `position_microshares` what the position then has. The two prices and the average are those of long.
    The pool pays `long_microshares` if long is worth 1, `short_microshares` if short is, and cannot lose more than
    `loss_bound_microtokens` of the subsidy.
    """

    artifact_id: str
    order_id: OrderId
    account_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    sources: tuple[int, ...]
    microshares: tuple[int, ...]
    microtokens: tuple[int, ...]
    fee_microtokens: int
    realised_microtokens: int
    position_microshares: int
    price_before_micros: int
    price_after_micros: int
    average_price_micros: int
    long_microshares: int
    short_microshares: int
    subsidy_microtokens: int
    pool_microtokens: int
    fees_microtokens: int
    loss_bound_microtokens: int


class OrderMatched(CapitalEventBase, frozen=True, gc=False, tag="order_matched"):
    """A resting order was filled by another, at its own price; of it `left` still rests, 0 if it is filled (ORD-4).

    `left` is microtokens of an order that opens, microshares of one that closes; `returned`, in the same unit, is what
    of a filled order was too little to go on with (ORD-7).
    """

    order_id: OrderId
    artifact_id: str
    account_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    microshares: int
    microtokens: int
    fee_microtokens: int
    realised_microtokens: int
    position_microshares: int
    left: int
    returned: int


class OrderRested(CapitalEventBase, frozen=True, gc=False, tag="order_rested"):
    """What an order could not do now rests: `left` microtokens are held, or as many microshares reserved (ORD-6)."""

    order_id: OrderId
    artifact_id: str
    account_id: str
    position_id: PositionId
    side: Side
    effect: Effect
    limit_price_micros: int
    left: int
    expires_at_us: int


class OrdersEnded(CapitalEventBase, frozen=True, gc=False, tag="orders_ended"):
    """These resting orders ended unfilled, and what was left of them is free again. The tuples run in parallel."""

    reason: OrderEnd
    order_ids: tuple[OrderId, ...]
    artifact_ids: tuple[str, ...]
    account_ids: tuple[str, ...]
    effects: tuple[Effect, ...]
    left: tuple[int, ...]


class PursesSet(CapitalEventBase, frozen=True, gc=False, tag="purses_set"):
    """What these accounts have of a started token (CAP-3). The two tuples run in parallel."""

    account_ids: tuple[str, ...]
    microtokens: tuple[int, ...]


class ArtifactFrozen(CapitalEventBase, frozen=True, gc=False, tag="artifact_frozen"):
    """Nothing trades until this time, and the average stands still (STL-7). An announced settlement is taken back."""

    artifact_id: str
    until_us: int
    average_price_micros: int


class ArtifactUnfrozen(CapitalEventBase, frozen=True, gc=False, tag="artifact_unfrozen"):
    """A frozen market trades again."""

    artifact_id: str


class SettlementAnnounced(CapitalEventBase, frozen=True, gc=False, tag="settlement_announced"):
    """The artifact will be settled so at `due_us`, if nobody freezes it before; until then nothing trades (STL-9)."""

    artifact_id: str
    settled_as: SettledAs
    price_micros: int | None
    due_us: int


class ArtifactSettled(CapitalEventBase, frozen=True, gc=False, tag="artifact_settled"):
    """What a long share is worth is decided, and so is every payout (STL-3, STL-6).

    None is a void market, where each position gets back its cost, all of them scaled down by
    (pool + fees) / cost if that is less than one. Positions and orders that are not paid or ended by the events that
    follow will be by sweeps.
    """

    artifact_id: str
    settled_as: SettledHow
    price_micros: int | None
    pool_microtokens: int
    fees_microtokens: int
    cost_microtokens: int
    positions: int
    orders: int


class PositionsPaid(CapitalEventBase, frozen=True, gc=False, tag="positions_paid"):
    """These positions ended at the settled price. The tuples run in parallel."""

    artifact_id: str
    settled_as: SettledHow
    price_micros: int | None
    position_ids: tuple[PositionId, ...]
    account_ids: tuple[str, ...]
    microtokens: tuple[int, ...]
    realised_microtokens: tuple[int, ...]


class ArtifactMarketClosed(CapitalEventBase, frozen=True, gc=False, tag="artifact_market_closed"):
    """All is paid; what remains of pool and fees goes to the subsidy pool (STL-3)."""

    artifact_id: str
    remainder_microtokens: int


class SubsidyDecayed(CapitalEventBase, frozen=True, gc=False, tag="subsidy_decayed"):
    """The maker's liquidity is lower, at the same price; what it no longer needs goes to the subsidy pool (LMSR-9)."""

    artifact_id: str
    subsidy_microtokens: int
    long_offset_microshares: int
    short_offset_microshares: int
    pool_microtokens: int
    returned_microtokens: int


CapitalEvent = (
    SharesTraded
    | OrderMatched
    | OrderRested
    | OrdersEnded
    | PursesSet
    | ArtifactMarketOpened
    | ArtifactFrozen
    | ArtifactUnfrozen
    | SettlementAnnounced
    | ArtifactSettled
    | PositionsPaid
    | ArtifactMarketClosed
    | SubsidyDecayed
)

PositionStatus = Literal["open", "closed", "settled_profit", "settled_loss", "cancelled"]
OrderStatus = Literal["open", "filled", "cancelled", "self_trade", "expired", "settled"]
