"""The bodies of requests, with the bounds of each field.

Rule of this file: people's units, and nothing about who asks: that is the key's to say. A field that is not here is
refused, so that a mistyped one is not silently its default.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from callmarket.bridge.api.artifact_changes import Title
from callmarket.bridge.api.names import ACCOUNT_PATTERN, PATH_NAME_PATTERN
from callmarket.engine import limits
from callmarket.engine.commands import (
    TREASURY,
    AccountKind,
    LapsePolicy,
    Memo,
    Name,
    PricingRule,
    Reason,
    Reference,
    TaskScope,
    TimeInForce,
    Tokens,
    TokensPositive,
)

# One durable wait for all of them, and some ten milliseconds of the market's time.
BIDS_PER_BATCH_MAX: Final = 1_000

# How times are written, for who has written one in another way.
AN_INSTANT: Final = "ISO 8601 with a time zone, as 2026-01-31T12:00:00Z"
PathName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=limits.NAME_CHARS_MAX,
        pattern=PATH_NAME_PATTERN,
        description="Visible ASCII without spaces and without `/`.",
    ),
]
NewAccountName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=limits.NAME_CHARS_MAX,
        pattern=ACCOUNT_PATTERN,
        description="Visible ASCII without spaces and without `/`. Not `*` or `~`: all, and oneself.",
    ),
]
Lease = Annotated[timedelta, Meta(description="ISO 8601, as PT1H or PT90S; at most 31 days.")]
# Expected value and impact are kept in millionths, of which the engine takes a few more than these.
AMOUNT_MAX: Final = 9_000_000_000
assert AMOUNT_MAX * 1_000_000 <= limits.MICROS_MAX, AMOUNT_MAX
Amount = Annotated[float, Meta(ge=0, le=AMOUNT_MAX, description="Kept to six decimal places.")]
Instant = Annotated[datetime, Meta(tz=True, description="ISO 8601 with a time zone.")]
AwardId = Annotated[int, Meta(ge=1, le=limits.SEQ_MAX, description="Which award; else the slot's present one.")]
Price = Annotated[TokensPositive, Meta(description="The most that is paid, and what is held until then. Whole tokens.")]
Deadline = Annotated[Instant, Meta(description="Until when the bid stands, ISO 8601 with a time zone.")]
Why = Annotated[Reason, Meta(description="What for, in parts: `grant:initial`, `earn:review`.")]
ReferenceKind = Annotated[Reference, Meta(description="What kind of thing it is for, as `artifact`.")]
ReferenceName = Annotated[Reference, Meta(description="Which one; an `earn:*` is paid once for each.")]
Note = Annotated[Memo, Meta(description="For people.")]
Sum = Annotated[TokensPositive, Meta(description="Whole tokens.")]


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all bodies share: a field that is not known is refused."""


class NewAccount(Body, frozen=True):
    """Open a wallet with nothing in it."""

    account_id: NewAccountName
    kind: Annotated[AccountKind, Meta(description="Agents and quests bid; providers offer.")] = "agent"


class Minting(Body, frozen=True):
    """Make or destroy tokens. A reason `earn:*` needs a reference, and is paid once per reference."""

    amount_tokens: Sum
    reason: Why
    reference_type: ReferenceKind = ""
    reference_id: ReferenceName = ""
    memo: Note = ""


class NewTransfer(Body, frozen=True):
    """Pay another account. Who pays is the acting account."""

    to_account_id: Annotated[Name, Meta(description="Who is paid.")]
    amount_tokens: Sum
    reason: Why
    reference_type: ReferenceKind = ""
    reference_id: ReferenceName = ""
    memo: Note = ""


class NewHold(Body, frozen=True):
    """Set tokens of the acting account aside. A reason `earn:*` needs a reference."""

    hold_id: PathName
    amount_tokens: Sum
    reason: Why
    reference_type: ReferenceKind = ""
    reference_id: ReferenceName = ""
    expires_at: Annotated[Instant, Meta(description="When it goes back, if it is open then. ISO 8601.")] | None = None
    memo: Note = ""


class Capture(Body, frozen=True):
    """Pay an account from a hold: all of it, or so many tokens, and the rest goes back."""

    to_account_id: Annotated[Name, Meta(description="Who is paid.")]
    amount_tokens: Annotated[TokensPositive, Meta(description="Whole tokens; left out, all of it.")] | None = None


