"""The messages between callers and the sequencer.

Rule of this file: the units and types of the engine, unconverted. Results in user-facing units are in `results` and
beside the operations.
"""

from typing import Literal, get_args

from msgspec import Struct

from callmarket.bridge.api.errors import Invalid
from callmarket.engine.commands import Command
from callmarket.engine.events import Events

Ack = Literal["durable", "applied", "projected"]
"""When a reply is given: `durable`, when the command is in the journal; `applied`, when the engine has applied it (it
may still be lost); `projected`, when the SQL tables have it too, for callers that query them directly."""


def check_ack(ack: Ack) -> None:
    """Check that a value is an `Ack`: a misspelled "durable" must not mean less. Raises `Invalid`."""
    if ack not in get_args(Ack):
        raise Invalid("ack", ack, "'durable', 'applied' or 'projected'")


class Request(Struct, frozen=True):
    """A command, its actor, the id that makes a retry safe (empty: none), and optionally the caller's time.

    `now_us` is for callers that control the market's time. It may be up to `sequencer.CLOCK_AHEAD_US_MAX` ahead of the
    exchange's clock; an earlier time than that of the last command never moves the market's time back.
    """

    actor: str
    command: Command
    command_id: str = ""
    now_us: int | None = None


class Reply(Struct, frozen=True):
    """The events that a request caused. `repeated`: it was done before, and these are the events of that time.

    The reply is durable if `seq <= durable_seq`.
    """

    seq: int
    at_us: int
    events: Events
    durable_seq: int
    repeated: bool = False
