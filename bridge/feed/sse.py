"""The feed as the text of server-sent events (WHATWG HTML, 9.2).

Rule of this file: text only; who may read, and how it is sent, is the server's. The `id` of an event is its seq, and
only the last event of a row carries one: a client that dies in the middle of a row resumes at the row before, and gets
the whole row again. So whatever came after the last `id` is to be forgotten when the stream is resumed.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Final

import msgspec

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.spelling import whole
from callmarket.bridge.feed.encoded import RowMessages
from callmarket.bridge.feed.limits import HEARTBEAT_S, RETRY_MS
from callmarket.bridge.feed.subscription import End, Subscription
from callmarket.engine.limits import SEQ_MAX

MEDIA_TYPE: Final = "text/event-stream"
OPENING: Final = b"retry: %d\n\n" % RETRY_MS
HEARTBEAT: Final = b": still here\n\n"


def encode(deliveries: Iterable[RowMessages]) -> bytes:
    """The event text of some rows, in order."""
    parts: list[bytes] = []
    for messages in deliveries:
        parts += [encoded.text for encoded in messages[:-1]]
        parts += (b"id: %d\n" % messages[-1].seq, messages[-1].text)
    return b"".join(parts)


def encode_end(end: End) -> bytes:
    """The last event of a stream that the exchange ends."""
    return b"event: end\ndata: %b\n\n" % msgspec.json.encode(end._asdict())


def after_seq_of(last_event_id: str) -> int | None:
    """The row that a client has seen last, from its `Last-Event-ID`; None where it has none. Raises `Invalid`."""
    if not last_event_id:
        return None
    seq = whole(last_event_id, SEQ_MAX)
    if seq is None:
        raise Invalid("Last-Event-ID", last_event_id, f"the id of an event, 0 to {SEQ_MAX}")
    return seq


async def stream(subscription: Subscription, heartbeat_s: float = HEARTBEAT_S) -> AsyncIterator[bytes]:
    """All of it as bytes, in pieces of some packets, with a comment after silence.

    Close it (`aclose`) when the client has gone. A client that takes nothing keeps its sender where this cannot see
    it: the sender watches `subscription.ended` beside.
    """
    with subscription:
        yield OPENING
        while True:
            deliveries = await subscription.next(heartbeat_s)
            if deliveries:
                yield encode(deliveries)
            elif subscription.end is not None:
                yield encode_end(subscription.end)
                return
            else:
                yield HEARTBEAT
