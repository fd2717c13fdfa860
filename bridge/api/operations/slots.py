"""Slots: offer and withdraw them, settle and void their awards, and list them.

Rule of this file: the operations on slots and their result types. A slot is identified by its provider and its id,
because each provider chooses its own ids. `~` stands for the provider that the caller acts for.
"""

from datetime import datetime
from heapq import nsmallest
from typing import Annotated, get_args

from msgspec import Meta, Struct

from callmarket.bridge.api import units
from callmarket.bridge.api.checks import check_limit, check_name, check_one_of
from callmarket.bridge.api.contract.declaration import Acting
from callmarket.bridge.api.contract.fields import After, Cost, Impact, Lease, Limit, PathName, WhichAward
from callmarket.bridge.api.contract.operation import Command, operation
from callmarket.bridge.api.contract.pages import cursor, names_after, page_of, two_names
from callmarket.bridge.api.contract.queries import (
    Moment,
    StateQuery,
    TableQuery,
    Tables,
    weight_of_page,
    weight_of_rows,
)
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.contract.results import Page, Stamp, only, stamp
from callmarket.bridge.api.errors import NotFound
from callmarket.bridge.api.messages import Reply
from callmarket.bridge.api.names import OWN
from callmarket.bridge.api.operations.rounds import check_market
from callmarket.bridge.api.units import datetime_of, duration_of, number_of
from callmarket.engine import commands
from callmarket.engine.commands import OPERATOR
from callmarket.engine.events import AwardSettled, AwardVoided, SlotStatus
from callmarket.engine.fields import Tokens
from callmarket.engine.ids import AwardId, BidId
from callmarket.engine.slots import Slot
from callmarket.engine.state import State
from callmarket.persistence import queries
from callmarket.persistence.queries import SlotRow

__all__ = ["Settled", "SlotRow", "Voided"]


class Settled(Struct, frozen=True):
    """The result of settling an award: its price was paid, cost and impact are recorded."""

    award_id: AwardId
    bid_id: BidId
    price_tokens: int
    actual_cost_tokens: int
    actual_impact: float
    reward_tokens: int
    stamp: Stamp

    @property
    def roi_impact_per_token(self) -> float | None:
        """Impact per token paid (SET-2); None if the price was 0."""
        return self.actual_impact / self.price_tokens if self.price_tokens else None


class Voided(Struct, frozen=True):
    """The result of voiding an award: its whole hold was released."""

    award_id: AwardId
    bid_id: BidId
    released_tokens: int
    stamp: Stamp


@operation(
    "POST",
    "/markets/{market_id}/slots",
    "Slots",
    "Offer a slot",
    status=201,
    example={"slot_id": "slot-1", "reserve_price_tokens": 100},
)
def offer_slot(
    market_id: PathName,
    slot_id: PathName,
    available_at: Annotated[datetime, Meta(tz=True, description="When it can be used. ISO 8601 with a time zone.")]
    | None = None,
    *,
    reserve_price_tokens: Annotated[Tokens, Meta(description="Its lowest price; by default the market's.")]
    | None = None,
    provider_id: Annotated[str, Acting] = OWN,
    lease: Lease | None = None,
    command_id: str = "",
) -> Command[Stamp]:
    """Offer one use of a slot, from `available_at` on; by default from now on.

    Needs the scope `offer`, whose account is paid, or `operate`, for which the treasury is paid. In every operation on
    a slot the provider defaults to the caller, or to the treasury if the caller is an operator or the admin; in a path,
    `~` stands for this default.
    """
    command = commands.OfferSlot(
        market_id=market_id,
        slot_id=slot_id,
        available_at_us=0 if available_at is None else units.at_us("available_at", available_at),
        reserve_price_tokens=reserve_price_tokens,
        provider_id=provider_id,
        lease_us=None if lease is None else units.lease_us("lease", lease),
    )
    return Command(request(OPERATOR, command, command_id), stamp)


@operation("DELETE", "/slots/{provider_id}/{slot_id}", "Slots", "Withdraw a slot")
def withdraw_slot(slot_id: PathName, *, provider_id: PathName = OWN, command_id: str = "") -> Command[Stamp]:
    """Withdraw a slot that is not awarded. Only its provider and an operator may do so."""
    return Command(request(OPERATOR, commands.WithdrawSlot(slot_id, provider_id), command_id), stamp)


