"""Placing many bids in one request.

Rule of this file: that of its folder.
"""

from collections.abc import Sequence

from callmarket.bridge.api.contract.fields import PathName
from callmarket.bridge.api.errors import told_as
from callmarket.bridge.api.http.problem import Problem
from callmarket.bridge.api.messages import Ack
from callmarket.bridge.api.operations.batch import NewBid, NewBids
from callmarket.bridge.api.operations.bids import PlacedBid, place_bid
from callmarket.bridge.server.requests.caller import Caller
from callmarket.bridge.server.routes.route import route
from callmarket.bridge.server.service import Service


@route(
    "POST",
    "/markets/{market_id}/bids/batch",
    "Bids",
    "Place many bids",
    is_keyed=True,
    example={"bids": [{"task_id": "task-2", "max_price_tokens": 90}, {"task_id": "task-3", "max_price_tokens": 90}]},
)
async def place_bids(
    service: Service, caller: Caller, market_id: PathName, bids: NewBids, *, command_id: str = "", ack: Ack
) -> list[PlacedBid | Problem]:
    """Place bids for many tasks at once, in their order and with no other command in between.

    The response comes once all of them are durable, with one wait for all, or as `ack` says.
    The results are in the order of the bids: each is a placed bid, or the problem why it was refused. With an
    Idempotency-Key the whole batch may be sent again.
    """
    bidder_id = service.bidder(caller)
    made: Sequence[NewBid] = bids
    requests = []
    for number, bid in enumerate(made):
        with told_as(ttl_at=f"bids[{number}].ttl_at"):
            requests.append(
                place_bid.request(
                    market_id,
                    bidder_id,
                    bid.task_id,
                    bid.max_price_tokens,
                    expected_value_usd=bid.expected_value_usd,
                    ttl_at=bid.ttl_at,
                    time_in_force=bid.time_in_force,
                    command_id=f"{command_id}/{number}" if command_id else "",
                )
            )
    with told_as(requests="bids"):
        return await service.place_bids(caller, requests, ack)


ENDPOINTS = (place_bids,)
