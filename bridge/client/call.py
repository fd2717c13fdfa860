"""One request to the service, before anybody sends it.

Rule of this file: values. Where it is sent, and how often, is not known here.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from bridge.api.bodies import PathName
from bridge.api.errors import Invalid
from bridge.api.names import expected_in_words
from engine.limits import NAME_CHARS_MAX

T = TypeVar("T")

PREFIX: Final = "/api/v1"
# The service numbers the bids of a batch behind it, up to "/9999".
COMMAND_ID_CHARS_MAX: Final = NAME_CHARS_MAX - len("/9999")

QueryValue = str | int | float | datetime | None


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and how its answer is read. One with a `command_id` changes the market, once, however often it is sent.

    `patience_s` is how much longer than usual its answer may take.
    """

    method: str
    target: str
    read: Callable[[bytes], T]
    body: bytes | None = None
    account: str = ""
    command_id: str = ""
    patience_s: float = 0.0


Plan = Generator[Call[Any], Any, T]
"""What takes one call or several: yields each and is sent its result; an error is thrown in where the call was made."""


def alone(call: Call[T]) -> Plan[T]:
    """The plan of one call."""
    result: T = yield call
    return result


def path(*parts: tuple[str, str | int] | str) -> str:
    """A path: words, and names by their field. Raises `Invalid` for a name that a path cannot hold."""
    return PREFIX + "".join(f"/{part}" if isinstance(part, str) else f"/{_part(*part)}" for part in parts)


def target(path: str, query: dict[str, QueryValue]) -> str:
    """A path with options; None is left out."""
    given = {name: _text(value) for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def get(path: str, kind: type[T], *, patience_s: float = 0.0, **query: QueryValue) -> Call[T]:
    """A question."""
    return Call("GET", target(path, query), reader(kind), patience_s=patience_s)


def reader(kind: type[T]) -> Callable[[bytes], T]:
    """How an answer of this kind is read. Raises `msgspec.MsgspecError` for another."""
    return msgspec.json.Decoder(kind).decode


def check_command_id(command_id: str) -> None:
    """Check an id that goes into a header. Raises `Invalid`."""
    if len(command_id) > COMMAND_ID_CHARS_MAX:
        raise Invalid("command_id", command_id, f"at most {COMMAND_ID_CHARS_MAX} characters over HTTP")


def _part(field: str, value: str | int) -> str:
    if isinstance(value, str):
        try:
            msgspec.convert(value, PathName)
        except msgspec.ValidationError as error:
            raise Invalid(field, value, expected_in_words(str(error))) from None
    return quote(str(value), safe="")


def _text(value: QueryValue) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
