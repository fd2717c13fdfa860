"""Strict decoding of request bodies.

Rule of this file: no type is coerced, a field occurs once, and an error names field, value and what was expected.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from callmarket.bridge.api.contract.fields import AN_INSTANT
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.names import expected, expected_in_words
from callmarket.bridge.server.requests.once import check_once

T = TypeVar("T")

_FIELD: Final = re.compile("Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
# From the decoder's messages to what the field expects.
EXPECTED: Final = {
    "Invalid RFC3339 encoded datetime": AN_INSTANT,
    "`datetime` with a timezone component": AN_INSTANT,
    "Invalid ISO8601 duration": "an ISO 8601 duration, as PT90S",
    "Number out of range": "a number that a 64-bit float can hold",
}


def decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The decoded body. Raises `Invalid`, or `msgspec.DecodeError` and `UnicodeDecodeError` if it is not JSON.

    It costs two decodings and one encoding.
    """
    if not body:
        raise Invalid("body", "", "a JSON object")
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong(error, body, decoder.type) from None
    check_once(body)
    return value


def _wrong(error: msgspec.ValidationError, body: bytes, kind: Any) -> Invalid:
    """The error of a body, with the path of the field in the body."""
    words, at, path = str(error).rpartition(" - at `$")
    if not at:
        words, path = path, ""
    path = path.removesuffix("`").removeprefix(".")
    about = _FIELD.fullmatch(words)
    if about is not None:
        path += f".{about[2]}" if path else about[2]
        wanted = "a value: it is required" if about[1] == "missing required" else "no field of this name"
    elif words.startswith("Invalid enum value"):
        wanted = f"one of {', '.join(_choices(kind, path))}"
    else:
        wanted = in_short(words)
    return Invalid(path or "body", _value_at(path, body), wanted)


def in_short(words: str) -> str:
    """What the decoder expected, in plain words, from its error message."""
    return EXPECTED.get(expected(words)) or expected_in_words(words)


def _choices(kind: Any, path: str) -> Iterator[str]:
    """The words that the field at this path accepts."""
    found = [msgspec.inspect.type_info(kind)]
    for name, _ in _STEP.findall(path):
        found = [inner for one in found for inner in _inside(one, name)]
    for one in found:
        if isinstance(one, msgspec.inspect.LiteralType):
            yield from map(str, one.values)


def _inside(kind: msgspec.inspect.Type, name: str) -> Sequence[msgspec.inspect.Type]:
    """The types that a step of a path leads to: those of the field or, if it has no name, of the items."""
    match kind:
        case msgspec.inspect.StructType(fields=fields):
            inner = [field.type for field in fields if field.encode_name == name]
        case msgspec.inspect.VarTupleType(item_type=item):
            inner = [item]
        case _:
            inner = []
    return [kind for one in inner for kind in plain(one)]


def plain(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    """The types that a field or a parameter may have, without their constraints."""
    match kind:
        case msgspec.inspect.Metadata(type=described):
            yield from plain(described)
        case msgspec.inspect.UnionType(types=types):
            for one in types:
                yield from plain(one)
        case _:
            yield kind


def _value_at(path: str, body: bytes) -> Any:
    """The value at a path of a body; None if there is none."""
    try:
        value: Any = msgspec.json.decode(body)
        for name, index in _STEP.findall(path):
            value = value[name] if name else value[int(index)]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, LookupError, TypeError):
        return None
    return value
