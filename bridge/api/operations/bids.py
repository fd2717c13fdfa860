"""Bids: place, amend and cancel; and why each won or lost.

Rule of this file: the operations on bids and their result types.
"""

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import Annotated, Any, get_args

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
from callmarket.bridge.api.contract.results import Page, Stamp, detail, only, stamp
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
    """The result of placing a bid: it is open, and `held_tokens` of its bidder are held for it."""

    bid_id: BidId
    held_tokens: int
    stamp: Stamp


class AmendedBid(Struct, frozen=True):
    """The values of an open bid after an amendment."""

    bid_id: BidId
    max_price_tokens: int
    ttl_at: datetime | None
    stamp: Stamp


class BidDetail(BidRow, frozen=True):
    """A bid, read from the tables at `seq`."""

    seq: int
    durable_seq: int


class Outcome(OutcomeRow, frozen=True):
    """The status of a bid and the reason for it, read from the tables at `seq`."""

    seq: int
    durable_seq: int


@operation(
    "POST",
    "/markets/{market_id}/bids",
    "Bids",
    "Place a bid",
    status=201,
    problems=(402,),
    example={"task_id": "task-1", "max_price_tokens": 300, "expected_value_usd": 1.5},
)
def place_bid(
    market_id: PathName,
    bidder_id: ActingAccount,
    task_id: Annotated[
        Named, Meta(description="The task to run. A bidder may have one open bid for each task in a market.")
    ],
    max_price_tokens: Price,
    *,
    expected_value_usd: Value = 0.0,
    ttl_at: Deadline | None = None,
    time_in_force: Annotated[
        TimeInForce, Meta(description="`round`: for the next call only. `gtd`: good till `ttl_at`.")
    ] = "round",
    command_id: str = "",
) -> Command[PlacedBid]:
    """Bid for one slot for one task. `max_price_tokens` is held until the bid wins, loses, expires or is cancelled.

    A bid that is good till a date (`gtd`) needs `ttl_at`. Needs the scope `bid`. The bidder is the key's account; a key
    with several accounts names one in `Callmarket-Account`.
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


@operation("PATCH", "/bids/{bid_id}", "Bids", "Amend a bid", problems=(402,), example={"max_price_tokens": 350})
def amend_bid(
    bid_id: WhichBid,
    *,
    max_price_tokens: Price | None = None,
    ttl_at: Deadline | None = None,
    command_id: str = "",
) -> Command[AmendedBid]:
    """Change the price or the deadline of an open bid.

    A price, even the same one, loses the time priority; a deadline alone keeps it. Only the bidder and the admin may
    amend a bid (BID-7).
    """
    ttl_at_us = None if ttl_at is None else units.at_us("ttl_at", ttl_at)
    return Command(request(ADMIN, commands.AmendBid(bid_id, max_price_tokens, ttl_at_us), command_id), _amended)


@operation("DELETE", "/bids/{bid_id}", "Bids", "Cancel a bid")
def cancel_bid(bid_id: WhichBid, *, command_id: str = "") -> Command[Stamp]:
    """Cancel an open bid and release its hold. Only the bidder and the admin may cancel a bid (BID-7)."""
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
    """Bids, all or filtered by market and bidder, in order of their ids, in pages.

    `status` needs a `market_id` or a `bidder_id`.
    """
    check_owner(market_id, bidder_id, status, get_args(BidStatus))
    kind, page = numbered("bids", limit, after, order)

    def answer(at: Tables) -> Page[BidRow]:
        rows = queries.bids_page(at.connection, at.shard_id, market_id, bidder_id, status, page)
        return page_of(rows, limit, kind, lambda row: row.bid_id, at)

    return TableQuery(answer, weight_of_page(limit))


@operation("GET", "/bids/{bid_id}", "Bids", "Get a bid")
def bid(bid_id: WhichBid) -> TableQuery[BidDetail]:
    """A bid and its status. Raises `NotFound` if there is no such bid."""
    check_id("bid_id", bid_id)

    def answer(at: Tables) -> BidDetail:
        found = queries.bid(at.connection, at.shard_id, bid_id)
        if found is None:
            raise NotFound("bid_id", bid_id, "a bid that was accepted")
        return detail(BidDetail, found, at.seq, at.durable_seq)

    return TableQuery(answer)


@operation("GET", "/bids/{bid_id}/why", "Bids", "Explain the outcome of a bid")
def why(bid_id: WhichBid) -> TableQuery[Outcome]:
    """A sentence that says why a bid won, lost or is still open. Raises `NotFound` if there is no such bid."""
    check_id("bid_id", bid_id)

    def answer(at: Tables) -> Outcome:
        found = queries.outcome(at.connection, at.shard_id, bid_id)
        if found is None:
            raise NotFound("bid_id", bid_id, "a bid that was accepted")
        return detail(Outcome, found, at.seq, at.durable_seq)

    return TableQuery(answer)


def placed_together(requests: Sequence[Request]) -> Workflow[list[PlacedBid | Refused]]:
    """Place many bids with one wait for the journal; one outcome for each. Raises `Invalid` if one is not a bid."""
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
    """The result of one bid of a batch. A refusal is returned, not raised: it does not concern the other bids."""
    try:
        return placed_bid(reply)
    except Refused as refused:
        return refused


def all_placed(outcomes: Sequence[PlacedBid | Refused]) -> list[PlacedBid]:
    """The outcomes of `place_bids`, for callers that expect no refusal. Raises the first `Refused`, if any."""
    placed = []
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            raise outcome
        placed.append(outcome)
    return placed


def check_owner(market_id: str | None, bidder_id: str | None, status: str | None, statuses: Sequence[str]) -> None:
    """Check the filters of a list of bids or awards. Raises `Invalid`."""
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
    """The operations on bids, as methods of a market."""

    place_bid = place_bid
    amend_bid = amend_bid
    cancel_bid = cancel_bid
    bids = bids
    bid = bid
    why = why
