"""What the two processes say to each other: requests and answers, one after the other, over a pair of sockets.

Rule of this file: bytes and their form. One request is under way at a time, and each has exactly one answer.
"""

import socket
import struct
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import (
    AccessDenied,
    Archived,
    Corrupt,
    Diverged,
    Fenced,
    Gap,
    PersistenceError,
    ReadOnly,
    Unavailable,
)
from callmarket.persistence.journal.protocol import Position, StoredRow
from callmarket.persistence.tables.table_writer import Progress

# A batch is 16 MB of journal, or one row of any size: a call of ten thousand slots is 5 MB.
MESSAGE_BYTES_MAX: Final = 256 * 2**20
_SIZE: Final = struct.Struct(">I")
# A message of usual size comes in one read: each read may have to wait for the interpreter.
_READ_BYTES: Final = 2**20


class Open(Struct, frozen=True, array_like=True, tag="open"):
    """Comes first: which journal. Not as an argument of the process, which everybody can read: a URL has a password."""

    url: str
    shard_id: int
    epoch: int


class OpenTables(Struct, frozen=True, array_like=True, tag="open_tables"):
    """Comes first, instead: whose tables are to be brought along, in the name of this epoch."""

    url: str
    shard_id: int
    epoch: int


class Append(Struct, frozen=True, array_like=True, tag="append"):
    """Write these rows, which follow row `after_seq` with this digest: see `RowWriter.append`."""

    rows: list[StoredRow]
    after_seq: int
    digest_before: bytes


class Look(Struct, frozen=True, array_like=True, tag="look"):
    """Say where the journal ends."""


class Project(Struct, frozen=True, array_like=True, tag="project"):
    """Bring the tables along: see `TableWriter.project`."""


class LogLine(Struct, frozen=True, array_like=True):
    """What the process would have logged: the log is its parent's."""

    logger: str
    level: int
    text: str


class Done(Struct, frozen=True, array_like=True, tag="done"):
    """It was done; `position` answers `Look`, and `progress` answers `Project`."""

    position: Position | None = None
    log: list[LogLine] = []
    progress: Progress | None = None


class Failed(Struct, frozen=True, array_like=True, tag="failed"):
    """It was not: the error, as `persistence.errors` calls it."""

    kind: str
    message: str
    seq: int | None = None
    log: list[LogLine] = []


Request = Open | OpenTables | Append | Look | Project
Answer = Done | Failed

# What a writer may meet; everything else is told as their root, which stops it.
_KINDS: Final = {
    kind.__name__: kind
    for kind in (PersistenceError, Unavailable, ReadOnly, AccessDenied, Fenced, Gap, Corrupt, Diverged, Archived)
}
_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)
_answers: Final[msgspec.msgpack.Decoder[Answer]] = msgspec.msgpack.Decoder(Answer)


def append_request(rows: Sequence[SealedRow], epoch: int) -> Append:
    """The request to write these rows. Under a microsecond a row."""
    first = rows[0]
    return Append([StoredRow.of(row, epoch) for row in rows], first.entry.after_seq, first.digest_before)


def failed(error: PersistenceError, log: list[LogLine]) -> Failed:
    """The answer that tells of an error."""
    kind = type(error).__name__
    seq = error.seq if isinstance(error, Corrupt | Diverged) else None
    return Failed(kind if kind in _KINDS else PersistenceError.__name__, str(error), seq, log)


def error_of(answer: Failed) -> PersistenceError:
    """The error that an answer tells of."""
    kind = _KINDS[answer.kind]
    return kind(answer.message, answer.seq) if issubclass(kind, Corrupt | Diverged) else kind(answer.message)


def send(line: socket.socket, message: Request | Answer) -> None:
    """Send one message. Raises `OSError` where nobody is there."""
    data = _encoder.encode(message)
    assert len(data) <= MESSAGE_BYTES_MAX, len(data)
    line.sendall(_SIZE.pack(len(data)) + data)


def receive_request(line: socket.socket) -> Request:
    """Wait for the next request. Raises `EOFError` or `OSError` where nobody is there any more."""
    return _requests.decode(_receive(line))


def receive_answer(line: socket.socket) -> Answer:
    """Wait for the answer. Raises as `receive_request`."""
    return _answers.decode(_receive(line))


def _receive(line: socket.socket) -> bytes:
    data = b""
    while len(data) < _SIZE.size:
        data += _read(line)
    (size,) = _SIZE.unpack_from(data)
    assert size <= MESSAGE_BYTES_MAX, size
    parts, missing = [data[_SIZE.size :]], _SIZE.size + size - len(data)
    while missing > 0:
        parts.append(_read(line))
        missing -= len(parts[-1])
    assert missing == 0, "more came than was asked for"
    return b"".join(parts)


def _read(line: socket.socket) -> bytes:
    data = line.recv(_READ_BYTES)
    if not data:
        raise EOFError
    return data
