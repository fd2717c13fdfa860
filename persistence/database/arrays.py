"""Columns of many rows as PostgreSQL's binary arrays: how the writer sends rows.

Rule of this file: the type of an array is given by its column, never found in its values. psycopg's own lists look for
the smallest type that holds the values, so the same statement would be planned anew for each mixture of sizes; and they
pack each value in Python, five times slower than here.
"""

import struct
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import Any, Final

from psycopg import adapters
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

# The head of an array: dimensions, whether there are NULLs, the type of the values, how many, and the first index.
_HEAD: Final = struct.Struct(">iiIii").pack
_LENGTH: Final = struct.Struct(">i").pack
# A number after its length in bytes.
_INT4: Final = struct.Struct(">ii").pack
_INT8: Final = struct.Struct(">iq").pack
_NULL: Final = b"\xff\xff\xff\xff"


class Array(bytes):
    """An array as it is sent; each subclass is one type of its values."""

    __slots__ = ()


class JsonBytes(bytes):
    """The text of a single json value, as it is sent."""

    __slots__ = ()


def _send_as_it_is(kind: type[bytes], type_oid: int) -> None:
    """Tell psycopg that these bytes are a value of that type already."""

    class PassThroughDumper(Dumper):
        format = Format.BINARY
        oid = type_oid

        def dump(self, obj: bytes) -> Buffer:
            return obj

    adapters.register_dumper(kind, PassThroughDumper)


def _array_type(value_type: str) -> type[Array]:
    """Make the class for arrays of a type."""
    array_type = type(f"ArrayOf_{value_type}", (Array,), {"__slots__": ()})
    _send_as_it_is(array_type, adapters.types[value_type].array_oid)
    return array_type


def _int4(values: Sequence[int]) -> bytes:
    return b"".join(map(_INT4, repeat(4), values))


def _int8(values: Sequence[int]) -> bytes:
    return b"".join(map(_INT8, repeat(8), values))


def _bytes(values: Sequence[bytes]) -> bytes:
    return b"".join(chain.from_iterable(zip(map(_LENGTH, map(len, values)), values, strict=True)))


def _text(values: Sequence[str]) -> bytes:
    return _bytes([value.encode() for value in values])


def _digits(values: Sequence[int]) -> bytes:
    return _text([str(value) for value in values])


def _lists(values: Sequence[Sequence[int]]) -> bytes:
    return _text([f"{{{','.join(map(str, value))}}}" for value in values])


_PACKERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "int4": _int4,
    "int8": _int8,
    # Microseconds since 2000: what the server keeps, and what rows of `tables` hold.
    "timestamptz": _int8,
    "text": _text,
    "bytea": _bytes,
    # Its text.
    "json": _bytes,
    # A whole number without bound, as its digits; the statement casts them.
    "numeric": _digits,
    # Lists of unlike lengths are no array of arrays: each as its text, which the statement casts.
    "int8[]": _lists,
}
# What is not sent as what it is, but as text.
_AS_TEXT: Final = ("numeric", "int8[]")


def sent_as(value_type: str) -> str:
    """The type of the values in the array of such a column."""
    return "text" if value_type in _AS_TEXT else value_type


_send_as_it_is(JsonBytes, adapters.types["json"].oid)
_TYPES: Final = {name: (_array_type(sent_as(name)), adapters.types[sent_as(name)].oid) for name in _PACKERS}


def array(value_type: str, values: Sequence[Any]) -> Array:
    """Pack a column, None as NULL. About 0.1 us a value, far less where all are the same.

    `value_type` is int4, int8, timestamptz, text, bytea, json (as bytes), numeric or int8[], and there is at least one.
    """
    array_type, oid = _TYPES[value_type]
    pack, count = _PACKERS[value_type], len(values)
    first, has_null = values[0], None in values
    if first == values[-1] and values.count(first) == count:
        body = (_NULL if first is None else pack((first,))) * count
    elif has_null:
        body = b"".join([_NULL if value is None else pack((value,)) for value in values])
    else:
        body = pack(values)
    return array_type(_HEAD(1, has_null, oid, count, 1) + body)
