"""What the demo and its engine process say to each other: length-prefixed msgpack frames over two pipes.

Rule of this file: closed unions, nothing interpreted. Four bytes of length, big-endian, then the message.
"""

import struct
from typing import IO, Final

import msgspec
from msgspec import Struct

from callmarket.bridge.api.messages import Reply, Request

_LENGTH: Final = struct.Struct(">I")
# A batch of ten thousand requests is a megabyte or two; more than this is not one of our messages.
FRAME_BYTES_MAX: Final = 256 * 1024 * 1024


class Submit(Struct, frozen=True, tag=True):
    """Do these, at this virtual time; answer when they are durable."""

    now_us: int
    requests: tuple[Request, ...]


class StateDigest(Struct, frozen=True, tag=True):
    """Say the digest of the whole state."""


class Summary(Struct, frozen=True, tag=True):
    """Say every account's balance and holds."""


class Stop(Struct, frozen=True, tag=True):
    """Close in order."""


class Started(Struct, frozen=True, tag=True):
    """The exchange is open: what was recovered, and how long that took inside the process."""

    rows: int
    seconds: float


class Replies(Struct, frozen=True, tag=True):
    """One reply per request, in order, all durable."""

    replies: tuple[Reply, ...]


class DigestOf(Struct, frozen=True, tag=True):
    """SHA-256 of the canonical bytes of the state after `seq`."""

    seq: int
    digest: bytes


class Balances(Struct, frozen=True, tag=True):
    """Balance and held tokens by account; the state's own check passed."""

    seq: int
    balances: dict[str, tuple[int, int]]


class Failed(Struct, frozen=True, tag=True):
    """The process could not do it, and says why before it ends."""

    message: str


ToEngine = Submit | StateDigest | Summary | Stop
FromEngine = Started | Replies | DigestOf | Balances | Failed

_encoder: Final = msgspec.msgpack.Encoder()
_to_engine: Final = msgspec.msgpack.Decoder(ToEngine)
_from_engine: Final = msgspec.msgpack.Decoder(FromEngine)


def write(stream: IO[bytes], message: ToEngine | FromEngine) -> None:
    """Write one frame and flush it."""
    body = _encoder.encode(message)
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def read_request(stream: IO[bytes]) -> ToEngine | None:
    """Read a frame in the engine process; None at the end of the pipe."""
    body = _read_body(stream)
    return None if body is None else _to_engine.decode(body)


def read_answer(stream: IO[bytes]) -> FromEngine | None:
    """Read a frame in the demo; None if the process is gone."""
    body = _read_body(stream)
    return None if body is None else _from_engine.decode(body)


def _read_body(stream: IO[bytes]) -> bytes | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    assert length <= FRAME_BYTES_MAX, length
    body = stream.read(length)
    return body if len(body) == length else None
