"""Canonical bytes of commands and events, and the chain of digests over them.

Rule of this file: one value has one encoding, and what is decoded has been checked. JSON objects with explicit tags,
fields in declared order, so that the journal is readable in psql and equal values are equal bytes.
"""

from hashlib import sha256
from typing import Annotated, Final, Literal, NoReturn, Protocol, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from callmarket.engine.commands import Command, Entry
from callmarket.engine.events import Event, Events
from callmarket.engine.fields import Name
from callmarket.engine.limits import RULES

GENESIS_DIGEST: Final = bytes(32)

_encoder: Final = msgspec.json.Encoder()
_command_decoder: Final[msgspec.json.Decoder[Command]] = msgspec.json.Decoder(Command)
_events_decoder: Final = msgspec.json.Decoder(tuple[Event, ...])
_name_decoder: Final[msgspec.json.Decoder[str]] = msgspec.json.Decoder(Name)
_PLAIN: Final = (str, int, type(None))

encode: Final = _encoder.encode
"""Canonical JSON of a command or of a tuple of events. About 0.5 us."""


class SealedRow(Struct, frozen=True, gc=False):
    """One journal row: a stamped command, what it caused, the canonical bytes of both, and their digest.

    `digest_before` is that of the row before it, which its own continues.
    """

    entry: Entry
    events: Events
    rules: int
    command_json: bytes
    events_json: bytes
    digest: bytes
    digest_before: bytes


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
    try:
        return _command_decoder.decode(data)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"the text is not UTF-8: {error}") from None


def _bare(kind: type[Command]) -> type[Struct]:
    """A command's struct without ranges and patterns."""
    fields: list[tuple[str, object] | tuple[str, object, object]] = []
    for field in msgspec.structs.fields(kind):
        name, hint = field.encode_name, _without_bounds(field.type)
        fields.append((name, hint) if field.required else (name, hint, field.default))
    config = kind.__struct_config__
    return msgspec.defstruct(
        kind.__name__, fields, tag_field=config.tag_field, tag=config.tag, forbid_unknown_fields=True, gc=False
    )


def _without_bounds(hint: object) -> object:
    """The plain type of a field: `int | None` of a bounded integer or None."""
    if get_origin(hint) is Annotated:
        return _without_bounds(get_args(hint)[0])
    if get_origin(hint) in (Union, type(int | None)):
        return Union[tuple(_without_bounds(one) for one in get_args(hint))]  # noqa: UP007 -- of a tuple
    return hint


_KINDS: Final[dict[type[Struct], type[Command]]] = {_bare(kind): kind for kind in get_args(Command)}
_bare_decoder: Final[msgspec.json.Decoder[Struct]] = msgspec.json.Decoder(Union[tuple(_KINDS)])  # noqa: UP007


def decode_proved(data: bytes) -> Command:
    """Decode a command whose bytes a digest has proved: ranges and patterns were checked before they were written.

    Types and fields are checked all the same. Takes two thirds of the time of `decode_command`, and raises as that.
    """
    try:
        bare = _bare_decoder.decode(data)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"the text is not UTF-8: {error}") from None
    return _KINDS[type(bare)](*msgspec.structs.astuple(bare))


def decode_events(data: bytes | str) -> Events:
    """Decode the events of one row. Raises as `decode_command`."""
    try:
        return _events_decoder.decode(data)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"the text is not UTF-8: {error}") from None


def check_shape(command: Command) -> None:
    """Check the fields of a command that was built in Python, where types and bounds are not enforced.

    Raises `ShapeError`. Costs about 3 us: it is an encoding and a decoding. Only plain `str`, `int` and None pass: JSON
    would also take a UUID, an enum or a NaN, and what the engine then holds would not be what the journal gives back.
    """
    try:
        decode_command(_encoder.encode(command))
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError) as error:
        _blame(command, error)
    for field in command.__struct_fields__:
        value = getattr(command, field)
        if type(value) not in _PLAIN:
            raise ShapeError(field, value, _expectation(command, field))


def check_names(actor: str, command_id: str) -> None:
    """Check the actor and the command id (empty, or a name). Raises `ShapeError`."""
    for field, value in (("actor", actor), ("command_id", command_id)):
        if type(value) is not str:
            raise ShapeError(field, value, "a plain str")
        if value or field == "actor":
            try:
                _name_decoder.decode(_encoder.encode(value))
            except msgspec.ValidationError as error:
                raise ShapeError(field, value, str(error).removeprefix("Expected ")) from None
            except UnicodeEncodeError as error:
                raise ShapeError(field, value, f"a value that JSON can carry ({error})") from None


def seal(previous_digest: bytes, entry: Entry, events: Events, rules: int = RULES) -> SealedRow:
    """Encode one entry with its events and chain it to the row before. About 3 us."""
    command_json = _encoder.encode(entry.command)
    events_json = _encoder.encode(events)
    digest = chain(previous_digest, entry, rules, command_json, events_json)
    return SealedRow(entry, events, rules, command_json, events_json, digest, previous_digest)


class Stamped(Protocol):
    """What has the stamp of a row: an entry, or the row itself."""

    @property
    def seq(self) -> int:
        """Its place in the journal."""

    @property
    def at_us(self) -> int:
        """Its time, in us since 1970."""

    @property
    def actor(self) -> str:
        """The account, or the staff, that gave the command."""

    @property
    def command_id(self) -> str:
        """Its id; empty if it has none."""


def chain(previous_digest: bytes, row: Stamped, rules: int, command_json: bytes, events_json: bytes) -> bytes:
    """SHA-256 of previous digest || header || command || events; the header is the row's other columns.

    In SQL: sha256(previous || convert_to(format('%s|%s|%s|%s|%s|', seq, at_us, rules, actor, command_id) ||
    command::text || events::text, 'UTF8')).
    """
    header = f"{row.seq}|{row.at_us}|{rules}|{row.actor}|{row.command_id}|".encode()
    return sha256(previous_digest + header + command_json + events_json).digest()


def _blame(command: Command, error: Exception) -> NoReturn:
    """Say which field an encoding or a decoding failed at."""
    expected, at, path = str(error).partition(" - at `$.")
    if at:
        field = path.rstrip("`")
        if expected.startswith("Invalid enum value"):
            expected = _expectation(command, field)
        raise ShapeError(field, getattr(command, field), expected.removeprefix("Expected ")) from None
    for field in command.__struct_fields__:
        value = getattr(command, field)
        try:
            _encoder.encode(value)
        except (UnicodeEncodeError, OverflowError, TypeError, ValueError) as reason:
            raise ShapeError(field, value, f"a value that JSON can carry ({reason})") from None
    raise error


def _expectation(command: Command, field: str) -> str:
    """The declared type of a field, in words."""
    hint = get_type_hints(type(command))[field]
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    return f"a plain {hint.__name__ if isinstance(hint, type) else hint}"


def _shown(value: object, chars_max: int = 80) -> str:
    try:
        text = repr(value)
    except ValueError:
        # Python prints no integer of more than some thousand digits.
        text = f"a {type(value).__name__} too long to print"
    return text if len(text) <= chars_max else text[: chars_max - 3] + "..."
