"""What the feed says, in people's units: rounds, awards, the changes of the book, and the watermark.

Rule of this file: pure, and a message follows from its journal row alone, so a stream that is resumed says the same
bytes again. The union is closed: a `type` is never renamed or reused. Refusals, retries and the movements of wallets
are not in it: they are nobody's business but that of the accounts concerned. Nor is what a bidder expects of its task.

Of some changes a row names the bid or the slot and not the market (an amendment, a cancellation, a settlement, a
sweep); whoever saw the bid placed or the slot offered knows it.

Everything that changes the book is in it. A bid leaves the book with `bid.cancelled`, `bid.lost`, `bid.expired` or
`award.granted`, and with `round` all bids of that market leave it that were for one round: those that are still to be
released are named by `bid.lost` and `bid.expired` later (BID-4). A slot leaves with `slot.withdrawn`, `award.granted`.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal, assert_never

from msgspec import Struct

from bridge.units import datetime_of, duration_of, number_of
from engine.commands import ClearRound, Entry, LapsePolicy, PricingRule, TimeInForce
from engine.events import (
    AccountOpened,
    AwardGranted,
    AwardLapsed,
    AwardSettled,
    AwardVoided,
    BidAmended,
    BidCancelled,
    BidPlaced,
    BidsExpired,
    BidsLost,
    Event,
    Events,
    MarketOpened,
    Rejected,
    Repeated,
    RoundCleared,
    SlotOffered,
    SlotWithdrawn,
    SweepFinished,
    TransferPosted,
)

Kind = Literal["round", "award", "bid", "slot", "market", "watermark"]
"""What a reader may choose by: the first word of a message's `type`."""


class MessageBase(Struct, frozen=True, tag_field="type"):
    """Common encoding: an object with its tag under `type`; the row of the journal that it is of, and its time."""

    seq: int
    at: datetime


class RoundMessage(MessageBase, frozen=True, tag="round"):
    """A market was called, after its awards: supply, demand, and the one price (None: none won, or each its own)."""

    market_id: str
    round_no: int
    slots_available: int
    bids_open: int
    awards_granted: int
    clearing_price_tokens: int | None
    losers_remaining: int


class AwardGrantedMessage(MessageBase, frozen=True, tag="award.granted"):
    """A bid won a slot: both have left the book."""

    award_id: int
    market_id: str
    round_no: int
    slot_id: str
    bid_id: int
    bidder_id: str
    task_id: str
    runner_up_task_id: str | None
    price_tokens: int
    provider_id: str
    slot_started_at: datetime
    lease_until: datetime


class AwardSettledMessage(MessageBase, frozen=True, tag="award.settled"):
    """The work is done and paid."""

    award_id: int
    slot_id: str
    bid_id: int
    bidder_id: str
    price_tokens: int
    actual_cost_tokens: int
    actual_impact: float
    reward_tokens: int


class AwardVoidedMessage(MessageBase, frozen=True, tag="award.voided"):
    """The provider failed; the task may bid again."""

    award_id: int
    slot_id: str
    bid_id: int
    bidder_id: str


class AwardLapsedMessage(MessageBase, frozen=True, tag="award.lapsed"):
    """Nobody settled in time."""

    award_id: int
    slot_id: str
    bid_id: int
    bidder_id: str
    price_tokens: int
    charged_tokens: int


class BidPlacedMessage(MessageBase, frozen=True, tag="bid.placed"):
    """A bid is in the book; among those of its price it stands by `priority_seq`."""

    bid_id: int
    market_id: str
    bidder_id: str
    task_id: str
    max_price_tokens: int
    ttl_at: datetime | None
    time_in_force: TimeInForce
    priority_seq: int


class BidAmendedMessage(MessageBase, frozen=True, tag="bid.amended"):
    """A bid in the book has these values now."""

    bid_id: int
    bidder_id: str
    max_price_tokens: int
    ttl_at: datetime | None
    priority_seq: int


class BidCancelledMessage(MessageBase, frozen=True, tag="bid.cancelled"):
    """A bid was taken back."""

    bid_id: int
    bidder_id: str


class EndedBid(Struct, frozen=True):
    """One of the bids that ended together."""

    bid_id: int
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
)
Message = RowMessage | WatermarkMessage


def messages_of(entry: Entry, events: Events) -> Iterator[RowMessage]:
    """What is said of a row: nothing of some. About 3 us."""
    at = datetime_of(entry.at_us)
    for event in events:
        message = _of_bids(entry, at, event)
        if message is not None:
            yield message


