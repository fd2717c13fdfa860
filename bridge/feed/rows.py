"""The messages of a journal row.

Rule of this file: pure, and a message follows from its row alone, so a stream that is resumed says the same bytes
again.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import assert_never

from callmarket.bridge.api.units import datetime_of, duration_of, number_of
from callmarket.bridge.feed.artifact_rows import artifact_messages_of
from callmarket.bridge.feed.messages import (
    AwardGrantedMessage,
    AwardLapsedMessage,
    AwardSettledMessage,
    AwardVoidedMessage,
    BidAmendedMessage,
    BidCancelledMessage,
    BidPlacedMessage,
    BidsExpiredMessage,
    BidsLostMessage,
    EndedBid,
    MarketOpenedMessage,
    RoundMessage,
    RowMessage,
    SlotOfferedMessage,
    SlotWithdrawnMessage,
)
from callmarket.engine.capital.events import CapitalEvent
from callmarket.engine.commands import ClearRound, Entry
from callmarket.engine.events import (
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
    Events,
    HistoryBegun,
    HoldCaptured,
    HoldPlaced,
    HoldReleased,
    HoldsBound,
    HoldsExpired,
    MarketOpened,
    Rejected,
    Repeated,
    RoundCleared,
    SlotOffered,
    SlotWithdrawn,
    SweepFinished,
    TransferPosted,
    one_by_one,
)

_BidEvent = BidPlaced | BidAmended | BidCancelled | BidsLost | BidsExpired
_AwardEvent = AwardGranted | AwardSettled | AwardVoided | AwardLapsed
_MarketEvent = RoundCleared | SlotOffered | SlotWithdrawn | MarketOpened
_Unsaid = (
    AccountOpened
    | TransferPosted
    | HoldPlaced
    | HoldCaptured
    | HoldReleased
    | HoldsExpired
    | HoldsBound
    | SweepFinished
    | HistoryBegun
    | Rejected
    | Repeated
)


def messages_of(entry: Entry, events: Events) -> Iterator[RowMessage]:
    """The messages of a row; some rows have none. About 3 us."""
    at = datetime_of(entry.at_us)
    for event in one_by_one(events):
        if isinstance(event, CapitalEvent):
            yield from artifact_messages_of(entry.seq, at, event)
        elif (message := _of_bids(entry, at, event)) is not None:
            yield message


def _of_bids(entry: Entry, at: datetime, event: _BidEvent | _AwardEvent | _MarketEvent | _Unsaid) -> RowMessage | None:
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
                event.market_id or None,
            )
        case BidCancelled():
            return BidCancelledMessage(seq, at, event.bid_id, event.bidder_id, event.market_id or None)
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
    event: _AwardEvent | _MarketEvent | _Unsaid,
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
                event.market_id or None,
                event.provider_id or None,
            )
        case AwardVoided():
            return AwardVoidedMessage(
                seq,
                at,
                event.award_id,
                event.slot_id,
                event.bid_id,
                event.bidder_id,
                event.market_id or None,
                event.provider_id or None,
            )
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
                event.market_id or None,
                event.provider_id or None,
            )
        case _:
            return _of_markets(seq, at, event)


def _of_markets(
    seq: int,
    at: datetime,
    event: _MarketEvent | _Unsaid,
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
            return SlotWithdrawnMessage(seq, at, event.slot_id, event.market_id or None, event.provider_id or None)
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
                event.task_scope,
                event.reward_account_id,
                event.reward_day_cap_tokens,
            )
        case AccountOpened() | TransferPosted() | SweepFinished() | Rejected() | Repeated():
            return None
        case HoldPlaced() | HoldCaptured() | HoldReleased() | HoldsExpired() | HoldsBound() | HistoryBegun():
            return None
        case _ as never:
            assert_never(never)


def _ended(event: BidsLost | BidsExpired) -> tuple[EndedBid, ...]:
    return tuple(map(EndedBid, event.bid_ids, event.bidder_ids))
