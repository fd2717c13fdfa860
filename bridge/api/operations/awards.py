"""Awards: which bids won which slots, and how the awards ended.

Rule of this file: the operations on awards and their result types.
"""

from typing import Annotated, Final, get_args

from msgspec import Meta

from callmarket.bridge.api.checks import check_since
from callmarket.bridge.api.contract.fields import After, Limit, Named, Order, Since
from callmarket.bridge.api.contract.operation import operation
from callmarket.bridge.api.contract.pages import numbered, page_of
from callmarket.bridge.api.contract.queries import TableQuery, Tables, weight_of_page
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.operations.bids import check_owner
from callmarket.persistence import queries
from callmarket.persistence.queries import AwardRow, AwardStatus

__all__ = ["AwardRow", "AwardStatus"]

# A caller that wants to wait longer repeats the request.
WAIT_S_MAX: Final = 60.0

WaitS = Annotated[float, Meta(ge=0, le=60, description="If there is none yet, wait up to this many seconds for one.")]


@operation("GET", "/awards", "Awards", "List awards")
def awards(
    market_id: Named | None = None,
    bidder_id: Named | None = None,
    status: AwardStatus | None = None,
    *,
    since: Since | None = None,
    limit: Limit = 100,
    after: After | None = None,
    order: Order = "newest",
    wait_s: WaitS = 0.0,
) -> TableQuery[Page[AwardRow]]:
    """Awards, all or filtered by market and bidder, in order of their ids, in pages.

    All of them are durable. `status` needs a `market_id` or a `bidder_id`. With `since`, only awards granted at that
    time or later. With `wait_s` (up to 60 seconds; needs a `bidder_id`) the request is a long poll: if no award
    matches yet, the reply comes as soon as one does, or is empty after `wait_s`.
    """
    check_owner(market_id, bidder_id, status, get_args(AwardStatus))
    check_since(since)
    _check_wait(wait_s)
    if wait_s and not bidder_id:
        raise Invalid("bidder_id", "", "the account whose awards are waited for")
    kind, page = numbered("awards", limit, after, order)

    def answer(at: Tables) -> Page[AwardRow]:
        rows = queries.awards_page(at.connection, at.shard_id, market_id, bidder_id, status, since, page)
        return page_of(rows, limit, kind, lambda row: row.award_id, at)

    return TableQuery(answer, weight_of_page(limit), wait_s, lambda found: bool(found.items), bidder_id or "")


def _check_wait(wait_s: object) -> None:
    if type(wait_s) not in (int, float) or not 0 <= float(str(wait_s)) <= WAIT_S_MAX:
        raise Invalid("wait_s", wait_s, f"0 to {WAIT_S_MAX:g} seconds")


class Awards:
    """The operations on awards, as methods of a market."""

    awards = awards
