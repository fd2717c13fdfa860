"""What results share: their place in history, pages, and how the reply to a command is read.

Rule of this file: pure, and no command is known here. What each returns is beside the operation that returns it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from msgspec import Struct

from callmarket.bridge.api.errors import Refused
from callmarket.bridge.api.messages import Reply
from callmarket.bridge.api.units import datetime_of
from callmarket.engine.events import Event, Rejected

E = TypeVar("E")
T = TypeVar("T")


class Stamp(Struct, frozen=True):
    """The place of a command in history, and how far history was durable when the reply was made.

    `repeated`: this was done before, under the same `command_id`.
    """

    seq: int
    durable_seq: int
    at: datetime
    repeated: bool

    @property
    def durable(self) -> bool:
        """Whether the command was in the journal when the reply was made."""
        return self.seq <= self.durable_seq


class Page(Struct, Generic[T], frozen=True):
    """A part of a list, as it was at `seq`. `next` is handed back as `after` for what follows; None at the end."""

    items: tuple[T, ...]
    next: str | None
    seq: int
    durable_seq: int


def stamp(reply: Reply) -> Stamp:
    """The stamp of a reply, for commands that have nothing else to say. Raises `Refused` if it was refused."""
    first = reply.events[0]
    if isinstance(first, Rejected):
        raise Refused(first, reply.seq)
    return Stamp(reply.seq, reply.durable_seq, datetime_of(reply.at_us), reply.repeated)


def accepted(replies: Sequence[Reply]) -> Sequence[Reply]:
    """The replies to what `submit` was given, where nothing may be refused. Raises `Refused` for the first that was."""
    for reply in replies:
        stamp(reply)
    return replies


def only(events: Iterable[Event], kind: type[E]) -> E:
    """The one event of this kind, which the command always causes."""
    (event,) = [event for event in events if isinstance(event, kind)]
    return event
