"""Rows that were acknowledged and that the journal lacks, as a process that still has them writes them down.

Rule of this file: bounded, and whole or not there. The first line says of which market and which rows; each further one
is a row: JSON, so that a person can read what was lost. Digests are left out: they continue a history that is no more.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw, Struct

from callmarket.engine.codec import decode_command, decode_events, encode
from callmarket.engine.commands import Command, Entry
from callmarket.engine.events import Events
from callmarket.persistence import durable_file
from callmarket.persistence.errors import Corrupt
from callmarket.persistence.journal.protocol import StoredRow
from callmarket.persistence.loss.high_water import Where

logger: Final = logging.getLogger(__name__)

# What a standby keeps of the rows that it has applied: some seconds of full load, as the ring of a leader's feed.
ROWS_MAX: Final = 20_000
BYTES_MAX: Final = 32 * 2**20
# The largest row is a call of ten thousand slots.
LINE_BYTES_MAX: Final = 16 * 2**20

_PREFIX: Final = "lost-"
_SUFFIX: Final = ".jsonl"


class Head(Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of lost rows is: `rows` lines follow, from `first_seq` to `last_seq`."""

    market_id: str
    shard_id: int
    first_seq: int
    last_seq: int
    rows: int


class LostRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A row that was acknowledged."""

    seq: int
    at_us: int
    actor: str
    command_id: str
    command: Raw
    events: Raw

    @classmethod
    def of(cls, entry: Entry, events: Events) -> "LostRow":
        """A row as a leader has it in memory."""
        return cls(
            entry.seq, entry.at_us, entry.actor, entry.command_id, Raw(encode(entry.command)), Raw(encode(events))
        )

    @classmethod
    def of_stored(cls, row: StoredRow) -> "LostRow":
        """A row as a standby has read it."""
        return cls(row.seq, row.at_us, row.actor, row.command_id, Raw(row.command_json), Raw(row.events_json))

    def asked(self) -> Command:
        """Decode and check the command. Raises `Corrupt`."""
        try:
            return decode_command(bytes(self.command))
        except msgspec.MsgspecError as error:
            raise Corrupt(f"Row {self.seq} of the file: the command cannot be decoded: {error}", self.seq) from error

    def caused(self) -> Events:
        """Decode the events. Raises `Corrupt`."""
        try:
            return decode_events(bytes(self.events))
        except msgspec.MsgspecError as error:
            raise Corrupt(f"Row {self.seq} of the file: the events cannot be decoded: {error}", self.seq) from error


class Recent:
    """The latest rows that a standby has applied, in order; the oldest leave beyond the bounds."""

    __slots__ = ("_bytes", "_rows")

    def __init__(self) -> None:
        """Begin empty."""
        self._rows: Final[deque[StoredRow]] = deque()
        self._bytes = 0

    def add(self, row: StoredRow) -> None:
        """Keep the next row. O(1). A recovery that begins again, from another snapshot, gives the same rows anew."""
        if self._rows and row.seq <= self._rows[-1].seq:
            self._rows.clear()
            self._bytes = 0
        self._rows.append(row)
        self._bytes += _size(row)
        while len(self._rows) > ROWS_MAX or self._bytes > BYTES_MAX:
            self._bytes -= _size(self._rows.popleft())

    def after(self, seq: int) -> list[LostRow]:
        """Those after a seq. O(rows)."""
        return [LostRow.of_stored(row) for row in self._rows if row.seq > seq]

    def last_common(self, journal: Where) -> int:
        """The last of them that the journal has as it is; the one before the first where it has none of them.

        O(log rows) questions. Raises `Unavailable`.
        """
        rows, low, high = list(self._rows), 0, len(self._rows)
        while low < high:
            middle = (low + high) // 2
            found = journal.row_at(rows[middle].seq)
            if found is not None and found.digest == rows[middle].digest:
                low = middle + 1
            else:
                high = middle
        if low:
            return rows[low - 1].seq
        return rows[0].seq - 1 if rows else 0


def write(folder: Path, market_id: str, shard_id: int, rows: Sequence[LostRow]) -> Path:
    """Write them to a file, named by the market and the rows; one that is there is left. Raises `OSError`."""
    first, last = rows[0].seq, rows[-1].seq
    path = folder / f"{_PREFIX}{market_id}-shard{shard_id}-{first}-{last}{_SUFFIX}"
    if path.exists():
        return path
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with durable_file.appearing(path, mode=0o600) as file:
        file.write(msgspec.json.encode(Head(market_id, shard_id, first, last, len(rows))) + b"\n")
        for row in rows:
            file.write(msgspec.json.encode(row) + b"\n")
    return path


def save(folder: Path | None, market_id: str, shard_id: int, rows: Sequence[LostRow]) -> str:
    """Write them and say so, as the end of a sentence; or that it has none. Never raises.

    Anybody may hear it, so the log alone says where on this machine, as does `callmarket accept-loss`.
    """
    if not rows:
        return " This process has none of them in memory."
    if folder is None:
        return f" This process has rows {rows[0].seq} to {rows[-1].seq} in memory, and no folder for them."
    try:
        path = write(folder, market_id, shard_id, rows)
    except OSError as error:
        logger.error("lost rows cannot be written: %s", error)  # noqa: TRY400 -- where is all that matters
        return f" This process has rows {rows[0].seq} to {rows[-1].seq} in memory, and cannot write them: see its log."
    logger.warning("lost rows are in %s", path)
    return f" Rows {rows[0].seq} to {rows[-1].seq} are in {path.name}: `callmarket replay-lost` does them again."


def files(folder: Path, market_id: str, shard_id: int) -> list[Path]:
    """The files of lost rows of a market in a folder, by name."""
    return sorted(folder.glob(f"{_PREFIX}{market_id}-shard{shard_id}-*{_SUFFIX}"))


def read(path: Path) -> tuple[Head, list[LostRow]]:
    """A file of lost rows, checked against its head. Raises `Corrupt`, and `OSError`."""
    with path.open("rb") as file:
        lines = _lines(file)
        try:
            head = msgspec.json.decode(next(lines, b""), type=Head)
            rows = [msgspec.json.decode(line, type=LostRow) for line in lines]
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Corrupt(f"{path} is no file of lost rows: {error}") from error
    if not rows or (head.first_seq, head.last_seq, head.rows) != (rows[0].seq, rows[-1].seq, len(rows)):
        raise Corrupt(f"{path} does not have the rows that its first line names")
    return head, rows


def _lines(file: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(file):
        if number > ROWS_MAX or len(line) > LINE_BYTES_MAX:
            raise Corrupt(f"a file of lost rows has at most {ROWS_MAX} rows of {LINE_BYTES_MAX} bytes")
        yield line


def _size(row: StoredRow) -> int:
    return len(row.command_json) + len(row.events_json)
