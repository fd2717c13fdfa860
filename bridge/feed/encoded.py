"""A message ready to be sent: encoded once, for all subscribers.

Rule of this file: pure and immutable but for what is computed at the first need; two threads that compute it get the
same.
"""

from collections.abc import Collection
from typing import Final, cast, get_args

import msgspec

from callmarket.bridge.feed.artifact_messages import (
    ArtifactEndedMessage,
    ArtifactMatchedMessage,
    ArtifactOrderMessage,
    ArtifactTradedMessage,
)
from callmarket.bridge.feed.messages import Kind, Message, WatermarkMessage
from callmarket.bridge.feed.rows import messages_of
from callmarket.engine.commands import Entry
from callmarket.engine.events import Events

_encode: Final = msgspec.json.Encoder().encode
# The first word of each type's tag.
_KINDS: Final[dict[type, Kind]] = {
    kind: cast("Kind", cast("str", kind.__struct_config__.tag).partition(".")[0]) for kind in get_args(Message)
}


class EncodedMessage:
    """One message, with what filters ask of it: its kind, its market or artifact, and its bidders.

    A market is None if the row names none. `subject` tells both apart, as names have no spaces.
    """

    __slots__ = ("_text", "bidder_ids", "kind", "market_id", "message", "seq", "subject")

    def __init__(self, seq: int, message: Message) -> None:
        self.seq: Final = seq
        self.message: Final = message
        self.kind: Final = _KINDS[type(message)]
        self.market_id: Final[str | None] = getattr(message, "market_id", None)
        artifact_id: str | None = getattr(message, "artifact_id", None)
        self.subject: Final = self.market_id if artifact_id is None else subject_of_artifact(artifact_id)
        self.bidder_ids: Final = _bidders(message)
        self._text = b""

    @property
    def data(self) -> bytes:
        """The message as JSON."""
        return _encode(self.message)

    @property
    def text(self) -> bytes:
        """The message as the text of an event without its id, encoded at the first call. About 1 us then.

        JSON has no line ends, so it is one line of data.
        """
        if not self._text:
            self._text = b"event: %b\ndata: %b\n\n" % (self.kind.encode(), self.data)
        return self._text


RowMessages = tuple[EncodedMessage, ...]
"""All that one subscriber gets of one row, at least one message: it may resume after it."""


class FeedRow:
    """A durable row, with its messages once somebody wants them."""

    __slots__ = ("_messages", "entry", "events", "size")

    def __init__(self, entry: Entry, events: Events, size: int) -> None:
        """`size` is that of its journal bytes."""
        self.entry: Final = entry
        self.events: Final = events
        self.size: Final = size
        self._messages: tuple[EncodedMessage, ...] | None = None

    @property
    def seq(self) -> int:
        """The row's place in the journal."""
        return self.entry.seq

    @property
    def messages(self) -> tuple[EncodedMessage, ...]:
        """Its messages, made at the first call."""
        messages = self._messages
        if messages is None:
            messages = self._messages = tuple(
                [EncodedMessage(self.entry.seq, message) for message in messages_of(self.entry, self.events)]
            )
        return messages


def watermark(durable_seq: int) -> RowMessages:
    """The watermark: it may be resumed after as well."""
    return (EncodedMessage(durable_seq, WatermarkMessage(durable_seq)),)


def size_of(messages: RowMessages) -> int:
    """The bytes of the messages as event text."""
    return len(messages[0].text) if len(messages) == 1 else sum([len(encoded.text) for encoded in messages])


def subject_of_artifact(artifact_id: str) -> str:
    """What messages of an artifact market are found by."""
    return f"artifact {artifact_id}"


def _bidders(message: Message) -> Collection[str]:
    match message:
        case ArtifactEndedMessage(orders=orders):
            return frozenset([order.account_id for order in orders])
        case ArtifactTradedMessage() | ArtifactOrderMessage() | ArtifactMatchedMessage():
            return (message.account_id,)
        case _:
            pass
    bidder_id = getattr(message, "bidder_id", None)
    if bidder_id is not None:
        return (bidder_id,)
    bids = getattr(message, "bids", None)
    return frozenset([bid.bidder_id for bid in bids]) if bids else ()
