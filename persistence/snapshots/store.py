"""What a snapshot is, and how whatever keeps it behaves.

Rule of this file: a snapshot is read back as it was written, or it is `Damaged`. One SHA-256 covers the image and all
that is said about it. There are two stores, `postgres.PostgresSnapshots` and `folder.FolderSnapshots`; one suite of
tests runs on both.
"""

import zlib
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal, Protocol, Self

from msgspec import Struct

from callmarket.engine.image import FORMAT, ImageError
from callmarket.engine.limits import RULES
from callmarket.engine.state import State
from callmarket.persistence.errors import Damaged
from callmarket.persistence.journal.protocol import StoredRow

# zlib, because it is in every Python and unpacks faster than an image can be decoded; its fastest level, because the
# next ones take two to four times as long for a twentieth of the size.
_LEVEL: Final = 1


class Snapshot(Struct, frozen=True):
    """An image of the state after row `seq`, and the digest of that row: where it belongs in which history."""

    seq: int
    at_us: int
    digest: bytes
    image: bytes
    format: int = FORMAT
    rules: int = RULES


class Info(Struct, frozen=True):
    """A snapshot that is kept, without its image. `name` is what its store calls it.

    `rules` says which program took it and decides nothing: state is state. `fault` says why the rest cannot be read,
    where that is known without reading the image.
    """

    name: str
    seq: int
    at_us: int
    digest: bytes
    format: int
    rules: int
    image_bytes: int
    stored_bytes: int
    sha256: bytes
    taken_at: datetime
    fault: str = ""


class SnapshotStore(Protocol):
    """Where the snapshots of one shard lie. Every method may raise `Unavailable`."""

    kind: Literal["database", "folder"]
    """What the record of an archive says of it: a database can see to its own snapshots only."""

    def write(self, snapshot: Snapshot) -> Info:
        """Keep a snapshot, all of it or nothing; return when it is where a reader finds it. Raises `NoRoom`."""

    def list(self) -> Sequence[Info]:
        """All that are kept, newest first: by seq, and of one seq the last written first. Reads no image."""

    def read(self, info: Info) -> bytes:
        """The image as it was written. Raises `Damaged`, also if it is no longer there."""

    def delete(self, info: Info) -> None:
        """Delete a snapshot. Idempotent."""

    def close(self) -> None:
        """Release connections and other resources. Never raises."""

    def __enter__(self) -> Self:
        """Use it as a context manager: the end of the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def prune(self, keep: int, proved: Info | None = None, first_seq: int = 1) -> Sequence[Info]:
        """Forget all but the newest `keep`, and return what was forgotten.

        `proved`, which the caller has just read back, is kept wherever it stands: snapshots of a longer history that
        was lost would stand before it. Without it, one whole snapshot is kept even if it is older than `keep` damaged
        ones. Where the journal begins at `first_seq`, because older rows were archived, that is one from which it can
        be recovered; and the oldest such one stays, as what the cut was made for. Costs the reading of the newest, and
        of more only where that is damaged.
        """
        assert keep >= 1, keep
        infos = self.list()
        if len(infos) <= keep:
            return []
        needed = self.needed(infos, proved, first_seq)
        forgotten = [info for info in infos[keep:] if info.name not in needed]
        for info in forgotten:
            self.delete(info)
        return forgotten

    def make_room(self, _needed_bytes: int, _first_seq: int = 1) -> Info | None:
        """Forget the oldest one, because a new one of `needed_bytes` found no room, and return it.

        None, and nothing is forgotten, where that would not make room, or none may go: what `prune` keeps in any case
        is kept here too. So it is in a database, whose deleted rows take their room until they are vacuumed, for which
        a full disk has none.
        """
        return None

    def needed(self, infos: Sequence[Info], proved: Info | None, first_seq: int) -> set[str]:
        """The names of those that stay: a good one, and the one that a cut journal was cut for."""
        starts = [info for info in infos if info.seq >= first_seq]
        saved = proved or next((info for info in starts if is_whole(self, info)), None)
        return {info.name for info in (saved, *(starts[-1:] if first_seq > 1 else ())) if info is not None}


def is_whole(store: SnapshotStore, info: Info) -> bool:
    """Whether this program can read a snapshot and its bytes are those that were written."""
    try:
        check_readable(info)
        store.read(info)
    except Damaged:
        return False
    return True


def pack(snapshot: Snapshot, shard_id: int) -> tuple[bytes, bytes]:
    """The bytes to keep, and the checksum. O(image)."""
    return zlib.compress(snapshot.image, _LEVEL), _checksum(snapshot, shard_id)


def unpack(info: Info, data: bytes, shard_id: int) -> bytes:
    """The image from the bytes that were kept. Raises `Damaged`. O(image), whatever the bytes claim to be."""
    if len(data) != info.stored_bytes or info.image_bytes < 1:
        raise Damaged(f"{len(data):,} bytes are there, {info.stored_bytes:,} were written")
    unpacking = zlib.decompressobj()
    try:
        image = unpacking.decompress(data, info.image_bytes)
    except zlib.error as error:
        raise Damaged(f"the bytes cannot be unpacked: {error}") from error
    snapshot = Snapshot(info.seq, info.at_us, info.digest, image, info.format, info.rules)
    if not unpacking.eof or len(image) != info.image_bytes or _checksum(snapshot, shard_id) != info.sha256:
        raise Damaged("the checksum is not that of the image and of what is said about it")
    return image


def check_readable(info: Info) -> None:
    """Check what can be known without the image: that this program reads such a snapshot. Raises `Damaged`."""
    if info.fault:
        raise Damaged(info.fault)
    if info.format != FORMAT:
        raise Damaged(f"the image has format {info.format}, and this program reads {FORMAT}")


def belongs(info: Info, row: StoredRow | None) -> StoredRow:
    """The journal row that a snapshot was taken after, if it is the one there. Raises `Damaged`."""
    if row is None:
        raise Damaged(f"it is of another history: this journal has no row {info.seq}")
    if (row.digest, row.at_us) != (info.digest, info.at_us):
        raise Damaged(f"it is of another history: row {info.seq} of this journal has another digest or time")
    return row


def state_of(info: Info, image: bytes) -> State:
    """The state of an image, unchecked. Raises `Damaged`. O(state)."""
    try:
        state = State.decode(image)
    except ImageError as error:
        raise Damaged(str(error)) from error
    if (state.seq, state.at_us) != (info.seq, info.at_us):
        raise Damaged(f"the state is that after row {state.seq} at {state.at_us} us, not after row {info.seq}")
    return state


def info_of(snapshot: Snapshot, name: str, stored_bytes: int, checksum: bytes, taken_at: datetime) -> Info:
    """What a store says of a snapshot that it has written."""
    return Info(
        name,
        snapshot.seq,
        snapshot.at_us,
        snapshot.digest,
        snapshot.format,
        snapshot.rules,
        len(snapshot.image),
        stored_bytes,
        checksum,
        taken_at,
    )


def _checksum(snapshot: Snapshot, shard_id: int) -> bytes:
    header = f"{shard_id}|{snapshot.seq}|{snapshot.at_us}|{snapshot.format}|{snapshot.rules}|{len(snapshot.image)}|"
    digest = sha256(header.encode() + snapshot.digest)
    digest.update(snapshot.image)
    return digest.digest()
