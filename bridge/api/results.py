"""What the verbs return, in people's units.

Rule of this file: pure; from a reply to one typed result per verb. Every result carries the stamp of the command that
made it: its place in history, and whether that was durable.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from msgspec import Struct

from callmarket.bridge.api.errors import Refused
from callmarket.bridge.api.messages import Reply
from callmarket.bridge.api.units import datetime_of, number_of
from callmarket.engine.events import (
    AwardGranted,
    AwardSettled,
    AwardVoided,
    BidAmended,
    BidPlaced,
    Event,
    HoldCaptured,
    HoldPlaced,
    HoldReleased,
    Rejected,
    RoundCleared,
    SweepFinished,
    TransferPosted,
    one_by_one,
)

E = TypeVar("E")
T = TypeVar("T")


class Stamp(Struct, frozen=True):
    """The place of a command in history, and how far history was durable when the reply was made.

    `repeated`: this was done before, under the same `command_id`.
    """

    seq: int
    durable_seq: int
    at: datetime
    repeated: bool

    @property
    def durable(self) -> bool:
        """Whether the command was in the journal when the reply was made."""
        return self.seq <= self.durable_seq


class PlacedBid(Struct, frozen=True):
    """A bid is open and its price is held."""

    bid_id: int
    held_tokens: int
    stamp: Stamp


class AmendedBid(Struct, frozen=True):
    """An open bid has these values now."""

    bid_id: int
    max_price_tokens: int
    ttl_at: datetime | None
    stamp: Stamp


class Posted(Struct, frozen=True):
    """Tokens moved. The balances are those after it."""

    transfer_id: int
    amount_tokens: int
    from_balance_tokens: int
    to_balance_tokens: int
    stamp: Stamp


class Award(Struct, frozen=True, gc=False):
    """A right to a slot. `award_id` is the fencing token: name it when settling."""

    award_id: int
    slot_id: str
    bid_id: int
    bidder_id: str
    task_id: str
    price_tokens: int
    premium_tokens: int
    runner_up_task_id: str | None
    provider_id: str
    slot_started_at: datetime
    lease_until: datetime


class Round(Struct, frozen=True):
    """One call of a market. The price is None where nobody won, or where each winner pays a price of its own.

    What each pays is in its award: where another bidder bid for the same task it may be more than that price.
    """

    market_id: str
    round_no: int
    slots_available: int
    bids_open: int
    clearing_price_tokens: int | None
    awards: tuple[Award, ...]
    losers_remaining: int
    stamp: Stamp


class Settled(Struct, frozen=True):
    """An award is paid."""

    award_id: int
    bid_id: int
    price_tokens: int
    actual_cost_tokens: int
    actual_impact: float
    reward_tokens: int
    stamp: Stamp

    @property
    def roi_impact_per_token(self) -> float | None:
        """Impact per token paid (SET-2); None where nothing was paid."""
        return self.actual_impact / self.price_tokens if self.price_tokens else None


class Voided(Struct, frozen=True):
    """An award is void and its whole hold is back."""

    award_id: int
    bid_id: int
    released_tokens: int
    stamp: Stamp


class Swept(Struct, frozen=True):
    """What sweeps ended. `more_due` says that there is more."""

    bids_lost: int
    bids_expired: int
    awards_lapsed: int
    more_due: bool
    stamp: Stamp
    holds_expired: int = 0


class PlacedHold(Struct, frozen=True):
    """Tokens are set aside under a name."""

    account_id: str
    hold_id: str
    held_tokens: int
    stamp: Stamp


class CapturedHold(Struct, frozen=True):
    """A named hold has ended: some of it is paid, by the transfer `transfer_id`, and the rest is back."""

    account_id: str
    hold_id: str
    captured_tokens: int
    released_tokens: int
    transfer_id: int
    stamp: Stamp


class ReleasedHold(Struct, frozen=True):
    """A named hold has ended and all of it is back."""

    account_id: str
    hold_id: str
    released_tokens: int
    stamp: Stamp


class Page(Struct, Generic[T], frozen=True):
    """A part of a list, as it was at `seq`. `next` is handed back as `after` for what follows; None at the end."""

    items: tuple[T, ...]
    next: str | None
    seq: int
    durable_seq: int


def stamp(reply: Reply) -> Stamp:
    """The stamp of a reply, for verbs that have nothing else to say. Raises `Refused` if the market said no."""
    first = reply.events[0]
    if isinstance(first, Rejected):
        raise Refused(first, reply.seq)
    return Stamp(reply.seq, reply.durable_seq, datetime_of(reply.at_us), reply.repeated)


def accepted(replies: Sequence[Reply]) -> Sequence[Reply]:
    """The replies to what `submit` was given, where nothing may be refused. Raises `Refused` for the first that was."""
    for reply in replies:
        stamp(reply)
    return replies


def placed_bid(reply: Reply) -> PlacedBid:
    """The result of `place_bid`."""
    made, event = stamp(reply), _only(reply.events, BidPlaced)
    return PlacedBid(event.bid_id, event.max_price_tokens, made)


def all_placed(outcomes: Sequence[PlacedBid | Refused]) -> list[PlacedBid]:
    """What `place_bids` returned, where nothing may be refused. Raises the first refusal."""
    placed = []
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            raise outcome
        placed.append(outcome)
    return placed


def placed_or_refused(reply: Reply) -> PlacedBid | Refused:
    """The result of one bid of many: a refusal of one is no error of the others."""
    try:
        return placed_bid(reply)
    except Refused as refused:
        return refused


def amended_bid(reply: Reply) -> AmendedBid:
    """The result of `amend_bid`."""
    made, event = stamp(reply), _only(reply.events, BidAmended)
    ttl_at = None if event.ttl_at_us is None else datetime_of(event.ttl_at_us)
    return AmendedBid(event.bid_id, event.max_price_tokens, ttl_at, made)


def posted(reply: Reply) -> Posted:
    """The result of `mint`, `burn` and `transfer`."""
    made, event = stamp(reply), _only(reply.events, TransferPosted)
    return Posted(
        transfer_id=event.transfer_id,
        amount_tokens=event.amount_tokens,
        from_balance_tokens=event.debit_balance_tokens,
        to_balance_tokens=event.credit_balance_tokens,
        stamp=made,
    )


def cleared_round(reply: Reply) -> Round:
    """The result of `clear_round`."""
    made, event = stamp(reply), _only(reply.events, RoundCleared)
    return Round(
        market_id=event.market_id,
        round_no=event.round_no,
        slots_available=event.slots_available,
        bids_open=event.bids_open,
        clearing_price_tokens=event.clearing_price_tokens,
        awards=_awards(reply.events),
        losers_remaining=event.losers_remaining,
        stamp=made,
    )


def settled(reply: Reply) -> Settled:
    """The result of `settle`."""
    made, event = stamp(reply), _only(reply.events, AwardSettled)
    return Settled(
        award_id=event.award_id,
        bid_id=event.bid_id,
        price_tokens=event.price_tokens,
        actual_cost_tokens=event.actual_cost_tokens,
        actual_impact=number_of(event.actual_impact_micros),
        reward_tokens=event.reward_tokens,
        stamp=made,
    )


def voided(reply: Reply) -> Voided:
    """The result of `void`."""
    made, event = stamp(reply), _only(reply.events, AwardVoided)
    return Voided(event.award_id, event.bid_id, event.released_tokens, made)


def swept(reply: Reply) -> Swept:
    """The result of one sweep."""
    made, event = stamp(reply), _only(reply.events, SweepFinished)
    return Swept(event.bids_lost, event.bids_expired, event.awards_lapsed, event.more_due, made, event.holds_expired)


def swept_together(one: Swept, two: Swept) -> Swept:
    """Two sweeps, one after the other, as one."""
    return Swept(
        bids_lost=one.bids_lost + two.bids_lost,
        bids_expired=one.bids_expired + two.bids_expired,
        awards_lapsed=one.awards_lapsed + two.awards_lapsed,
        more_due=two.more_due,
        stamp=two.stamp,
        holds_expired=one.holds_expired + two.holds_expired,
    )


def placed_hold(reply: Reply) -> PlacedHold:
    """The result of `place_hold`."""
    made, event = stamp(reply), _only(reply.events, HoldPlaced)
    return PlacedHold(event.account_id, event.hold_id, event.amount_tokens, made)


def captured_hold(reply: Reply) -> CapturedHold:
    """The result of `capture_hold`."""
    made, event = stamp(reply), _only(reply.events, HoldCaptured)
    transfer = _only(reply.events, TransferPosted)
    return CapturedHold(
        account_id=event.account_id,
        hold_id=event.hold_id,
        captured_tokens=event.captured_tokens,
        released_tokens=event.released_tokens,
        transfer_id=transfer.transfer_id,
        stamp=made,
    )


def released_hold(reply: Reply) -> ReleasedHold:
    """The result of `release_hold`."""
    made, event = stamp(reply), _only(reply.events, HoldReleased)
    return ReleasedHold(event.account_id, event.hold_id, event.released_tokens, made)


def _awards(events: Iterable[Event]) -> tuple[Award, ...]:
    granted = [event for event in one_by_one(events) if isinstance(event, AwardGranted)]
    # All begin at one moment, and most leases are alike: to make dates took longer than all else.
    times_us = {event.slot_started_at_us for event in granted} | {event.lease_until_us for event in granted}
    dates = {at_us: datetime_of(at_us) for at_us in times_us}
    # By position: a call may grant thousands.
    return tuple(
        [
            Award(
                event.award_id,
                event.slot_id,
                event.bid_id,
                event.bidder_id,
                event.task_id,
                event.price_tokens,
                event.premium_tokens,
                event.runner_up_task_id,
                event.provider_id,
                dates[event.slot_started_at_us],
                dates[event.lease_until_us],
            )
            for event in granted
        ]
    )


def _only(events: Iterable[Event], kind: type[E]) -> E:
    """The one event of this kind, which the verb always causes."""
    (event,) = [event for event in events if isinstance(event, kind)]
    return event
