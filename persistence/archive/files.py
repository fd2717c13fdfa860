"""A range of journal rows as a file that needs no program of ours to be read.

Rule of this file: gzip of JSON lines. The first line says what the file is; each further line is one row, with the
columns of the table under their names, `command` and `events` as the very bytes that the digest covers, and the digest
in hexadecimal:

    {"journal":"callmarket","format":1,"shard_id":0,"first_seq":1,"last_seq":2,"digest_before":"00..","digest_after":".."}
    {"seq":1,"epoch":1,"at_us":1700000000000000,"actor":"admin","command_id":"","rules":1,"command":{..},"events":[..],"digest":".."}

`zcat FILE | jq .command` shows the commands. The digest of a row is the SHA-256 of the 32 bytes of the digest before
it, of `seq|at_us|rules|actor|command_id|`, and of the bytes of command and events. A file that no
row of `journal_archives` names is of a prune that was ended in the middle: its rows are still in the table.
"""

import contextlib
import gzip
import os
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec import Raw, Struct

from callmarket.persistence import durable_file
from callmarket.persistence.errors import Corrupt, NoRoom, Unavailable
from callmarket.persistence.journal.protocol import Archive, StoredRow

FORMAT: Final = 1
_SUFFIX: Final = ".jsonl.gz"
# Rows of one chunk of a scan: as many as the table gives at a time.
_CHUNK_ROWS: Final = 10_000
# gzip's usual level: a row takes some 90 bytes, of which its digest, which does not compress, is 40.
_LEVEL: Final = 6


class _Head(Struct, frozen=True, forbid_unknown_fields=True):
    journal: str
    format: int
    shard_id: int
    first_seq: int
    last_seq: int
    digest_before: str
    digest_after: str


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    seq: int
    epoch: int
    at_us: int
    actor: str
    command_id: str
    rules: int
    command: Raw
    events: Raw
    digest: str


def write_archive(folder: Path, shard_id: int, rows: Iterable[Sequence[StoredRow]], empty: Archive) -> Archive:
    """Write rows to a file of their own, under its name only when all of it is on the disk; return the finished record.

    `empty` is the record without the file. The name holds the digest of the last row, so only the same rows of the same
    history can have it: a good file that is there already stays, for another database may have recorded it. All rows
    are read in any case. Raises `Unavailable`.
    """
    name = f"shard{shard_id}-{empty.first_seq:016}-{empty.last_seq:016}-{empty.digest_after.hex()[:16]}{_SUFFIX}"
    with _failing_closed(folder):
        folder.mkdir(parents=True, exist_ok=True)
        durable_file.remove_unfinished(folder, f"shard{shard_id}-")
        written = _is_there(folder, shard_id, empty._replace(file_name=name))
        if written is None:
            with durable_file.appearing(folder / name) as file:
                _write(file, shard_id, rows, empty)
                file.flush()
                size = file.tell()
                file.seek(0)
                checksum = file_digest(file, "sha256").digest()
            written = empty._replace(file_name=name, file_bytes=size, sha256=checksum)
        else:
            deque(rows, maxlen=0)
            # Its writer may have been killed before its name was on the disk.
            durable_file.flush_folder(folder)
        durable_file.flush_folder(folder.parent)
    return written


def read_archive(folder: Path, shard_id: int, archive: Archive) -> Generator[list[StoredRow], None, None]:
    """Yield the rows of a file in chunks. Raises `Corrupt`, which names the file and its first row.

    The whole file is held against its checksum before its first row is given; that the rows continue each other is for
    the chain. About 10 us a row.
    """
    path = folder / archive.file_name
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != archive.file_bytes:
                raise _wrong(path, archive, f"it has {size:,} bytes, {archive.file_bytes:,} were written")
            if file_digest(file, "sha256").digest() != archive.sha256:
                raise _wrong(path, archive, "its checksum is not the one that was recorded")
            file.seek(0)
            with gzip.open(file) as lines:
                yield from _parse(path, shard_id, archive, lines)
    except FileNotFoundError:
        raise _wrong(path, archive, "it is not there") from None
    except (gzip.BadGzipFile, zlib.error, EOFError, msgspec.MsgspecError, ValueError) as error:
        raise _wrong(path, archive, f"its bytes cannot be read: {error}") from error
    except OSError as error:
        raise Unavailable(f"The file of archived rows {path} cannot be read: {error}") from error


def _is_there(folder: Path, shard_id: int, named: Archive) -> Archive | None:
    """The record of a file that an earlier run has left, if it is one."""
    try:
        with (folder / named.file_name).open("rb") as file:
            checksum = file_digest(file, "sha256").digest()
            found = named._replace(file_bytes=file.tell(), sha256=checksum)
        deque(read_archive(folder, shard_id, found), maxlen=0)
    except (FileNotFoundError, Corrupt):
        return None
    return found


def _write(file: BinaryIO, shard_id: int, rows: Iterable[Sequence[StoredRow]], empty: Archive) -> None:
    encoder = msgspec.json.Encoder()
    before, after = empty.digest_before.hex(), empty.digest_after.hex()
    head = _Head("callmarket", FORMAT, shard_id, empty.first_seq, empty.last_seq, before, after)
    # No time and no name in the file: the same rows are the same bytes.
    with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
        packed.write(encoder.encode(head) + b"\n")
        for chunk in rows:
            lines = [_Line(*row[:6], Raw(row.command_json), Raw(row.events_json), row.digest.hex()) for row in chunk]
            packed.write(encoder.encode_lines(lines))


def _parse(
    path: Path, shard_id: int, archive: Archive, lines: Iterator[bytes]
) -> Generator[list[StoredRow], None, None]:
    head = msgspec.json.decode(next(lines, b""), type=_Head)
    before, after = archive.digest_before.hex(), archive.digest_after.hex()
    if head != _Head("callmarket", FORMAT, shard_id, archive.first_seq, archive.last_seq, before, after):
        raise _wrong(path, archive, "its first line is not what was recorded")
    decoder = msgspec.json.Decoder(_Line)
    seq, digest, chunk = archive.first_seq - 1, b"", []
    for line in lines:
        row = decoder.decode(line)
        seq += 1
        if row.seq != seq:
            raise _wrong(path, archive, f"row {row.seq} stands where row {seq} must be")
        digest = bytes.fromhex(row.digest)
        chunk.append(
            StoredRow(
                row.seq,
                row.epoch,
                row.at_us,
                row.actor,
                row.command_id,
                row.rules,
                bytes(row.command),
                bytes(row.events),
                digest,
            )
        )
        if len(chunk) == _CHUNK_ROWS:
            yield chunk
            chunk = []
    if (seq, digest) != (archive.last_seq, archive.digest_after):
        raise _wrong(path, archive, f"it ends with row {seq} or another digest, not with row {archive.last_seq}")
    if chunk:
        yield chunk


def _wrong(path: Path, archive: Archive, fault: str) -> Corrupt:
    return Corrupt(
        f"The archive of rows {archive.first_seq} to {archive.last_seq}, {path}, cannot be used: {fault}. Restore the "
        "file from a copy",
        archive.first_seq,
    )


@contextlib.contextmanager
def _failing_closed(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if durable_file.is_full(error):
            raise NoRoom(
                f"There is no room in the folder of archives {folder}: of the file that was begun nothing is left, and "
                "its rows are still in the journal. Make room, or name another folder, and run it again.",
                0,
            ) from error
        raise Unavailable(f"The folder of archives {folder} cannot be used: {error}") from error
