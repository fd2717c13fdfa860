"""The route of the live stream of durable events.

Rule of this file: that of its folder.
"""

from typing import Annotated

from msgspec import Meta

from callmarket.bridge.api.contract.declaration import InHeader
from callmarket.bridge.api.contract.fields import Named
from callmarket.bridge.api.errors import told_as
from callmarket.bridge.feed import sse
from callmarket.bridge.feed.filters import filter_of
from callmarket.bridge.server.event_stream import EventStream
from callmarket.bridge.server.requests.caller import Caller
from callmarket.bridge.server.routes.route import route
from callmarket.bridge.server.service import Service
from callmarket.engine.limits import SEQ_MAX

AfterSeq = Annotated[int, Meta(ge=0, le=SEQ_MAX, description="Begin after this row. Default: only events from now on.")]
Kinds = Annotated[
    list[str],
    Meta(
        max_length=10,
        description="Any of `round`, `award`, `bid`, `slot`, `market`, `artifact`, `watermark`. Default: all.",
    ),
]
Markets = Annotated[list[str], Meta(max_length=100, description="Only these markets. Default: all.")]
Artifacts = Annotated[list[str], Meta(max_length=100, description="Only these artifacts, and markets that are named.")]
LastEventId = Annotated[
    str,
    InHeader("Last-Event-ID"),
    Meta(max_length=20, description="The last `id` that was received, as browsers send it to resume."),
]


@route("GET", "/events", "Events", "Live stream", problems=(410,), media_type=sse.MEDIA_TYPE)
async def events(
    service: Service,
    caller: Caller,
    after_seq: AfterSeq | None = None,
    market_id: Markets | None = None,
    kind: Kinds | None = None,
    bidder_id: Named | None = None,
    artifact_id: Artifacts | None = None,
    last_event_id: LastEventId | None = None,
) -> EventStream:
    """Stream rounds, awards, changes of the book and the durable watermark as server-sent events, once durable.

    The `id` of an event is its row: send it as `Last-Event-ID`, or as `after_seq`, to resume without a gap. If both are
    given, the header counts, as browsers resume with the URL that they began with. `after_seq` 0 begins at the first
    row. A stream cannot resume after a row that was lost (410). A client that reads too slowly is disconnected with an
    event `end` that says after which row to resume. If `key_ended` is true in that event, the key was revoked or has
    expired and cannot resume. Wallets and refusals are not in the stream.
    """
    resumed_seq = sse.after_seq_of(last_event_id or "")
    with told_as(market_ids="market_id", kinds="kind", artifact_ids="artifact_id"):
        wanted = filter_of(market_id or (), kind or (), bidder_id or "", artifact_id or ())
    with told_as(after_seq="after_seq" if resumed_seq is None else "Last-Event-ID"):
        subscription, share = await service.subscribe(caller, wanted, after_seq if resumed_seq is None else resumed_seq)
    stay = service.long_requests.while_key_works(caller.principal, subscription.expel)
    return EventStream(subscription, stay, share)


ENDPOINTS = (events,)
