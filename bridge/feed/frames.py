"""A message ready to be sent: encoded once, for all who get it.

Rule of this file: pure and immutable but for what is computed at the first need; two threads that compute it get the
same.
"""

from typing import Final, NamedTuple, cast

import msgspec

from bridge.feed.messages import Kind, Message, WatermarkMessage, messages_of
from engine.commands import Entry
from engine.events import Events

_encode: Final = msgspec.json.Encoder().encode


class Frame:
    """One message, with what filters ask of it: its kind, its market (None: the row names none) and its bidders."""

    __slots__ = ("_data", "bidder_ids", "kind", "market_id", "message", "seq")

    def __init__(self, seq: int, message: Message) -> None:
        self.seq: Final = seq
        self.message: Final = message
        tag = cast("str", message.__struct_config__.tag)
        self.kind: Final = cast("Kind", tag.partition(".")[0])
        self.market_id: Final[str | None] = getattr(message, "market_id", None)
        self.bidder_ids: Final = _bidders(message)
        self._data = b""

    @property
    def data(self) -> bytes:
        """The message as JSON, encoded at the first call. About 1 us then."""
        if not self._data:
            self._data = _encode(self.message)
        return self._data


class Delivery(NamedTuple):
    """A message for one subscriber. `ends_row`: it is the last that he gets of its row, so he may resume after it."""

    frame: Frame
    ends_row: bool


class Row:
    """A durable row, with its messages once somebody wants them."""

    __slots__ = ("_frames", "entry", "events", "size")

    def __init__(self, entry: Entry, events: Events, size: int) -> None:
        """`size` is that of its journal bytes."""
        self.entry: Final = entry
        self.events: Final = events
        self.size: Final = size
        self._frames: tuple[Frame, ...] | None = None

    @property
    def seq(self) -> int:
        """Its place in the journal."""
        return self.entry.seq

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Its messages, made at the first call."""
        frames = self._frames
        if frames is None:
            frames = self._frames = tuple(
                [Frame(self.entry.seq, message) for message in messages_of(self.entry, self.events)]
            )
        return frames


def watermark(durable_seq: int) -> Delivery:
    """The watermark: it may be resumed after as well."""
    return Delivery(Frame(durable_seq, WatermarkMessage(durable_seq)), ends_row=True)


def _bidders(message: Message) -> frozenset[str]:
    bidder_id = getattr(message, "bidder_id", None)
    if bidder_id is not None:
        return frozenset((bidder_id,))
    return frozenset(bid.bidder_id for bid in getattr(message, "bids", ()))
