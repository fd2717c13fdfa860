"""The plain messages between callers and the sequencer.

Rule of this file: the engine's own units and types, nothing translated. Results in people's units are in `results`.
"""

from typing import Literal, get_args

from msgspec import Struct

from callmarket.bridge.api.errors import Invalid
from callmarket.engine.commands import Command
from callmarket.engine.events import Events

Ack = Literal["durable", "applied", "projected"]
"""When a reply is given: once it is in the journal; as soon as the engine has applied it (it may then be lost); or when
the SQL tables have it too, for who reads them by statements of their own."""


def check_ack(ack: Ack) -> None:
    """Refuse what is neither: a mistyped "durable" must not mean less than it says. Raises `Invalid`."""
    if ack not in get_args(Ack):
        raise Invalid("ack", ack, "'durable', 'applied' or 'projected'")


class Request(Struct, frozen=True):
    """A command, who asks, the id that makes a retry safe (empty: none), and perhaps the caller's time.

    `now_us` lets a caller who drives the market say when now is. It must not be ahead of the exchange's clock by more
    than `sequencer.CLOCK_AHEAD_US_MAX`; time never runs back for it either.
    """

    actor: str
    command: Command
    command_id: str = ""
    now_us: int | None = None


class Reply(Struct, frozen=True):
    """What a request caused. `repeated` says that it was done before, and this is what it caused then.

    The reply is durable if `seq <= durable_seq`.
    """

    seq: int
    at_us: int
    events: Events
    durable_seq: int
    repeated: bool = False
