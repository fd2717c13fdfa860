"""What each tool is asked with: typed, bounded, and described for a model that has read nothing else.

Rule of this file: one struct per tool. A field that is not here is refused, so that a made-up one is not ignored. The
patterns are those that every dialect of JSON Schema reads alike.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from callmarket.engine.limits import MICROS_MAX, NAME_CHARS_MAX, SEQ_MAX, TOKENS_MAX
from callmarket.persistence.queries import BidStatus

# A model has to read what it gets: a page of twenty rows is some three thousand words of JSON.
ROWS_MAX: Final = 20
# Clients of the protocol give up after a minute, often: a wait ends before that.
WAIT_S_MAX: Final = 50

_NAME: Final = "^[!-~]+$"


def _name(description: str) -> Meta:
    return Meta(min_length=1, max_length=NAME_CHARS_MAX, pattern=_NAME, description=description)


MarketId = Annotated[str, _name("The market's name, as the tool `markets` lists it.")]
TaskId = Annotated[str, _name("Your own name for the task. A task has one open bid, and one award, at a time.")]
SlotId = Annotated[str, _name("The slot's name, as the award says it.")]
ProviderId = Annotated[str, _name("Whose slot it is, as the award says it: providers choose their slots' names.")]
AccountId = Annotated[str, _name("Another account's name. Leave it out for your own.")]
BidId = Annotated[int, Meta(ge=1, le=SEQ_MAX, description="The bid's id, as place_bid or my_bids gave it.")]
AwardId = Annotated[
    int, Meta(ge=1, le=SEQ_MAX, description="The award's id, as my_awards gave it: it keeps a late report harmless.")
]
Price = Annotated[
    int,
    Meta(
        ge=1,
        le=TOKENS_MAX,
        description="The most that you would pay, in whole tokens. It is held at once; a winner gets the rest back.",
    ),
]
Deadline = Annotated[
    datetime, Meta(tz=True, description="The bid ends then. ISO 8601 with a time zone: 2030-01-31T12:00:00Z.")
]
Limit = Annotated[int, Meta(ge=1, le=ROWS_MAX, description="How many at most, newest first.")]
After = Annotated[str, Meta(max_length=300, description="`next` of the page before, for what follows it.")]
IdempotencyKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        pattern=_NAME,
        description="Only to repeat a call whose outcome is unknown: the key that its error named.",
    ),
]


class Ask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all tools share: a field that is not known is refused."""


class Markets(Ask, frozen=True):
    """Nothing is asked."""


class Quote(Ask, frozen=True):
    """Whether a price would win."""

    market_id: MarketId
    max_price_tokens: Price
    task_id: TaskId | None = None


class ShowOrderBook(Ask, frozen=True):
    """A look at the book."""

    market_id: MarketId
    limit: Annotated[int, Meta(ge=1, le=ROWS_MAX, description="How many bids, prices and slots, best first.")] = 10


class PlaceBid(Ask, frozen=True):
    """A bid."""

    market_id: MarketId
    task_id: TaskId
    max_price_tokens: Price
    expected_value_usd: Annotated[
        float,
        Meta(ge=0, le=MICROS_MAX / 1e6, description="What the work is worth to you. Recorded; it decides nothing."),
    ] = 0.0
    time_in_force: Annotated[
        Literal["round", "gtd"],
        Meta(description="`round`: it takes part in the next call and ends with it. `gtd`: it rests until ttl_at."),
    ] = "round"
    ttl_at: Deadline | None = None
    idempotency_key: IdempotencyKey | None = None


class AmendBid(Ask, frozen=True):
    """Another price or deadline."""

    bid_id: BidId
    max_price_tokens: Price | None = None
    ttl_at: Deadline | None = None
    idempotency_key: IdempotencyKey | None = None


class CancelBid(Ask, frozen=True):
    """The bid to take back."""

    bid_id: BidId


class MyBids(Ask, frozen=True):
    """A page of one's own bids."""

    market_id: MarketId | None = None
    status: Annotated[BidStatus, Meta(description="Only bids that stand so. Leave it out for all.")] | None = None
    limit: Limit = 10
    after: After | None = None


class MyAwards(Ask, frozen=True):
    """A page of one's own awards, perhaps one that is still to come."""

    market_id: MarketId | None = None
    status: Annotated[
        Literal["awarded", "settled", "voided", "lapsed", "any"],
        Meta(description="`awarded`: still to be settled. `any`: also those that ended."),
    ] = "awarded"
    wait_s: Annotated[
        float, Meta(ge=0, le=WAIT_S_MAX, description="Where there is none, wait so many seconds for one to come.")
    ] = 0.0
    limit: Limit = 10
    after: After | None = None


class Settle(Ask, frozen=True):
    """The work of an award is done."""

    provider_id: ProviderId
    slot_id: SlotId
    award_id: AwardId
    actual_cost_tokens: Annotated[
        int, Meta(ge=0, le=TOKENS_MAX, description="What the work really cost. Recorded; you pay the award's price.")
    ]
    actual_impact: Annotated[
        float, Meta(ge=0, le=MICROS_MAX / 1e6, description="What the work achieved, as your market counts it.")
    ]


class Void(Ask, frozen=True):
    """The provider of an award failed."""

    provider_id: ProviderId
    slot_id: SlotId
    award_id: AwardId


class ShowWallet(Ask, frozen=True):
    """A look at a wallet."""

    account_id: AccountId | None = None


class Why(Ask, frozen=True):
    """The bid in question."""

    bid_id: BidId
