"""The parts that results share: stamps, pages, and reading the reply to a command.

Rule of this file: pure, and nothing depends on a particular command. Result types are defined beside their operations.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import asdict

from callmarket.bridge.api.errors import Refused
from callmarket.bridge.api.messages import Reply
from callmarket.bridge.api.units import datetime_of
from callmarket.engine.events import Event, Rejected
from callmarket.engine.reject import Reject

E = TypeVar("E")
R = TypeVar("R", bound=Struct)
T = TypeVar("T")


class Stamp(Struct, frozen=True):
    """The journal row of a command (`seq`), its time, and the last durable row when the reply was made (`durable_seq`).

    `repeated`: the command was done before, under the same `command_id`, and was not done again.
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
    """A page of a list, read at `seq`. Hand `next` back as `after` for the next page; None at the end of the list."""

    items: tuple[T, ...]
    next: str | None
    seq: int
    durable_seq: int


class Refusal(Struct, frozen=True):
    """Why a command would be refused: the fields of the error `Refused`."""

    reason: Reject
    field: str
    value: int | float | str
    bound: int | float | str


def refusal_of(rejected: Rejected) -> Refusal:
    """A refusal that has not happened."""
    told = Refused(rejected, 0)
    return Refusal(told.reason, told.field, told.value, told.bound)


def detail(kind: type[R], row: Struct, seq: int, durable_seq: int) -> R:
    """A row as a result of this type, with the positions of the tables and of the journal when it was read."""
    return kind(**asdict(row), seq=seq, durable_seq=durable_seq)


def stamp(reply: Reply) -> Stamp:
    """The stamp of a reply. Raises `Refused` if the command was refused."""
    first = reply.events[0]
    if isinstance(first, Rejected):
        raise Refused(first, reply.seq)
    return Stamp(reply.seq, reply.durable_seq, datetime_of(reply.at_us), reply.repeated)


def accepted(replies: Sequence[Reply]) -> Sequence[Reply]:
    """The replies, for callers of `submit` that expect no refusal. Raises `Refused` for the first refusal."""
    for reply in replies:
        stamp(reply)
    return replies


def only(events: Iterable[Event], kind: type[E]) -> E:
    """The only event of this kind. The command must have caused exactly one."""
    (event,) = [event for event in events if isinstance(event, kind)]
    return event
