"""The live stream as a client keeps it: where it resumes, and what is told for good.

Rule of this file: no waiting. The messages of a row are told when the row is whole, so that nothing is told twice when
a stream breaks in the middle of one.
"""

import contextlib
from collections.abc import Collection
from typing import Final
from urllib.parse import urlencode

import httpx2
import msgspec
from msgspec import Struct

from callmarket.bridge.api.errors import Unauthorized, Unavailable
from callmarket.bridge.client.call import PREFIX, Call
from callmarket.bridge.feed.filters import filter_of
from callmarket.bridge.feed.messages import Message

# The service says something every 15 s.
SILENCE_S_MAX: Final = 45.0
# A round of ten thousand awards is 10,001 messages; each is small.
EVENT_BYTES_MAX: Final = 16 * 2**20
ROW_MESSAGES_MAX: Final = 100_000

_decode: Final = msgspec.json.Decoder(Message).decode


class Listening:
    """What one client has of a stream, over all of its connections."""

    def __init__(self, after_seq: int, market_ids: Collection[str], kinds: Collection[str], bidder_id: str) -> None:
        """Everything after this row that the filter lets through. Raises `Invalid`."""
        filter_of(market_ids, kinds, bidder_id)
        query = [("market_id", one) for one in market_ids] + [("kind", one) for one in kinds]
        if bidder_id:
            query.append(("bidder_id", bidder_id))
        self._query: Final = query
        self._after_seq = after_seq
        self._row: list[Message] = []

    @property
    def seen_seq(self) -> int:
        """The last row that was told of."""
        return self._after_seq

    @property
    def target(self) -> str:
        """Where it goes on."""
        return f"{PREFIX}/events?{urlencode([*self._query, ('after_seq', self._after_seq)])}"

    def headers(self) -> dict[str, str]:
        """What a new connection begins with; what was not whole is forgotten."""
        self._row = []
        return {"Accept": "text/event-stream", "Cache-Control": "no-store"}

    def call(self) -> Call[None]:
        """A connection as a call, whose attempts are those of any read."""
        return Call("GET", self.target, _nothing)

    def on_event(self, event: httpx2.ServerSentEvent) -> list[Message]:
        """What is told for good with this event: a whole row, or nothing yet.

        Raises `Unavailable`, and `Unauthorized` where the market says that the key has ended: nothing comes after that.
        """
        if not event.data:
            return []
        if event.event == "end":
            _raise_if_key_ended(event.data)
            return []
        try:
            message = _decode(event.data)
        except msgspec.MsgspecError as error:
            raise Unavailable(f"the stream is not understood: {error}") from None
        self._row.append(message)
        seq = getattr(message, "seq", None)
        # The id of an event without one is the last one's: a row is whole where its own seq is the id.
        if seq is not None and str(seq) != event.id:
            if len(self._row) > ROW_MESSAGES_MAX:
                raise Unavailable("a row of the stream without end")
            return []
        self._after_seq, row, self._row = int(event.id), self._row, []
        return row


class _End(Struct):
    """What matters here of the last event of a stream; more may be in it."""

    reason: str
    key_ended: bool = False


def _raise_if_key_ended(data: str) -> None:
    """Raise `Unauthorized`; any other end is one to go on after, as is one that is not understood."""
    with contextlib.suppress(msgspec.MsgspecError):
        end = msgspec.json.decode(data, type=_End)
        if end.key_ended:
            raise Unauthorized(end.reason)


def _nothing(_: bytes) -> None:
    return None
