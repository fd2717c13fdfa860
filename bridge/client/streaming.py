"""The client's side of the live stream: where it resumes, and which messages are delivered.

Rule of this file: no waiting. The messages of a row are delivered when the row is complete, so that none is delivered
twice when a stream breaks in the middle of a row.
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

# The service sends something at least every 15 s.
SILENCE_S_MAX: Final = 45.0
# A round of ten thousand awards is 10,001 messages; each is small.
EVENT_BYTES_MAX: Final = 16 * 2**20
ROW_MESSAGES_MAX: Final = 100_000

_decode: Final = msgspec.json.Decoder(Message).decode


class Listening:
    """The position of one client in a stream, across its connections."""

    def __init__(
        self,
        after_seq: int,
        market_ids: Collection[str],
        kinds: Collection[str],
        bidder_id: str,
        artifact_ids: Collection[str] = (),
    ) -> None:
        """A stream of everything after this row that matches the filters. Raises `Invalid`."""
        filter_of(market_ids, kinds, bidder_id, artifact_ids)
        query = [("market_id", one) for one in market_ids] + [("kind", one) for one in kinds]
        query += [("artifact_id", one) for one in artifact_ids]
        if bidder_id:
            query.append(("bidder_id", bidder_id))
        self._query: Final = query
        self._after_seq = after_seq
        self._row: list[Message] = []

    @property
    def seen_seq(self) -> int:
        """The last row that was delivered."""
        return self._after_seq

    @property
    def target(self) -> str:
        """The path and query that resume the stream."""
        return f"{PREFIX}/events?{urlencode([*self._query, ('after_seq', self._after_seq)])}"

    def headers(self) -> dict[str, str]:
        """The headers of a new connection. Drops the messages of an incomplete row, which will be sent again."""
        self._row = []
        return {"Accept": "text/event-stream", "Cache-Control": "no-store"}

    def call(self) -> Call[None]:
        """A connection as a call, so that it is retried like any other read."""
        return Call("GET", self.target, _nothing)

    def on_event(self, event: httpx2.ServerSentEvent) -> list[Message]:
        """The messages to deliver after this event: those of a complete row, or none yet.

        Raises `Unavailable` for an event that cannot be read, and `Unauthorized` if the market says that the key has
        ended, after which nothing follows.
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
        # An event without an id inherits the previous one: a row is complete when the id equals its own seq.
        if seq is not None and str(seq) != event.id:
            if len(self._row) > ROW_MESSAGES_MAX:
                raise Unavailable(f"a row of the stream has more than {ROW_MESSAGES_MAX} messages")
            return []
        self._after_seq, row, self._row = int(event.id), self._row, []
        return row


class _End(Struct):
    """The fields of the last event of a stream that the client uses. It may have others."""

    reason: str
    key_ended: bool = False


def _raise_if_key_ended(data: str) -> None:
    """Raise `Unauthorized` if the key has ended. After any other end, readable or not, the stream resumes."""
    with contextlib.suppress(msgspec.MsgspecError):
        end = msgspec.json.decode(data, type=_End)
        if end.key_ended:
            raise Unauthorized(end.reason)


def _nothing(_: bytes) -> None:
    return None
