"""Bids: placing, amending and taking back; and why they won or lost.

Rule of this file: the operations about bids, with what they return.
"""

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta, Struct

from callmarket.bridge.api import units
from callmarket.bridge.api.checks import check_id, check_names_given, check_one_of
from callmarket.bridge.api.contract.fields import (
    ActingAccount,
    After,
    Deadline,
    Limit,
    Named,
    Order,
    PathName,
    Price,
    Value,
    WhichBid,
)
from callmarket.bridge.api.contract.operation import Command, Submit, Workflow, operation
from callmarket.bridge.api.contract.pages import numbered, page_of
from callmarket.bridge.api.contract.queries import TableQuery, Tables, weight_of_page
from callmarket.bridge.api.contract.requests import check, check_bids, request
from callmarket.bridge.api.contract.results import Page, Stamp, only, stamp
from callmarket.bridge.api.errors import Invalid, NotFound, Refused
from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.api.units import datetime_of
from callmarket.engine import commands
from callmarket.engine.commands import ADMIN, TimeInForce
from callmarket.engine.events import BidAmended, BidPlaced
from callmarket.engine.ids import BidId
from callmarket.persistence import queries
from callmarket.persistence.queries import BidRow, BidStatus, OutcomeRow

__all__ = ["AmendedBid", "BidDetail", "BidRow", "BidStatus", "Outcome", "PlacedBid"]


class PlacedBid(Struct, frozen=True):
    """A bid is open and its price is held."""

    bid_id: BidId
    held_tokens: int
    stamp: Stamp


class AmendedBid(Struct, frozen=True):
    """An open bid has these values now."""

    bid_id: BidId
    max_price_tokens: int
    ttl_at: datetime | None
    stamp: Stamp


class BidDetail(BidRow, frozen=True):
    """A bid, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


class Outcome(OutcomeRow, frozen=True):
    """Where a bid stands, and why, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


@operation("POST", "/markets/{market_id}/bids", "Bids", "Place a bid", status=201, problems=(402,))
def place_bid(
    market_id: PathName,
    bidder_id: ActingAccount,
    task_id: Annotated[Named, Meta(description="The task to be run; one open bid for each.")],
    max_price_tokens: Price,
    *,
    expected_value_usd: Value = 0.0,
    ttl_at: Deadline | None = None,
    time_in_force: Annotated[TimeInForce, Meta(description="For the next call only, or good till a date.")] = "round",
    command_id: str = "",
) -> Command[PlacedBid]:
    """Bid for one slot for one task. The price is held until the bid wins, loses, expires or is cancelled.

    `ttl_at` may be left out only of a bid for one round. Needs the scope `bid`. Who bids is the key's account, or the
    one of its accounts that `Callmarket-Account` names.
    """
    command = commands.PlaceBid(
        market_id=market_id,
        bidder_id=bidder_id,
        task_id=task_id,
        max_price_tokens=max_price_tokens,
        expected_value_microusd=units.micros("expected_value_usd", expected_value_usd),
        ttl_at_us=None if ttl_at is None else units.at_us("ttl_at", ttl_at),
        time_in_force=time_in_force,
    )
    return Command(request(bidder_id, command, command_id), placed_bid)


@operation("PATCH", "/bids/{bid_id}", "Bids", "Amend a bid", problems=(402,))
def amend_bid(
    bid_id: WhichBid,
    *,
    max_price_tokens: Price | None = None,
    ttl_at: Deadline | None = None,
    command_id: str = "",
) -> Command[AmendedBid]:
    """Change price or deadline of an open bid. A new price takes a new place in time; a deadline alone keeps it."""
    ttl_at_us = None if ttl_at is None else units.at_us("ttl_at", ttl_at)
    return Command(request(ADMIN, commands.AmendBid(bid_id, max_price_tokens, ttl_at_us), command_id), _amended)


@operation("DELETE", "/bids/{bid_id}", "Bids", "Cancel a bid")
def cancel_bid(bid_id: WhichBid, *, command_id: str = "") -> Command[Stamp]:
    """Take back an open bid and get its hold back."""
    return Command(request(ADMIN, commands.CancelBid(bid_id), command_id), stamp)


