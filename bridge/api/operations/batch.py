"""A batch of bids, placed by one HTTP request.

Rule of this file: the shape and bound of a batch over HTTP. In Python a batch is a list of requests (`place_bids`).
"""

from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from callmarket.bridge.api.operations.bids import place_bid

# All of them wait for one commit; applying them takes some ten milliseconds of the sequencer's time.
BIDS_PER_BATCH_MAX: Final = 1_000

if TYPE_CHECKING:
    NewBid = Any
else:
    assert place_bid.body is not None
    NewBid = place_bid.body

NewBids = Annotated[
    tuple[NewBid, ...],
    Meta(min_length=1, max_length=BIDS_PER_BATCH_MAX, description="The bids. Each is accepted or refused on its own."),
]
