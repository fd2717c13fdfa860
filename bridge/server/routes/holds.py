"""Named holds: tokens set aside for a stake, a bounty or whatever the reason says.

Rule of this file: that of its folder. A hold is named by its account and its id, as accounts choose ids of their own.
"""

from litestar import get, post
from litestar.params import FromQuery, JSONBody

from callmarket.bridge.api import results, verbs
from callmarket.bridge.api.bodies import Capture, NewHold
from callmarket.bridge.api.hold_questions import HoldDetail, HoldRow
from callmarket.bridge.api.results import CapturedHold, Page, PlacedHold, ReleasedHold
from callmarket.bridge.server.routes.common import (
    COMMAND,
    PAYMENT,
    QUESTION,
    AckQuery,
    After,
    GivenCaller,
    GivenService,
    Limit,
    NameQuery,
    Newest,
    PathId,
)
from callmarket.engine.events import HoldStatus


@post("/holds", operation_id="place_hold", summary="Set tokens aside", responses=PAYMENT)
async def place_hold(
    data: JSONBody[NewHold], caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> PlacedHold:
    """Set tokens aside under a name, until they are captured, released or past `expires_at`.

    Needs the scope `bid`. Whose they are is the key's account, or the one of its accounts that `Callmarket-Account`
    names; with the scope `admin`, any. Whoever places a hold may end it: what an admin placed, the account cannot end.
    """
    request = verbs.place_hold(
        data.hold_id,
        service.bidder(caller),
        data.amount_tokens,
        data.reason,
        reference_type=data.reference_type,
        reference_id=data.reference_id,
        expires_at=data.expires_at,
        memo=data.memo,
        command_id=caller.command_id,
    )
    return results.placed_hold(await service.submit(caller, request, ack))


@post(
    "/holds/{account_id:str}/{hold_id:str}/capture",
    operation_id="capture_hold",
    summary="Pay from a hold",
    status_code=200,
    responses=COMMAND,
)
async def capture_hold(
    account_id: PathId,
    hold_id: PathId,
    data: JSONBody[Capture],
    caller: GivenCaller,
    service: GivenService,
    ack: AckQuery = "durable",
) -> CapturedHold:
    """Pay an account from a hold, all of it or a part; the rest goes back, and the hold ends.

    By whoever placed it, or with the scope `admin`. The payment has the reason and the reference of the hold.
    """
    request = verbs.capture_hold(
        hold_id, account_id, data.to_account_id, data.amount_tokens, command_id=caller.command_id
    )
    return results.captured_hold(await service.submit(caller, request, ack))


@post(
    "/holds/{account_id:str}/{hold_id:str}/release",
    operation_id="release_hold",
    summary="Give a hold back",
    status_code=200,
    responses=COMMAND,
)
async def release_hold(
    account_id: PathId, hold_id: PathId, caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> ReleasedHold:
    """End a hold and give all of it back. By whoever placed it, or with the scope `admin`."""
    request = verbs.release_hold(hold_id, account_id, command_id=caller.command_id)
    return results.released_hold(await service.submit(caller, request, ack))


@get("/holds", operation_id="holds", summary="List holds", responses=QUESTION)
async def list_holds(
    service: GivenService,
    account_id: NameQuery = None,
    reference_type: NameQuery = None,
    reference_id: NameQuery = None,
    reason: NameQuery = None,
    status: FromQuery[HoldStatus | None] = None,
    limit: Limit = 100,
    after: After = None,
    order: Newest = "newest",
) -> Page[HoldRow]:
    """Holds in the order in which they were placed: those that all of the filters say, or all.

    A reference is named whole; a `status` or a `reference_type` alone needs an account or a reason with it.
    """
    return await service.market.holds(
        account_id, reference_type, reference_id, reason, status, limit=limit, after=after, order=order
    )


@get("/holds/{account_id:str}/{hold_id:str}", operation_id="hold", summary="Look at a hold", responses=QUESTION)
async def get_hold(account_id: PathId, hold_id: PathId, service: GivenService) -> HoldDetail:
    """An account's latest hold of this name, and how it ended."""
    return await service.market.hold(hold_id, account_id)


HANDLERS = (place_hold, list_holds, get_hold, capture_hold, release_hold)