class NewMarket(Body, frozen=True):
    """Open a market with its rules, which stay as they are."""

    market_id: PathName
    pricing_rule: Annotated[
        PricingRule,
        Meta(
            description="What winners pay: the best bid that got no slot (first_rejected), the lowest that did "
            "(last_accepted), each its own (pay_as_bid), or what its slots keep from others (vickrey). Under the first "
            "two, at least the best bid of another bidder for the same task."
        ),
    ] = "first_rejected"
    reserve_price_tokens: Annotated[Tokens, Meta(description="No slot is sold below it.")] = 0
    awards_per_bidder_max: Annotated[Tokens, Meta(description="Awards that a bidder may win in a round; 0: any.")] = 0
    lease: Lease = timedelta(hours=1)
    lapse_policy: Annotated[LapsePolicy, Meta(description="What becomes of the price when a lease ends.")] = "charge"
    reward_tokens_per_impact: Annotated[
        int, Meta(ge=0, le=limits.REWARD_TOKENS_PER_IMPACT_MAX, description="Paid for good work; 0: nothing.")
    ] = 0
    reward_cap_tokens: Annotated[Tokens, Meta(description="The most that one award is rewarded with; 0: nothing.")] = 0
    task_scope: Annotated[
        TaskScope, Meta(description="Whose a task id is: one task for all bidders, or one for each of them.")
    ] = "market"
    reward_account_id: Annotated[
        Name, Meta(description="From whose available tokens rewards are paid. What it has not is not paid.")
    ] = TREASURY
    reward_day_cap_tokens: Annotated[
        Tokens, Meta(description="The most that one account is rewarded with in a day (UTC); 0: nothing.")
    ] = 0


class CycleSetting(Body, frozen=True):
    """When a market is called: `every` period, `on_offer` as soon as a slot can be sold, or only when `asked`."""

    mode: Annotated[Literal["every", "on_offer", "asked"], Meta(description="What makes the market be called.")]
    period: Annotated[timedelta, Meta(description="ISO 8601, as PT30S. For the mode `every` alone.")] | None = None


class NewSlot(Body, frozen=True):
    """Offer one use of a slot. What is left out is the market's default; without `available_at` it is available now.

    The provider is the acting account, or the treasury where an operator offers.
    """

    slot_id: PathName
    available_at: Annotated[Instant, Meta(description="When it can be used; ISO 8601 with a time zone.")] | None = None
    reserve_price_tokens: Annotated[Tokens, Meta(description="It is not sold below it.")] | None = None
    lease: Lease | None = None


class NewBid(Body, frozen=True):
    """Bid for one slot for one task. `ttl_at` may be left out only of a bid for one round."""

    task_id: Annotated[Name, Meta(description="The task to be run; one open bid for each.")]
    max_price_tokens: Price
    expected_value_usd: Annotated[Amount, Meta(description="What it is worth; recorded, and decides nothing.")] = 0.0
    ttl_at: Deadline | None = None
    time_in_force: Annotated[TimeInForce, Meta(description="For the next call only, or good till a date.")] = "round"


class NewBids(Body, frozen=True):
    """Bids for many tasks at once. Each has a result of its own; a refusal of one is no error of the others."""

    bids: Annotated[tuple[NewBid, ...], Meta(min_length=1, max_length=BIDS_PER_BATCH_MAX)]


class Amendment(Body, frozen=True):
    """Change an open bid: a new price takes a new place in time, a new deadline alone keeps it."""

    max_price_tokens: Price | None = None
    ttl_at: Deadline | None = None


class Settlement(Body, frozen=True):
    """The work of an award is done. Naming the `award_id` keeps a late report from settling somebody else's award."""

    actual_cost_tokens: Annotated[Tokens, Meta(description="What the work cost, for the record: the price is paid.")]
    actual_impact: Annotated[Amount, Meta(description="What the work was good for; kept to six decimal places.")]
    award_id: AwardId | None = None


class ArtifactSetting(Body, frozen=True):
    """What an artifact is called."""

    artifact_type: Annotated[Name, Meta(description="What kind of thing it is, as `hypothesis`.")]
    title: Annotated[Title, Meta(description="For people, one line.")] = ""


class PriceSetting(Body, frozen=True):
    """What an artifact is worth: 0, nobody believes in it, to 1."""

    market_price: Annotated[float, Meta(ge=0, le=1, description="Kept to six decimal places.")]


class NewSpending(Body, frozen=True):
    """What work on an artifact has cost. Sent again with the same reference, it is recorded once."""

    tokens: Annotated[TokensPositive, Meta(description="Whole tokens, at most what is left of the budget.")]
    reference_type: Annotated[Name, Meta(description="What kind of work it was, as `task`.")]
    reference_id: Annotated[Name, Meta(description="Which one; recorded once for each.")]
    impact: Annotated[Amount, Meta(description="What it was good for, if that is known.")] | None = None


class NewStake(Body, frozen=True):
    """Commit tokens of the acting account to an artifact. A tenth of them funds research on it."""

    stake_id: PathName
    tokens: Sum
    expires_at: Annotated[Instant, Meta(description="From then on they are free; ISO 8601 with a zone.")] | None = None


class NewBounty(Body, frozen=True):
    """Offer tokens of the acting account for work on an artifact."""

    bounty_id: PathName
    tokens: Sum
    expires_at: Annotated[Instant, Meta(description="From then on they go back; ISO 8601 with a time zone.")]
    description: Annotated[Memo, Meta(description="What is to be done, for people.")] = ""


class BountyPayment(Body, frozen=True):
    """Pay a bounty to its claimant. What is not paid goes back."""

    tokens: Annotated[TokensPositive, Meta(description="Whole tokens; all of it where this is left out.")] | None = None


class Voiding(Body, frozen=True):
    """The provider failed."""

    award_id: AwardId | None = None
