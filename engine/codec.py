"""Canonical bytes of commands and events, and the chain of digests over them.

Rule of this file: one value has one encoding, and what is decoded has been checked. JSON objects with explicit tags,
fields in declared order, so that the journal is readable in psql and equal values are equal bytes.
"""

from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from engine.commands import Command, Entry, Name
from engine.events import Event, Events
from engine.limits import RULES

GENESIS_DIGEST: Final = bytes(32)

_encoder: Final = msgspec.json.Encoder()
_command_decoder: Final[msgspec.json.Decoder[Command]] = msgspec.json.Decoder(Command)
_events_decoder: Final = msgspec.json.Decoder(tuple[Event, ...])
_type_of_json: Final = msgspec.json.Decoder()

encode: Final = _encoder.encode
"""Canonical JSON of a command or of a tuple of events. About 0.3 us."""


class Sealed(Struct, frozen=True, gc=False):
    """One journal row: a stamped command, what it caused, the canonical bytes of both, and their digest."""

    entry: Entry
    events: Events
    rules: int
    command_json: bytes
    events_json: bytes
    digest: bytes


class ShapeError(ValueError):
    """A command whose fields are not of the declared type, range or pattern. Names field, value and bound."""

    def __init__(self, field: str, value: object, bound: str) -> None:
        """Say what is wrong with which field."""
        super().__init__(f"{field}: expected {bound}, got {_shown(value)}")
        self.field = field
        self.value = value
        self.bound = bound


def decode_command(data: bytes | str) -> Command:
    """Decode and check one command. Raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return _command_decoder.decode(data)


def decode_events(data: bytes | str) -> Events:
    """Decode the events of one row. Raises as `decode_command`."""
    return _events_decoder.decode(data)


def check_shape(command: Command) -> None:
    """Check the fields of a command that was built in Python, where types and bounds are not enforced.

    Raises `ShapeError`. Costs about a microsecond: it is an encoding and a decoding.
    """
    try:
        data = _encoder.encode(command)
    except (UnicodeEncodeError, OverflowError, TypeError, msgspec.MsgspecError) as error:
        field, value = _unencodable_field(command)
        raise ShapeError(field, value, f"a value that JSON can carry ({error})") from None
    try:
        _command_decoder.decode(data)
    except msgspec.MsgspecError as error:
        bound, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`").partition("[")[0]
        raise ShapeError(field, getattr(command, field, command), bound.removeprefix("Expected ")) from None


def seal(previous_digest: bytes, entry: Entry, events: Events, rules: int = RULES) -> Sealed:
    """Encode one entry with its events and chain it to the row before. About 2 us."""
    command_json = _encoder.encode(entry.command)
    events_json = _encoder.encode(events)
    digest = chain(previous_digest, entry, rules, command_json, events_json)
    return Sealed(entry, events, rules, command_json, events_json, digest)


def chain(previous_digest: bytes, entry: Entry, rules: int, command_json: bytes, events_json: bytes) -> bytes:
    """SHA-256 of previous digest || header || command || events; the header is the row's other columns.

    In SQL: sha256(previous || convert_to(format('%s|%s|%s|%s|%s|', seq, at_us, rules, actor, command_id) ||
    command::text || events::text, 'UTF8')).
    """
    header = f"{entry.seq}|{entry.at_us}|{rules}|{entry.actor}|{entry.command_id}|".encode()
    return sha256(previous_digest + header + command_json + events_json).digest()


def check_names(actor: str, command_id: str) -> None:
    """Check the actor and the command id (empty, or a name). Raises `ShapeError`."""
    for field, value in (("actor", actor), ("command_id", command_id or "none")):
        try:
            msgspec.convert(value, Name)
        except msgspec.ValidationError as error:
            raise ShapeError(field, value, str(error).removeprefix("Expected ")) from None


def _unencodable_field(command: Command) -> tuple[str, object]:
    for field in command.__struct_fields__:
        value = getattr(command, field)
        try:
            _type_of_json.decode(_encoder.encode(value))
        except Exception:  # noqa: BLE001 -- whatever the encoder could not do, this is the field
            return field, value
    return "command", command


def _shown(value: object, chars_max: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= chars_max else text[: chars_max - 3] + "..."