@operation("GET", "/bids", "Bids", "List bids")
def bids(
    market_id: Named | None = None,
    bidder_id: Named | None = None,
    status: BidStatus | None = None,
    *,
    limit: Limit = 100,
    after: After | None = None,
    order: Order = "newest",
) -> TableQuery[Page[BidRow]]:
    """Bids of a market, of a bidder, of both, or all; a `status` needs one of the two. By id, page after page."""
    check_owner(market_id, bidder_id, status, get_args(BidStatus))
    kind, page = numbered("bids", limit, after, order)

    def answer(at: Tables) -> Page[BidRow]:
        rows = queries.bids_page(at.connection, at.shard_id, market_id, bidder_id, status, page)
        return page_of(rows, limit, kind, lambda row: row.bid_id, at)

    return TableQuery(answer, weight_of_page(limit))


@operation("GET", "/bids/{bid_id}", "Bids", "Look at a bid")
def bid(bid_id: WhichBid) -> TableQuery[BidDetail]:
    """A bid and where it stands. Raises `NotFound` if there is no such bid."""
    check_id("bid_id", bid_id)

    def answer(at: Tables) -> BidDetail:
        found = queries.bid(at.connection, at.shard_id, bid_id)
        if found is None:
            raise NotFound("bid_id", bid_id, "a bid that was accepted")
        return BidDetail(**msgspec.structs.asdict(found), seq=at.seq, durable_seq=at.durable_seq)

    return TableQuery(answer)


@operation("GET", "/bids/{bid_id}/why", "Bids", "Why it won or lost")
def why(bid_id: WhichBid) -> TableQuery[Outcome]:
    """Why a bid won or lost, in words. Raises `NotFound` if there is no such bid."""
    check_id("bid_id", bid_id)

    def answer(at: Tables) -> Outcome:
        found = queries.outcome(at.connection, at.shard_id, bid_id)
        if found is None:
            raise NotFound("bid_id", bid_id, "a bid that was accepted")
        return Outcome(**msgspec.structs.asdict(found), seq=at.seq, durable_seq=at.durable_seq)

    return TableQuery(answer)


def placed_together(requests: Sequence[Request]) -> Workflow[list[PlacedBid | Refused]]:
    """Place many bids at once; one durable wait for all, one outcome for each. Raises `Invalid` if one is no bid."""
    check_bids(requests)
    for asked in requests:
        check(asked)

    def steps() -> Generator[Any, Any, list[PlacedBid | Refused]]:
        return [placed_or_refused(reply) for reply in (yield Submit(requests))]

    return Workflow(steps())


def placed_bid(reply: Reply) -> PlacedBid:
    """The result of `place_bid`. Raises `Refused`."""
    made, event = stamp(reply), only(reply.events, BidPlaced)
    return PlacedBid(event.bid_id, event.max_price_tokens, made)


def placed_or_refused(reply: Reply) -> PlacedBid | Refused:
    """The result of one bid of many: a refusal of one is no error of the others."""
    try:
        return placed_bid(reply)
    except Refused as refused:
        return refused


def all_placed(outcomes: Sequence[PlacedBid | Refused]) -> list[PlacedBid]:
    """What `place_bids` returned, where nothing may be refused. Raises the first refusal."""
    placed = []
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            raise outcome
        placed.append(outcome)
    return placed


def check_owner(market_id: str | None, bidder_id: str | None, status: str | None, statuses: Sequence[str]) -> None:
    """Check whose bids or awards are listed. Raises `Invalid`."""
    check_names_given(market_id=market_id, bidder_id=bidder_id)
    if status is not None:
        check_one_of("status", status, statuses)
        if market_id is None and bidder_id is None:
            raise Invalid("status", status, "a market_id or a bidder_id with it")


def _amended(reply: Reply) -> AmendedBid:
    made, event = stamp(reply), only(reply.events, BidAmended)
    ttl_at = None if event.ttl_at_us is None else datetime_of(event.ttl_at_us)
    return AmendedBid(event.bid_id, event.max_price_tokens, ttl_at, made)


class Bids:
    """The operations about bids, as methods of a market."""

    place_bid = place_bid
    amend_bid = amend_bid
    cancel_bid = cancel_bid
    bids = bids
    bid = bid
    why = why
