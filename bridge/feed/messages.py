"""The messages of the feed, in user-facing units: rounds, awards, the changes of the book, and the watermark.

Rule of this file: shape only; `rows` makes messages of a row. The union is closed: a `type` is never renamed or
reused. Refusals, retries, the movements of wallets and named holds are not in it: they are nobody's business but that
of the accounts concerned. Nor is what a bidder expects of its task.

A `market_id` is None where the row names none: of bids that a sweep ends, which may be of several markets, and of what
rules 1 said of a bid, an award or a slot that was changed. A reader that saw the bid placed or the slot offered knows
it. A `provider_id` is None in what rules 1 and 2 said of an award or a slot that ended: one slot had the id at a time
then.

Everything that changes the book is in it. A bid leaves the book with `bid.cancelled`, `bid.lost`, `bid.expired` or
`award.granted`, and with `round` all bids of that market leave it that were for one round: those that are still to be
released are named by `bid.lost` and `bid.expired` later (BID-4). A slot leaves with `slot.withdrawn`, `award.granted`.
Artifact markets have books of their own: see `artifact_messages`.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from callmarket.bridge.feed.artifact_messages import ArtifactMessage
from callmarket.bridge.feed.message_base import MessageBase
from callmarket.engine.commands import LapsePolicy, PricingRule, TaskScope, TimeInForce
from callmarket.engine.ids import AwardId, BidId

Kind = Literal["round", "award", "bid", "slot", "market", "artifact", "watermark"]
"""What a reader may choose by: the first word of a message's `type`."""


class RoundMessage(MessageBase, frozen=True, tag="round"):
    """A market was called, after its awards: supply, demand, and the one price (None: none won, or each its own).

    What each winner pays is in its award: where it has rivals for its task, that may be more.
    """

    market_id: str
    round_no: int
    slots_available: int
    bids_open: int
    awards_granted: int
    clearing_price_tokens: int | None
    losers_remaining: int


class AwardGrantedMessage(MessageBase, frozen=True, tag="award.granted"):
    """A bid won a slot: both have left the book."""

    award_id: AwardId
    market_id: str
    round_no: int
    slot_id: str
    bid_id: BidId
    bidder_id: str
    task_id: str
    runner_up_task_id: str | None
    price_tokens: int
    provider_id: str
    slot_started_at: datetime
    lease_until: datetime


class AwardSettledMessage(MessageBase, frozen=True, tag="award.settled"):
    """The work is done and paid."""

    award_id: AwardId
    slot_id: str
    bid_id: BidId
    bidder_id: str
    price_tokens: int
    actual_cost_tokens: int
    actual_impact: float
    reward_tokens: int
    market_id: str | None = None
    provider_id: str | None = None


class AwardVoidedMessage(MessageBase, frozen=True, tag="award.voided"):
    """The provider failed; the task may bid again."""

    award_id: AwardId
    slot_id: str
    bid_id: BidId
    bidder_id: str
    market_id: str | None = None
    provider_id: str | None = None


class AwardLapsedMessage(MessageBase, frozen=True, tag="award.lapsed"):
    """Nobody settled in time."""

    award_id: AwardId
    slot_id: str
    bid_id: BidId
    bidder_id: str
    price_tokens: int
    charged_tokens: int
    market_id: str | None = None
    provider_id: str | None = None


class BidPlacedMessage(MessageBase, frozen=True, tag="bid.placed"):
    """A bid is in the book; among those of its price it stands by `priority_seq`."""

    bid_id: BidId
    market_id: str
    bidder_id: str
    task_id: str
    max_price_tokens: int
    ttl_at: datetime | None
    time_in_force: TimeInForce
    priority_seq: int


class BidAmendedMessage(MessageBase, frozen=True, tag="bid.amended"):
    """A bid in the book has these values now."""

    bid_id: BidId
    bidder_id: str
    max_price_tokens: int
    ttl_at: datetime | None
    priority_seq: int
    market_id: str | None = None


class BidCancelledMessage(MessageBase, frozen=True, tag="bid.cancelled"):
    """A bid was taken back."""

    bid_id: BidId
    bidder_id: str
    market_id: str | None = None


class EndedBid(Struct, frozen=True):
    """One of the bids that ended together."""

    bid_id: BidId
    bidder_id: str


class BidsLostMessage(MessageBase, frozen=True, tag="bid.lost"):
    """These bids for one round did not win it. They left the book with its `round`."""

    market_id: str
    round_no: int
    bids: tuple[EndedBid, ...]


class BidsExpiredMessage(MessageBase, frozen=True, tag="bid.expired"):
    """These bids are past their deadline. Of several markets, perhaps, where none is named."""

    market_id: str | None
    bids: tuple[EndedBid, ...]


class SlotOfferedMessage(MessageBase, frozen=True, tag="slot.offered"):
    """A slot is for sale; slots are sold by reserve price, then `available_at`, then `offer_seq`."""

    market_id: str
    slot_id: str
    available_at: datetime
    reserve_price_tokens: int
    provider_id: str
    offer_seq: int


class SlotWithdrawnMessage(MessageBase, frozen=True, tag="slot.withdrawn"):
    """A slot is off sale."""

    slot_id: str
    market_id: str | None = None
    provider_id: str | None = None


class MarketOpenedMessage(MessageBase, frozen=True, tag="market.opened"):
    """A market exists, with these rules."""

    market_id: str
    pricing_rule: PricingRule
    reserve_price_tokens: int
    awards_per_bidder_max: int
    lease: timedelta
    lapse_policy: LapsePolicy
    reward_tokens_per_impact: int
    reward_cap_tokens: int
    task_scope: TaskScope
    reward_account_id: str
    reward_day_cap_tokens: int


class WatermarkMessage(Struct, frozen=True, tag_field="type", tag="watermark"):
    """All rows up to here are durable, and those that a filter lets through have been said."""

    durable_seq: int


RowMessage = (
    BidPlacedMessage
    | BidAmendedMessage
    | BidCancelledMessage
    | BidsLostMessage
    | BidsExpiredMessage
    | AwardGrantedMessage
    | AwardSettledMessage
    | AwardVoidedMessage
    | AwardLapsedMessage
    | RoundMessage
    | SlotOfferedMessage
    | SlotWithdrawnMessage
    | MarketOpenedMessage
    | ArtifactMessage
)
Message = RowMessage | WatermarkMessage
