"""Slots: offering, withdrawing, and what becomes of their awards.

Rule of this file: that of its folder. A slot is named by its provider and its id, as providers choose ids of their own;
`~` is the provider for whom the caller offers.
"""

from litestar import delete, get, post
from litestar.params import FromQuery, JSONBody

from callmarket.bridge.api import results, verbs
from callmarket.bridge.api.bodies import NewSlot, Settlement, Voiding
from callmarket.bridge.api.questions import SlotRow
from callmarket.bridge.api.results import Page, Settled, Stamp, Voided
from callmarket.bridge.server.routes.common import (
    COMMAND,
    QUESTION,
    AckQuery,
    After,
    GivenCaller,
    GivenService,
    Limit,
    PathId,
)
from callmarket.engine.events import SlotStatus


@post("/markets/{market_id:str}/slots", operation_id="offer_slot", summary="Offer a slot", responses=COMMAND)
async def offer_slot(
    market_id: PathId, data: JSONBody[NewSlot], caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> Stamp:
    """Offer one use of a slot. Needs the scope `offer`, which says who is paid, or `operate`: then the treasury is.

    The same provider is `~` in the paths of slots.
    """
    request = verbs.offer_slot(
        market_id,
        data.slot_id,
        data.available_at,
        reserve_price_tokens=data.reserve_price_tokens,
        lease=data.lease,
        command_id=caller.command_id,
    )
    return results.stamp(await service.submit(caller, request, ack))


@delete(
    "/slots/{provider_id:str}/{slot_id:str}",
    operation_id="withdraw_slot",
    summary="Withdraw a slot",
    status_code=200,
    responses=COMMAND,
)
async def withdraw_slot(
    provider_id: PathId, slot_id: PathId, caller: GivenCaller, service: GivenService, ack: AckQuery = "durable"
) -> Stamp:
    """Take a slot off sale that is not awarded. By its provider or an operator."""
    request = verbs.withdraw_slot(slot_id, provider_id=provider_id, command_id=caller.command_id)
    return results.stamp(await service.submit(caller, request, ack))


@post(
    "/slots/{provider_id:str}/{slot_id:str}/settle",
    operation_id="settle",
    summary="Settle an award",
    status_code=200,
    responses=COMMAND,
)
async def settle(
    provider_id: PathId,
    slot_id: PathId,
    data: JSONBody[Settlement],
    caller: GivenCaller,
    service: GivenService,
    ack: AckQuery = "durable",
) -> Settled:
    """Report the work of an award done: the price of the award is captured, cost and impact are recorded.

    By the provider or an operator; by the bidder too where the market pays no reward for impact.
    """
    request = verbs.settle(
        slot_id,
        data.actual_cost_tokens,
        data.actual_impact,
        provider_id=provider_id,
        award_id=data.award_id,
        command_id=caller.command_id,
    )
    return results.settled(await service.submit(caller, request, ack))


@post(
    "/slots/{provider_id:str}/{slot_id:str}/void",
    operation_id="void",
    summary="Void an award",
    status_code=200,
    responses=COMMAND,
)
async def void(
    provider_id: PathId,
    slot_id: PathId,
    data: JSONBody[Voiding],
    caller: GivenCaller,
    service: GivenService,
    ack: AckQuery = "durable",
) -> Voided:
    """Report that the provider failed: the whole hold is released. By the provider or an operator."""
    request = verbs.void(slot_id, provider_id=provider_id, award_id=data.award_id, command_id=caller.command_id)
    return results.voided(await service.submit(caller, request, ack))


@get("/markets/{market_id:str}/slots", operation_id="slots", summary="List slots", responses=QUESTION)
async def list_slots(
    market_id: PathId,
    service: GivenService,
    status: FromQuery[SlotStatus | None] = None,
    limit: Limit = 100,
    after: After = None,
) -> Page[SlotRow]:
    """The slots of a market by name and provider, each with its latest offer."""
    return await service.market.slots(market_id, status, limit=limit, after=after)


HANDLERS = (offer_slot, list_slots, withdraw_slot, settle, void)
