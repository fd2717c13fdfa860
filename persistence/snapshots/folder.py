"""Snapshots as files in a folder, outside the database.

Rule of this file: a file appears under its name when all of it is on the disk, and never before (`durable_file`). It
begins with one line of JSON that says what it is, and the rest is the compressed image.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from callmarket.persistence import durable_file
from callmarket.persistence.errors import Damaged, NoRoom, Unavailable
from callmarket.persistence.snapshots.store import Info, Snapshot, SnapshotStore, pack, unpack

_SUFFIX: Final = ".snapshot"
# The line at the head of a file is some 300 bytes; garbage may have no end of line.
_HEAD_BYTES_MAX: Final = 4_096


class _Head(Struct, frozen=True, forbid_unknown_fields=True):
    seq: int
    at_us: int
    digest: bytes
    format: int
    rules: int
    image_bytes: int
    stored_bytes: int
    sha256: bytes


class FolderSnapshots(SnapshotStore):
    """The snapshots of one shard as files. Shards may share a folder; the folder is made when it is needed."""

    kind = "folder"

    def __init__(self, folder: Path, shard_id: int) -> None:
        """Remember where; nothing is opened yet."""
        self.folder = folder
        self.shard_id = shard_id
        # Enough digits that the order of names is the order of seqs.
        self._prefix = f"shard{shard_id}-"

    def write(self, snapshot: Snapshot) -> Info:
        """See `SnapshotStore.write`. The same snapshot again takes the place of its file."""
        data, checksum = pack(snapshot, self.shard_id)
        head = _Head(
            snapshot.seq,
            snapshot.at_us,
            snapshot.digest,
            snapshot.format,
            snapshot.rules,
            len(snapshot.image),
            len(data),
            checksum,
        )
        name = f"{self._prefix}{snapshot.seq:016}-{checksum.hex()[:16]}{_SUFFIX}"
        with self._failing_closed(len(data)):
            self.folder.mkdir(parents=True, exist_ok=True)
            durable_file.remove_unfinished(self.folder, self._prefix)
            with durable_file.appearing(self.folder / name) as file:
                file.write(msgspec.json.encode(head) + b"\n")
                file.write(data)
            return self._info(self.folder / name)

    def list(self) -> Sequence[Info]:
        """See `SnapshotStore.list`. A file whose head is garbage is listed by its name, with its fault."""
        with self._failing_closed():
            paths = [*self.folder.glob(f"{self._prefix}*{_SUFFIX}")]
            infos = []
            for path in paths:
                # Another process may be pruning.
                with contextlib.suppress(FileNotFoundError):
                    infos.append(self._info(path))
            return sorted(infos, key=lambda info: (info.seq, info.taken_at, info.name), reverse=True)

    def read(self, info: Info) -> bytes:
        """See `SnapshotStore.read`."""
        with self._failing_closed():
            try:
                content = (self.folder / info.name).read_bytes()
            except FileNotFoundError:
                raise Damaged("it is no longer there") from None
        _, _, data = content.partition(b"\n")
        return unpack(info, data, self.shard_id)

    def delete(self, info: Info) -> None:
        """See `SnapshotStore.delete`."""
        with self._failing_closed():
            (self.folder / info.name).unlink(missing_ok=True)

    def make_room(self, needed_bytes: int, first_seq: int = 1) -> Info | None:
        """See `SnapshotStore.make_room`. Costs the reading of a snapshot."""
        infos = self.list()
        needed = self.needed(infos, None, first_seq)
        may_go = [info for info in infos if info.name not in needed]
        with self._failing_closed():
            room_bytes = shutil.disk_usage(self.folder).free + sum(info.stored_bytes for info in may_go)
        if not may_go or room_bytes < needed_bytes:
            return None
        self.delete(may_go[-1])
        return may_go[-1]

    def close(self) -> None:
        """See `SnapshotStore.close`. Nothing is held open."""

    def _info(self, path: Path) -> Info:
        with path.open("rb") as file:
            taken_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
            line = file.readline(_HEAD_BYTES_MAX)
            size = os.fstat(file.fileno()).st_size - len(line)
        try:
            head = msgspec.json.decode(line, type=_Head)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            digits = path.name.removeprefix(self._prefix).partition("-")[0]
            seq = int(digits) if digits.isascii() and digits.isdigit() else 0
            fault = f"the head of the file is wrong: {error}"
            return Info(path.name, seq, 0, b"", 0, 0, 0, size, b"", taken_at, fault)
        return Info(path.name, taken_at=taken_at, **msgspec.structs.asdict(head))

    @contextlib.contextmanager
    def _failing_closed(self, writes_bytes: int = 0) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if durable_file.is_full(error):
                words = (
                    f"There is no room for a snapshot of {writes_bytes:,} bytes in {self.folder}; nothing of it is left"
                )
                raise NoRoom(words, writes_bytes) from error
            raise Unavailable(f"The folder of snapshots cannot be used: {error}") from error
