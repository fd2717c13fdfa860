"""Awards: what was won, and how it ended.

Rule of this file: that of its folder.
"""

from typing import Annotated

from litestar import get
from litestar.params import FromQuery, QueryParameter

from callmarket.bridge.api.questions import AwardRow, AwardStatus
from callmarket.bridge.api.results import Page
from callmarket.bridge.server.routes.common import (
    QUESTION,
    After,
    GivenCaller,
    GivenService,
    Limit,
    NameQuery,
    Newest,
    Time,
    instant,
)

WaitS = Annotated[
    float,
    QueryParameter(ge=0, le=60, description="Where there is none yet, wait so long for one. Needs `bidder_id`."),
]


@get("/awards", operation_id="awards", summary="List awards", responses=QUESTION)
async def list_awards(
    caller: GivenCaller,
    service: GivenService,
    market_id: NameQuery = None,
    bidder_id: NameQuery = None,
    status: FromQuery[AwardStatus | None] = None,
    since: Time = None,
    limit: Limit = 100,
    after: After = None,
    order: Newest = "newest",
    wait_s: WaitS = 0.0,
) -> Page[AwardRow]:
    """Awards of a market, of a bidder, of both, or all; a `status` needs one of the two. All of them are durable.

    With `wait_s`, who has won nothing yet is told as soon as it has.
    """
    return await service.awards(
        caller,
        market_id,
        bidder_id,
        status,
        since=instant("since", since),
        limit=limit,
        after=after,
        order=order,
        wait_s=wait_s,
    )


HANDLERS = (list_awards,)