def _of_bids(entry: Entry, at: datetime, event: Event) -> RowMessage | None:
    seq = entry.seq
    match event:
        case BidPlaced():
            return BidPlacedMessage(
                seq,
                at,
                event.bid_id,
                event.market_id,
                event.bidder_id,
                event.task_id,
                event.max_price_tokens,
                None if event.ttl_at_us is None else datetime_of(event.ttl_at_us),
                event.time_in_force,
                event.priority_seq,
            )
        case BidAmended():
            return BidAmendedMessage(
                seq,
                at,
                event.bid_id,
                event.bidder_id,
                event.max_price_tokens,
                None if event.ttl_at_us is None else datetime_of(event.ttl_at_us),
                event.priority_seq,
            )
        case BidCancelled():
            return BidCancelledMessage(seq, at, event.bid_id, event.bidder_id)
        case BidsLost():
            return BidsLostMessage(seq, at, event.market_id, event.round_no, _ended(event))
        case BidsExpired():
            command = entry.command
            market_id = command.market_id if isinstance(command, ClearRound) else None
            return BidsExpiredMessage(seq, at, market_id, _ended(event))
        case _:
            return _of_awards(seq, at, event)


def _of_awards(
    seq: int,
    at: datetime,
    event: AwardGranted
    | AwardSettled
    | AwardVoided
    | AwardLapsed
    | RoundCleared
    | SlotOffered
    | SlotWithdrawn
    | MarketOpened
    | AccountOpened
    | TransferPosted
    | SweepFinished
    | Rejected
    | Repeated,
) -> RowMessage | None:
    match event:
        case AwardGranted():
            return AwardGrantedMessage(
                seq,
                at,
                event.award_id,
                event.market_id,
                event.round_no,
                event.slot_id,
                event.bid_id,
                event.bidder_id,
                event.task_id,
                event.runner_up_task_id,
                event.price_tokens,
                event.provider_id,
                datetime_of(event.slot_started_at_us),
                datetime_of(event.lease_until_us),
            )
        case AwardSettled():
            return AwardSettledMessage(
                seq,
                at,
                event.award_id,
                event.slot_id,
                event.bid_id,
                event.bidder_id,
                event.price_tokens,
                event.actual_cost_tokens,
                number_of(event.actual_impact_micros),
                event.reward_tokens,
            )
        case AwardVoided():
            return AwardVoidedMessage(seq, at, event.award_id, event.slot_id, event.bid_id, event.bidder_id)
        case AwardLapsed():
            return AwardLapsedMessage(
                seq,
                at,
                event.award_id,
                event.slot_id,
                event.bid_id,
                event.bidder_id,
                event.price_tokens,
                event.charged_tokens,
            )
        case _:
            return _of_markets(seq, at, event)


def _of_markets(
    seq: int,
    at: datetime,
    event: RoundCleared
    | SlotOffered
    | SlotWithdrawn
    | MarketOpened
    | AccountOpened
    | TransferPosted
    | SweepFinished
    | Rejected
    | Repeated,
) -> RowMessage | None:
    match event:
        case RoundCleared():
            return RoundMessage(
                seq,
                at,
                event.market_id,
                event.round_no,
                event.slots_available,
                event.bids_open,
                event.awards_granted,
                event.clearing_price_tokens,
                event.losers_remaining,
            )
        case SlotOffered():
            return SlotOfferedMessage(
                seq,
                at,
                event.market_id,
                event.slot_id,
                datetime_of(event.available_at_us),
                event.reserve_price_tokens,
                event.provider_id,
                event.offer_seq,
            )
        case SlotWithdrawn():
            return SlotWithdrawnMessage(seq, at, event.slot_id)
        case MarketOpened():
            return MarketOpenedMessage(
                seq,
                at,
                event.market_id,
                event.pricing_rule,
                event.reserve_price_tokens,
                event.awards_per_bidder_max,
                duration_of(event.lease_us),
                event.lapse_policy,
                event.reward_tokens_per_impact,
                event.reward_cap_tokens,
            )
        case AccountOpened() | TransferPosted() | SweepFinished() | Rejected() | Repeated():
            return None
        case _ as never:
            assert_never(never)


def _ended(event: BidsLost | BidsExpired) -> tuple[EndedBid, ...]:
    return tuple(map(EndedBid, event.bid_ids, event.bidder_ids))
