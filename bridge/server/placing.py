"""Placing one bid, below the framework: the one route whose speed decides how many agents a market can carry.

Rule of this file: no rule of its own. It decodes the body and calls the same functions as `routes.bids.place_bid`; the
framework's routing, injection and validation cost more than the rest of a bid's way to the journal. A test sends the
same requests both ways and wants the same answers.
"""

from typing import Final

import msgspec

from callmarket.bridge.api import results
from callmarket.bridge.api.bodies import NewBid
from callmarket.bridge.server.asgi import Scope
from callmarket.bridge.server.caller import Caller
from callmarket.bridge.server.routes.bids import bid_request
from callmarket.bridge.server.service import Service
from callmarket.bridge.server.strict import decoded

# As the framework calls it.
ROUTE: Final = "/api/v1/markets/{market_id}/bids"
_PREFIX: Final = "/api/v1/markets/"
_SUFFIX: Final = "/bids"
_decoder: Final = msgspec.json.Decoder(NewBid)
_encoder: Final = msgspec.json.Encoder()


def market_of(scope: Scope) -> str:
    """The market in which this request places a bid; empty if it does something else or has options."""
    path = scope["path"]
    if scope["method"] != "POST" or scope["query_string"] or not path.startswith(_PREFIX) or path[-5:] != _SUFFIX:
        return ""
    market_id = path[len(_PREFIX) : -len(_SUFFIX)]
    return "" if "/" in market_id else market_id


async def place(service: Service, caller: Caller, market_id: str, body: bytes) -> bytes:
    """The answer to one request. Raises as the market and `strict.decoded` do."""
    bid = decoded(body, _decoder)
    request = bid_request(market_id, service.bidder(caller), bid, caller.command_id)
    return _encoder.encode(results.placed_bid(await service.submit(caller, request)))
