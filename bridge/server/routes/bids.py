"""Bids: placing one or many, amending, cancelling.

Placing one is also the hot route: `server.placing` serves it below the framework, with the same function and the same
words. The handler here is what the OpenAPI document is made from, and answers where the hot route is not in front.

Rule of this file: that of its folder.
"""

import re
from typing import Final

from litestar import delete, get, patch, post
from litestar.params import FromQuery, JSONBody

from callmarket.bridge.api import results, units, verbs
from callmarket.bridge.api.bodies import Amendment, NewBid, NewBids
from callmarket.bridge.api.errors import told_as
from callmarket.bridge.api.messages import Request
from callmarket.bridge.api.problem import Problem
from callmarket.bridge.api.questions import BidDetail, BidRow, BidStatus, Outcome
from callmarket.bridge.api.results import AmendedBid, Page, PlacedBid, Stamp
from callmarket.bridge.server.routes.common import (
    COMMAND,
    PAYMENT,
    QUESTION,
    AckQuery,
    After,
    BidId,
    GivenCaller,
    GivenService,
    Limit,
    NameQuery,
    Newest,
    PathId,
)
from callmarket.engine.commands import PlaceBid
from callmarket.engine.limits import NAME_CHARS_MAX

_NAME: Final = re.compile("[!-~]+")


@post("/markets/{market_id:str}/bids", operation_id="place_bid", summary="Place a bid", responses=PAYMENT)
async def place_bid(
    market_id: PathId, data: JSONBody[NewBid], caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> PlacedBid:
    """Bid for one slot for one task. The price is held until the bid wins, loses, expires or is cancelled.

    Needs the scope `bid`. Who bids is the key's account, or the one of its accounts that `Callmarket-Account` names.
    """
    request = bid_request(market_id, service.bidder(caller), data, caller.command_id)
    return results.placed_bid(await service.submit(caller, request, ack))


@post(
    "/markets/{market_id:str}/bids/batch",
    operation_id="place_bids",
    summary="Place many bids",
    status_code=200,
    responses=COMMAND,
)
async def place_bids(
    market_id: PathId, data: JSONBody[NewBids], caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> list[PlacedBid | Problem]:
    """Place bids for many tasks at once, in their order and with nothing in between, with one durable wait for all.

    The results are in the order of the bids: each is a placed bid, or the problem that it met. With an Idempotency-Key
    the whole batch may be sent again.
    """
    bidder_id = service.bidder(caller)
    requests = []
    for number, bid in enumerate(data.bids):
        command_id = f"{caller.command_id}/{number}" if caller.command_id else ""
        with told_as(ttl_at=f"bids[{number}].ttl_at"):
            requests.append(bid_request(market_id, bidder_id, bid, command_id))
    with told_as(requests="bids"):
        return await service.place_bids(caller, requests, ack)


@patch("/bids/{bid_id:int}", operation_id="amend_bid", summary="Amend a bid", responses=PAYMENT)
async def amend_bid(
    bid_id: BidId, data: JSONBody[Amendment], caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> AmendedBid:
    """Change price or deadline of an open bid. A new price takes a new place in time; a deadline alone keeps it."""
    request = verbs.amend_bid(
        bid_id, max_price_tokens=data.max_price_tokens, ttl_at=data.ttl_at, command_id=caller.command_id
    )
    return results.amended_bid(await service.submit(caller, request, ack))


@delete("/bids/{bid_id:int}", operation_id="cancel_bid", summary="Cancel a bid", status_code=200, responses=COMMAND)
async def cancel_bid(
    bid_id: BidId,
    caller: GivenCaller,
    service: GivenService,
    ack: AckQuery = "durable",
) -> Stamp:
    """Take back an open bid and get its hold back."""
    return results.stamp(await service.submit(caller, verbs.cancel_bid(bid_id, command_id=caller.command_id), ack))


@get("/bids", operation_id="bids", summary="List bids", responses=QUESTION)
async def list_bids(
    service: GivenService,
    market_id: NameQuery = None,
    bidder_id: NameQuery = None,
    status: FromQuery[BidStatus | None] = None,
    limit: Limit = 100,
    after: After = None,
    order: Newest = "newest",
) -> Page[BidRow]:
    """Bids of a market, of a bidder, of both, or all; a `status` needs one of the two."""
    return await service.market.bids(market_id, bidder_id, status, limit=limit, after=after, order=order)


@get("/bids/{bid_id:int}", operation_id="bid", summary="Look at a bid", responses=QUESTION)
async def get_bid(bid_id: BidId, service: GivenService) -> BidDetail:
    """A bid and where it stands."""
    return await service.market.bid(bid_id)


@get("/bids/{bid_id:int}/why", operation_id="why", summary="Why it won or lost", responses=QUESTION)
async def get_why(bid_id: BidId, service: GivenService) -> Outcome:
    """Why a bid won or lost, in words."""
    return await service.market.why(bid_id)


def bid_request(market_id: str, bidder_id: str, bid: NewBid, command_id: str) -> Request:
    """The request that a body asks for. Raises `Invalid`.

    To check a command's shape again costs a fifteenth of a bid. Most have nothing left to check: the body's decoder
    holds `NewBid` to the engine's own bounds, and who bids, and the command id, were checked with the headers.
    """
    if bid.ttl_at is None and _NAME.fullmatch(market_id) and len(market_id) <= NAME_CHARS_MAX:
        command = PlaceBid(
            market_id=market_id,
            bidder_id=bidder_id,
            task_id=bid.task_id,
            max_price_tokens=bid.max_price_tokens,
            expected_value_microusd=units.micros("expected_value_usd", bid.expected_value_usd),
            time_in_force=bid.time_in_force,
        )
        return Request(bidder_id, command, command_id)
    return verbs.place_bid(
        market_id,
        bidder_id,
        bid.task_id,
        bid.max_price_tokens,
        expected_value_usd=bid.expected_value_usd,
        ttl_at=bid.ttl_at,
        time_in_force=bid.time_in_force,
        command_id=command_id,
    )


HANDLERS = (place_bid, place_bids, list_bids, get_bid, get_why, amend_bid, cancel_bid)
