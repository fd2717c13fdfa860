"""What may be asked of artifact markets.

Rule of this file: that of `engine/commands.py`, whose union these join. Prices are millionths of a token for one share
of the side that is meant; a share is counted in millionths too.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta

from callmarket.engine.capital import limits
from callmarket.engine.fields import AtUs, CommandBase, Name, Owner, TokensPositive
from callmarket.engine.ids import OrderId, PositionId
from callmarket.engine.limits import SEQ_MAX

Side = Literal["long", "short"]
# Immediate or cancel, fill or kill, good till date: the field's words.
OrderTimeInForce = Literal["ioc", "fok", "gtd"]
SettledAs = Literal["validated", "flagged", "deprecated", "void"]

PriceMicros = Annotated[int, Meta(ge=limits.PRICE_MICROS_MIN, le=limits.PRICE_MICROS_MAX)]
SettlePriceMicros = Annotated[int, Meta(ge=0, le=limits.MICRO)]
Microshares = Annotated[int, Meta(ge=1, le=limits.SIDE_MICROSHARES_MAX)]
Ppm = Annotated[int, Meta(ge=0, le=limits.PPM)]
WaitUs = Annotated[int, Meta(ge=0, le=limits.FREEZE_US_MAX)]

# The two accounts of artifact markets (CAP-1): what is paid in, and what liquidity is paid from.
ESCROW: Final = "capital_escrow"
SUBSIDY_POOL: Final = "lmsr_subsidy_pool"


class CapitalCommandBase(CommandBase, frozen=True, gc=False):
    """What all commands of artifact markets have in common: `engine/decide` tells them by it."""


class OpenArtifactMarket(CapitalCommandBase, frozen=True, gc=False, tag="open_artifact_market"):
    """Open a market for positions in an artifact, with a maker funded from the subsidy pool (LMSR-1). By staff.

    `exit_fee_ppm` is of what a close brings (POS-3), `exposure_limit_ppm` what of its wealth an account may commit here
    (POS-5). `decay_ppm` 0 keeps the liquidity as it is; it never falls below `decay_floor_ppm` of the subsidy
    (LMSR-9). `arbiter_id`, where named, may settle and freeze as staff may, and never trade here (STL-8).
    """

    artifact_id: Name
    subsidy_tokens: Annotated[int, Meta(ge=1, le=limits.SUBSIDY_TOKENS_MAX)]
    closes_at_us: AtUs
    exit_fee_ppm: Ppm = 50_000
    exposure_limit_ppm: Ppm = 500_000
    decay_ppm: Annotated[int, Meta(ge=0, le=limits.DECAY_PPM_MAX)] = 0
    decay_floor_ppm: Ppm = 250_000
    dispute_window_us: WaitUs = 0
    arbiter_id: Owner = ""


class OpenPosition(CapitalCommandBase, frozen=True, gc=False, tag="open_position"):
    """Buy shares of a side for at most `amount_tokens`, each at `limit_price_micros` at the most. By the account.

    None takes the bound of prices. What cannot be bought now is given back (`ioc`), refuses the whole (`fok`), or rests
    until `expires_at_us`, which `gtd` must name (ORD-1).
    """

    artifact_id: Name
    account_id: Name
    side: Side
    amount_tokens: TokensPositive
    limit_price_micros: PriceMicros | None = None
    time_in_force: OrderTimeInForce = "ioc"
    expires_at_us: AtUs | None = None


class ClosePosition(CapitalCommandBase, frozen=True, gc=False, tag="close_position"):
    """Sell shares of a position, each at `limit_price_micros` at the least; None is all of them. By its account."""

    position_id: Annotated[PositionId, Meta(ge=1, le=SEQ_MAX)]
    microshares: Microshares | None = None
    limit_price_micros: PriceMicros | None = None
    time_in_force: OrderTimeInForce = "ioc"
    expires_at_us: AtUs | None = None


class CancelOrder(CapitalCommandBase, frozen=True, gc=False, tag="cancel_order"):
    """Take back a resting order with all that is left of it (ORD-9). By its account."""

    order_id: Annotated[OrderId, Meta(ge=1, le=SEQ_MAX)]


class FreezeArtifact(CapitalCommandBase, frozen=True, gc=False, tag="freeze_artifact"):
    """Stop trading until a time, at which it opens by itself (STL-7). By staff or the arbiter."""

    artifact_id: Name
    until_us: AtUs


class UnfreezeArtifact(CapitalCommandBase, frozen=True, gc=False, tag="unfreeze_artifact"):
    """Let a frozen market trade again, before its time. By staff or the arbiter."""

    artifact_id: Name


class SettleArtifact(CapitalCommandBase, frozen=True, gc=False, tag="settle_artifact"):
    """Say what the artifact was worth, and pay by it (STL-2). By staff or the arbiter.

    `price_micros` is what a long share is worth, a short one the rest; None is that of the state. `void` has none.
    """

    artifact_id: Name
    settled_as: SettledAs
    price_micros: SettlePriceMicros | None = None


class DecaySubsidy(CapitalCommandBase, frozen=True, gc=False, tag="decay_subsidy"):
    """Lower the liquidity of a calm market at an unchanged price (LMSR-9). By staff."""

    artifact_id: Name


CapitalCommand = (
    OpenPosition
    | ClosePosition
    | CancelOrder
    | OpenArtifactMarket
    | FreezeArtifact
    | UnfreezeArtifact
    | SettleArtifact
    | DecaySubsidy
)
