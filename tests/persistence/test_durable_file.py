"""A file is under its name with all of its bytes on the disk, or is not there.

Method: what is asked of the system is noted as it is asked, with what a loss of power would leave at that moment.
"""

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from callmarket.persistence import durable_file
from callmarket.persistence.archive.files import write_archive
from callmarket.persistence.durable_file import appearing, is_full, remove_unfinished
from callmarket.persistence.errors import NoRoom, Unavailable
from callmarket.persistence.journal.protocol import Archive, StoredRow
from callmarket.persistence.snapshots.folder import FolderSnapshots
from callmarket.persistence.snapshots.store import Snapshot
from tests.support.sealed import bids


def test_all_bytes_are_on_the_disk_before_the_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, object]] = []
    fsync, rename = os.fsync, Path.rename

    def flushed(descriptor: int) -> None:
        fsync(descriptor)
        status = os.fstat(descriptor)
        done.append(("folder", status.st_ino) if stat.S_ISDIR(status.st_mode) else ("file", status.st_size))

    def renamed(path: Path, to: Path) -> Path:
        assert not to.exists()
        done.append(("renamed", to))
        return rename(path, to)

    monkeypatch.setattr(durable_file.os, "fsync", flushed)
    monkeypatch.setattr(Path, "rename", renamed)
    path = tmp_path / "file"
    with appearing(path) as file:
        # Less than a buffer takes, so that nothing of it has left the process by itself.
        file.write(b"x" * 1_000)
    assert done == [("file", 1_000), ("renamed", path), ("folder", tmp_path.stat().st_ino)]
    assert path.read_bytes() == b"x" * 1_000


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_its_mode_from_its_first_moment(tmp_path: Path, mode: int) -> None:
    before = os.umask(0)
    try:
        with appearing(tmp_path / "file", mode) as file:
            (unfinished,) = tmp_path.iterdir()
            assert stat.S_IMODE(unfinished.stat().st_mode) == mode
            file.write(b"x")
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode
    finally:
        os.umask(before)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    class Stop(Exception): ...

    def write(end: Exception | None) -> None:
        with appearing(path) as file:
            file.write(b"after")
            file.seek(0)
            assert file.read() == b"after", "it can be read back"
            if end is not None:
                raise end

    with pytest.raises(Stop):
        write(Stop())
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"before"
    write(None)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"after"


def test_files_of_dead_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    """Of one prefix; what is being written is locked until it has its name."""
    left, other, whole = (tmp_path / name for name in ("a-1.unfinished", "b-1.unfinished", "a-1"))
    for path in (left, other, whole):
        path.touch()
    with appearing(tmp_path / "a-2"):
        (living,) = tmp_path.glob("a-2.*")
        with living.open("rb") as again, pytest.raises(BlockingIOError):
            fcntl.flock(again, fcntl.LOCK_SH | fcntl.LOCK_NB)
        remove_unfinished(tmp_path, "a-")
        assert sorted(tmp_path.iterdir()) == sorted([other, whole, living])
    assert (tmp_path / "a-2").exists()


def test_no_room_is_distinguished_from_other_failures() -> None:
    full = [
        name for name in ("ENOSPC", "EDQUOT", "EIO", "EACCES", "EROFS") if is_full(OSError(getattr(errno, name), ""))
    ]
    assert full == ["ENOSPC", "EDQUOT"]


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EIO"])
@pytest.mark.parametrize("kind", ["archive", "snapshot"])
def test_who_writes_files_says_whether_there_was_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """On the disk, or within a quota; of any other failure the folder is named as well, and nothing is left."""
    end = StoredRow.of(bids(0)[-1], 1)
    archive = Archive(end.seq, end.seq, 1, end.at_us, bytes(32), end.digest, "", 0, b"")

    def fail(_: int) -> None:
        raise OSError(getattr(errno, name), "as asked")

    monkeypatch.setattr(durable_file.os, "fsync", fail)
    write = {
        "archive": lambda: write_archive(tmp_path / "kept", 0, [[end]], archive),
        "snapshot": lambda: FolderSnapshots(tmp_path / "kept", 0).write(Snapshot(1, 1, bytes(32), b"image")),
    }[kind]
    with pytest.raises(Unavailable, match="cannot be used" if name == "EIO" else "There is no room") as caught:
        write()
    assert type(caught.value) is (Unavailable if name == "EIO" else NoRoom)
    assert list((tmp_path / "kept").iterdir()) == []