@operation(
    "POST",
    "/slots/{provider_id}/{slot_id}/settle",
    "Slots",
    "Settle an award",
    example={"actual_cost_tokens": 180, "actual_impact": 0.7},
)
def settle(
    slot_id: PathName,
    actual_cost_tokens: Cost,
    actual_impact: Impact,
    *,
    provider_id: PathName = OWN,
    award_id: WhichAward | None = None,
    command_id: str = "",
) -> Command[Settled]:
    """Report that the work of an award is done: its price is captured, and cost and impact are recorded.

    Only the provider and an operator may settle; the bidder too if the market does not reward impact. Name the
    `award_id`, so that a late report cannot settle a later award of the same slot.
    """
    impact_micros = units.micros("actual_impact", actual_impact)
    command = commands.SettleAward(slot_id, actual_cost_tokens, impact_micros, award_id, provider_id)
    return Command(request(OPERATOR, command, command_id), _settled)


@operation("POST", "/slots/{provider_id}/{slot_id}/void", "Slots", "Void an award", example={})
def void(
    slot_id: PathName, *, provider_id: PathName = OWN, award_id: WhichAward | None = None, command_id: str = ""
) -> Command[Voided]:
    """Report that the provider failed: the whole hold is released. Only the provider and an operator may void."""
    return Command(request(OPERATOR, commands.VoidAward(slot_id, award_id, provider_id), command_id), _voided)


@operation("GET", "/markets/{market_id}/slots", "Slots", "List slots")
def slots(
    market_id: PathName, status: SlotStatus | None = None, *, limit: Limit = 100, after: After | None = None
) -> StateQuery[Page[SlotRow]] | TableQuery[Page[SlotRow]]:
    """The slots of a market in order of id and provider, each with its latest offer, in pages.

    With the status `offered` or `awarded` they are read from the live state; with another, or none, from the tables,
    where everything is durable. Raises `NotFound` if there is no such market.
    """
    check_name("market_id", market_id)
    if status is not None:
        check_one_of("status", status, get_args(SlotStatus))
    check_limit(limit)
    names = names_after("slots", after)

    def answer(at: Tables) -> Page[SlotRow]:
        check_market(at, market_id)
        rows = queries.slots_page(at.connection, at.shard_id, market_id, status, limit + 1, names)
        return page_of(rows, limit, "slots", _slot_names, at)

    if status not in ("offered", "awarded"):
        return TableQuery(answer, weight_of_page(limit))
    # All live slots of the market are searched for the first of the page.
    return StateQuery(
        lambda moment: _live_page(moment, market_id, status, limit, names),
        lambda state: weight_of_rows(limit + _live_slots(state, market_id) // 5),
    )


def _live_page(
    moment: Moment, market_id: str, status: SlotStatus, limit: int, names: tuple[str, str] | None
) -> Page[SlotRow]:
    state = moment.state
    market = state.markets.get(market_id)
    if market is None:
        raise NotFound("market_id", market_id, "an open market")
    if status == "offered":
        live = market.offers.unordered()
    else:
        live = [state.slots[state.awards[award_id].slot_key] for award_id in market.tasks_awarded.values()]
    listed = ((slot.slot_id, slot.provider_id) for slot in live)
    found = nsmallest(limit + 1, (pair for pair in listed if names is None or pair > names))
    rows = [_row(state.slots[provider_id, slot_id]) for slot_id, provider_id in found]
    items = tuple(rows[:limit])
    more = cursor("slots", _slot_names(items[-1])) if len(rows) > limit else None
    return Page(items, more, state.seq, moment.durable_seq)


def _live_slots(state: State, market_id: str) -> int:
    market = state.markets.get(market_id)
    return 0 if market is None else len(market.offers) + len(market.tasks_awarded)


def _slot_names(row: SlotRow) -> str:
    return two_names(row.slot_id, row.provider_id)


def _row(slot: Slot) -> SlotRow:
    return SlotRow(
        slot_id=slot.slot_id,
        market_id=slot.market_id,
        status=slot.status,
        provider_id=slot.provider_id,
        available_at=datetime_of(slot.available_at_us),
        reserve_price_tokens=slot.reserve_price_tokens,
        lease=duration_of(slot.lease_us),
        award_id=slot.award_id or None,
    )


def _settled(reply: Reply) -> Settled:
    made, event = stamp(reply), only(reply.events, AwardSettled)
    return Settled(
        award_id=event.award_id,
        bid_id=event.bid_id,
        price_tokens=event.price_tokens,
        actual_cost_tokens=event.actual_cost_tokens,
        actual_impact=number_of(event.actual_impact_micros),
        reward_tokens=event.reward_tokens,
        stamp=made,
    )


def _voided(reply: Reply) -> Voided:
    made, event = stamp(reply), only(reply.events, AwardVoided)
    return Voided(event.award_id, event.bid_id, event.released_tokens, made)


class Slots:
    """The operations on slots, as methods of a market."""

    offer_slot = offer_slot
    withdraw_slot = withdraw_slot
    settle = settle
    void = void
    slots = slots
