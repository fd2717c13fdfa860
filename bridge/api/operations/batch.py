"""Bids that are placed together, as one request over HTTP.

Rule of this file: the bound and the shape of a batch. Where a market is, a batch is a list of requests (`place_bids`).
"""

from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from callmarket.bridge.api.operations.bids import place_bid

# One durable wait for all of them, and some ten milliseconds of the market's time.
BIDS_PER_BATCH_MAX: Final = 1_000

if TYPE_CHECKING:
    NewBid = Any
else:
    assert place_bid.body is not None
    NewBid = place_bid.body

NewBids = Annotated[
    tuple[NewBid, ...],
    Meta(min_length=1, max_length=BIDS_PER_BATCH_MAX, description="Each has a result of its own."),
]
