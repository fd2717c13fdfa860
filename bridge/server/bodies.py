"""The bodies of requests, with the bounds of each field.

Rule of this file: people's units, and nothing about who asks: that is the key's to say. A field that is not here is
refused, so that a mistyped one is not silently its default.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from engine import limits
from engine.commands import (
    AccountKind,
    LapsePolicy,
    Memo,
    Name,
    PricingRule,
    Reason,
    Reference,
    TimeInForce,
    Tokens,
    TokensPositive,
)

# One durable wait for all of them, and some ten milliseconds of the market's time.
BIDS_PER_BATCH_MAX: Final = 1_000

# What can be a part of a path: a name without `/`, and not `.` or `..`, which clients and proxies take for steps.
PathName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=limits.NAME_CHARS_MAX,
        pattern=r"^(?!\.{1,2}$)[!-.0-~]+$",
        description="Visible ASCII without spaces and without `/`.",
    ),
]
Lease = Annotated[timedelta, Meta(description="ISO 8601, as PT1H or PT90S; at most 31 days.")]
# Expected value and impact are kept in millionths.
Amount = Annotated[float, Meta(ge=0, le=limits.MICROS_MAX / 1e6, description="Kept to six decimal places.")]
Instant = Annotated[datetime, Meta(tz=True, description="ISO 8601 with a time zone.")]
AwardId = Annotated[int, Meta(ge=1, le=limits.SEQ_MAX)]


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all bodies share: a field that is not known is refused."""


class NewAccount(Body, frozen=True):
    """Open a wallet with nothing in it."""

    account_id: PathName
    kind: AccountKind = "agent"


class Minting(Body, frozen=True):
    """Make or destroy tokens. A reason `earn:*` needs a reference, and is paid once per reference."""

    amount_tokens: TokensPositive
    reason: Reason
    reference_type: Reference = ""
    reference_id: Reference = ""
    memo: Memo = ""


class NewTransfer(Body, frozen=True):
    """Pay another account. Who pays is the acting account."""

    to_account_id: Name
    amount_tokens: TokensPositive
    reason: Reason
    reference_type: Reference = ""
    reference_id: Reference = ""
    memo: Memo = ""


class NewMarket(Body, frozen=True):
    """Open a market with its rules, which stay as they are."""

    market_id: PathName
    pricing_rule: PricingRule = "first_rejected"
    reserve_price_tokens: Tokens = 0
    awards_per_bidder_max: Tokens = 0
    lease: Lease = timedelta(hours=1)
    lapse_policy: LapsePolicy = "charge"
    reward_tokens_per_impact: Annotated[int, Meta(ge=0, le=limits.REWARD_TOKENS_PER_IMPACT_MAX)] = 0
    reward_cap_tokens: Tokens = 0


class CycleSetting(Body, frozen=True):
    """When a market is called: `every` period, `on_offer` as soon as a slot can be sold, or only when `asked`."""

    mode: Literal["every", "on_offer", "asked"]
    period: Annotated[timedelta, Meta(description="ISO 8601, as PT30S. For the mode `every` alone.")] | None = None


class NewSlot(Body, frozen=True):
    """Offer one use of a slot. What is left out is the market's default; without `available_at` it is available now.

    The provider is the acting account, or the treasury where an operator offers.
    """

    slot_id: PathName
    available_at: Instant | None = None
    reserve_price_tokens: Tokens | None = None
    lease: Lease | None = None


class NewBid(Body, frozen=True):
    """Bid for one slot for one task. `ttl_at` may be left out only of a bid for one round."""

    task_id: Name
    max_price_tokens: TokensPositive
    expected_value_usd: Amount = 0.0
    ttl_at: Instant | None = None
    time_in_force: TimeInForce = "round"


class NewBids(Body, frozen=True):
    """Bids for many tasks at once. Each has a result of its own; a refusal of one is no error of the others."""

    bids: Annotated[tuple[NewBid, ...], Meta(min_length=1, max_length=BIDS_PER_BATCH_MAX)]


class Amendment(Body, frozen=True):
    """Change an open bid: a new price takes a new place in time, a new deadline alone keeps it."""

    max_price_tokens: TokensPositive | None = None
    ttl_at: Instant | None = None


class Settlement(Body, frozen=True):
    """The work of an award is done. Naming the `award_id` keeps a late report from settling somebody else's award."""

    actual_cost_tokens: Tokens
    actual_impact: Amount
    award_id: AwardId | None = None


class Voiding(Body, frozen=True):
    """The provider failed."""

    award_id: AwardId | None = None
