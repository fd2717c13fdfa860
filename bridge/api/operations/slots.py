"""Slots: offering, withdrawing, what becomes of their awards; and what is on offer.

Rule of this file: the operations about slots, with what they return. A slot is named by its provider and its id, as
providers choose ids of their own; `~` is the provider for whom the caller offers.
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
from callmarket.engine.commands import OPERATOR, Tokens
from callmarket.engine.events import AwardSettled, AwardVoided, SlotStatus
from callmarket.engine.ids import AwardId, BidId
from callmarket.engine.slots import Slot
from callmarket.engine.state import State
from callmarket.persistence import queries
from callmarket.persistence.queries import SlotRow

__all__ = ["Settled", "SlotRow", "Voided"]


class Settled(Struct, frozen=True):
    """An award is paid."""

    award_id: AwardId
    bid_id: BidId
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

    award_id: AwardId
    bid_id: BidId
    released_tokens: int
    stamp: Stamp


@operation("POST", "/markets/{market_id}/slots", "Slots", "Offer a slot", status=201)
def offer_slot(
    market_id: PathName,
    slot_id: PathName,
    available_at: Annotated[datetime, Meta(tz=True, description="When it can be used; ISO 8601 with a time zone.")]
    | None = None,
    *,
    reserve_price_tokens: Annotated[Tokens, Meta(description="It is not sold below it.")] | None = None,
    provider_id: Annotated[str, Acting] = OWN,
    lease: Lease | None = None,
    command_id: str = "",
) -> Command[Stamp]:
    """Offer one use of a slot; without `available_at` it is available now.

    Needs the scope `offer`, which says who is paid, or `operate`: then the treasury is. Here and wherever a slot is
    meant, the provider is whoever asks unless another is named, the treasury for staff; in paths that is `~`.
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
    """Take a slot off sale that is not awarded. By its provider or an operator."""
    return Command(request(OPERATOR, commands.WithdrawSlot(slot_id, provider_id), command_id), stamp)


@operation("POST", "/slots/{provider_id}/{slot_id}/settle", "Slots", "Settle an award")
def settle(
    slot_id: PathName,
    actual_cost_tokens: Cost,
    actual_impact: Impact,
    *,
    provider_id: PathName = OWN,
    award_id: WhichAward | None = None,
    command_id: str = "",
) -> Command[Settled]:
    """Report the work of an award done: the price of the award is captured, cost and impact are recorded.

    By the provider or an operator; by the bidder too where the market pays no reward for impact. Naming the `award_id`
    keeps a late report from settling somebody else's award.
    """
    impact_micros = units.micros("actual_impact", actual_impact)
    command = commands.SettleAward(slot_id, actual_cost_tokens, impact_micros, award_id, provider_id)
    return Command(request(OPERATOR, command, command_id), _settled)


@operation("POST", "/slots/{provider_id}/{slot_id}/void", "Slots", "Void an award")
def void(
    slot_id: PathName, *, provider_id: PathName = OWN, award_id: WhichAward | None = None, command_id: str = ""
) -> Command[Voided]:
    """Report that the provider failed: the whole hold is released. By the provider or an operator."""
    return Command(request(OPERATOR, commands.VoidAward(slot_id, award_id, provider_id), command_id), _voided)


@operation("GET", "/markets/{market_id}/slots", "Slots", "List slots")
def slots(
    market_id: PathName, status: SlotStatus | None = None, *, limit: Limit = 100, after: After | None = None
) -> StateQuery[Page[SlotRow]] | TableQuery[Page[SlotRow]]:
    """The slots of a market by name and provider, each with its latest offer, page after page.

    `offered` and `awarded` ones are live; ended ones, or all, durable. Raises `NotFound` if there is no such market.
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
    # The live ones of a market are put in order first.
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
    """The operations about slots, as methods of a market."""

    offer_slot = offer_slot
    withdraw_slot = withdraw_slot
    settle = settle
    void = void
    slots = slots
