"""Routes that show and set when the service calls a market.

Rule of this file: that of its folder.
"""

from datetime import timedelta
from typing import Annotated, Literal

from msgspec import Meta

from callmarket.bridge.api.contract.fields import PathName
from callmarket.bridge.api.contract.results import detail
from callmarket.bridge.scheduler.clearing import CycleStatus
from callmarket.bridge.server.requests.caller import Caller
from callmarket.bridge.server.routes.route import route
from callmarket.bridge.server.service import Service


class CycleDetail(CycleStatus, frozen=True):
    """When a market is called, and the status of its calls, at `seq` of the market's history."""

    seq: int
    durable_seq: int


@route("GET", "/markets/{market_id}/cycle", "Markets", "When it is called", problems=(404,))
async def cycle(service: Service, _: Caller, market_id: PathName) -> CycleDetail:
    """Show when a market is called, when it is called next, and how that went since this process leads."""
    return _detail(await service.cycle(market_id), service)


@route(
    "PUT",
    "/markets/{market_id}/cycle",
    "Markets",
    "Set when it is called",
    problems=(404, 408, 413),
    example={"mode": "every", "period": "PT30S"},
)
async def set_cycle(
    service: Service,
    caller: Caller,
    market_id: PathName,
    mode: Annotated[Literal["every", "on_offer", "asked"], Meta(description="When the market is called.")],
    period: Annotated[timedelta, Meta(description="ISO 8601, as PT30S. Only with the mode `every`.")] | None = None,
) -> CycleDetail:
    """Set when a market is called: `every` period, `on_offer` as soon as a slot can be sold, or only when `asked`.

    It takes effect at once. Needs the scope `operate`.
    """
    return _detail(await service.set_cycle(caller, market_id, mode, period), service)


def _detail(status: CycleStatus, service: Service) -> CycleDetail:
    return detail(CycleDetail, status, *service.position())


ENDPOINTS = (cycle, set_cycle)
