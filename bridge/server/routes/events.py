"""The live stream of what becomes durable.

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

AfterSeq = Annotated[
    int, Meta(ge=0, le=SEQ_MAX, description="Everything after this row; without it, what comes from now on.")
]
Kinds = Annotated[
    list[str],
    Meta(max_length=10, description="Of `round`, `award`, `bid`, `slot`, `market`, `watermark`; else all."),
]
Markets = Annotated[list[str], Meta(max_length=100, description="These markets only; else all.")]
LastEventId = Annotated[
    str,
    InHeader("Last-Event-ID"),
    Meta(max_length=20, description="As browsers send it to resume: the last `id`."),
]


@route("GET", "/events", "Events", "Live stream", problems=(410,), media_type=sse.MEDIA_TYPE)
async def events(
    service: Service,
    caller: Caller,
    after_seq: AfterSeq | None = None,
    market_id: Markets | None = None,
    kind: Kinds | None = None,
    bidder_id: Named | None = None,
    last_event_id: LastEventId | None = None,
) -> EventStream:
    """Rounds, awards, changes of the book and the durable watermark, as server-sent events, each once it is durable.

    The `id` of an event is its row: send it back as `Last-Event-ID`, or as `after_seq`, and the stream goes on without
    a gap. Where both are given the header counts: browsers resume at the address that they began with. Who reads too
    slowly is cut off with an event `end` that says where to go on. Where `key_ended` is true in it, the key was revoked
    or has expired, and goes on nowhere. With 0 it begins at the first row. After a row that was lost it does not go on,
    and says so (410). Wallets and refusals are not in it.
    """
    resumed_seq = sse.after_seq_of(last_event_id or "")
    with told_as(market_ids="market_id", kinds="kind"):
        wanted = filter_of(market_id or (), kind or (), bidder_id or "")
    with told_as(after_seq="after_seq" if resumed_seq is None else "Last-Event-ID"):
        subscription, share = await service.subscribe(caller, wanted, after_seq if resumed_seq is None else resumed_seq)
    stay = service.long_requests.while_key_works(caller.principal, subscription.expel)
    return EventStream(subscription, stay, share)


ENDPOINTS = (events,)
