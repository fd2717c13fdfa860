"""A disk that is full: what was begun there is not left behind, what is good stays, and the newest snapshot finds room.

Method: folders on a small file system of their own (a tmpfs, which only root can mount), filled to the last byte; and a
PostgreSQL whose data lies on one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from callmarket.persistence import durable_file
from callmarket.persistence.archive.prune import carry_out, plan
from callmarket.persistence.errors import NoRoom
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.recovery import rehearse
from callmarket.persistence.snapshot_follower import Follower, Taken
from callmarket.persistence.snapshots.folder import FolderSnapshots
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from callmarket.persistence.verify import verify
from tests.faults.disk import SETTINGS, NoSmallDisk, fill, small_disk
from tests.support.following import level
from tests.support.own_server import open_own_server
from tests.support.sealed import bids
from tests.support.small_market import until

DISK_BYTES = 4 * 2**20
ROWS = bids(3_000)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a file system of some megabytes."""
    try:
        with small_disk(DISK_BYTES) as folder:
            yield folder
    except NoSmallDisk as error:
        pytest.skip(f"no file system can be mounted here: {error}")


def free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@contextmanager
def filled(disk: Path, but_bytes: int = 0) -> Iterator[None]:
    """The disk has so many bytes left within the block."""
    with (disk / "ballast").open("ab", buffering=0) as file:
        fill(file.fileno())
        if but_bytes:
            os.truncate(file.fileno(), os.fstat(file.fileno()).st_size - but_bytes)
    try:
        yield
    finally:
        (disk / "ballast").unlink()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room_bytes", [0, 65_536])
def test_of_a_file_that_finds_no_room_nothing_is_left(disk: Path, room_bytes: int) -> None:
    with filled(disk, room_bytes):
        with pytest.raises(OSError, match="No space left") as caught, durable_file.appearing(disk / "name") as file:
            file.write(bytes(2**20))
        assert durable_file.is_full(caught.value)
        assert names(disk) == ["ballast"]
        assert free_bytes(disk) >= room_bytes


def test_prune_on_a_full_disk_leaves_nothing_there_and_all_rows_where_they_are(
    disk: Path, database_url: str, tmp_path: Path
) -> None:
    folder, rows = disk / "archive", ROWS[:2_000]
    with (
        PostgresJournal(database_url, 0) as writer,
        PostgresJournal(database_url, 0, reader=True) as journal,
        FolderSnapshots(tmp_path, 0) as snapshots,
    ):
        writer.claim()
        writer.append(rows)
        Follower(journal, snapshots, 3).take()
        writer.append(ROWS[2_000:2_100])
        level(database_url)
        todo = plan(journal, snapshots, 0)
        with filled(disk, 32_768):
            free = free_bytes(disk)
            for _ in range(2):
                with pytest.raises(NoRoom, match=r"no room in the folder of archives .* nothing is left"):
                    carry_out(database_url, journal, snapshots, todo, folder, lambda _: None)
                # The session of the one that failed ends a moment later, and with it the lock of all who prune.
                until(lambda: nobody_prunes(database_url))
                assert names(folder) == []
                assert free_bytes(disk) >= free - os.statvfs(disk).f_frsize, "a folder at the most"
            assert list(journal.read()) == ROWS[:2_100]
        pruned = carry_out(database_url, journal, snapshots, todo, folder, lambda _: None)
        assert names(folder) == [one.file_name for one in pruned.archives]
    report = verify(database_url, 0, folder)
    assert report.ok, report


def nobody_prunes(url: str) -> bool:
    with psycopg.connect(url) as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        return connection.execute(query).fetchone() == (0,)


# --- snapshots -----------------------------------------------------------------------------------------------------


class Kept:
    """A journal in memory, and snapshots of it on the small disk."""

    def __init__(self, disk: Path, keep: int = 3) -> None:
        self.disk = disk
        self.journal = MemoryJournal(MemoryDatabase())
        self.journal.claim()
        self.store = FolderSnapshots(disk / "kept", 0)
        self.keep = keep
        self.rows = 0

    def take(self, rows: int) -> Taken | None:
        """Write some rows, and take a snapshot after them."""
        self.journal.append(ROWS[self.rows : self.rows + rows])
        self.rows += rows
        return Follower(self.journal, self.store, self.keep).take()

    def seqs(self) -> list[int]:
        return [info.seq for info in self.store.list()]

    def damage(self, seq: int) -> None:
        (info,) = [info for info in self.store.list() if info.seq == seq]
        path = self.disk / "kept" / info.name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_the_oldest_snapshot_is_deleted_for_a_new_one(disk: Path) -> None:
    """As many as it takes, and no more; what was taken is good, and is what recovery begins with."""
    kept = Kept(disk)
    for rows in (1_000, 1_000, 400):
        kept.take(rows)
    with filled(disk):
        taken = kept.take(10)
        assert taken is not None
        assert taken.info.seq == 2_410
        assert [info.seq for info in taken.forgotten] == [1_000, 2_000], "the first alone is too small"
        assert kept.seqs() == [2_410, 2_400]
        assert rehearse(kept.journal, kept.store)[0].report.from_seq == 2_410
    assert not [name for name in names(disk / "kept") if name.endswith(".unfinished")]
    kept.take(10)
    kept.take(10)
    assert kept.seqs() == [2_430, 2_420, 2_410]


def test_the_only_good_snapshot_is_never_deleted(disk: Path) -> None:
    """The damaged ones do; and where those are not room enough nothing is forgotten, and nothing is left."""
    kept = Kept(disk)
    for rows in (600, 1_000, 1_000):
        kept.take(rows)
    kept.damage(1_600)
    kept.damage(2_600)
    with filled(disk):
        taken = kept.take(10)
        assert taken is not None
        assert kept.seqs() == [2_610, 600]


@pytest.mark.parametrize("keep", [1, 2])
def test_no_snapshot_is_deleted_where_that_makes_no_room(disk: Path, keep: int) -> None:
    kept = Kept(disk, keep)
    kept.take(50)
    if keep == 2:
        kept.take(50)
    before = kept.seqs()
    with filled(disk):
        for _ in range(2):
            with pytest.raises(NoRoom, match=r"no room for a snapshot of [\d,]+ bytes in .*; nothing of it is left"):
                kept.take(1_000)
            assert kept.seqs() == before
            assert not [name for name in names(disk / "kept") if name.endswith(".unfinished")]
    assert kept.take(1) is not None


def test_the_snapshot_that_a_cut_journal_needs_is_never_deleted(disk: Path) -> None:
    """It is the oldest, and the only one from which the first rows that are left can be told."""
    kept = Kept(disk)
    for rows in (600, 1_000, 1_000):
        kept.take(rows)
    (oldest,) = kept.store.list()[2:]
    gone = kept.store.make_room(1, first_seq=600)
    assert gone is not None
    assert gone.seq == 1_600
    assert kept.store.make_room(1, first_seq=600) is None
    assert kept.seqs() == [2_600, oldest.seq]


@pytest.mark.timeout(300)
def test_in_a_database_whose_disk_is_full_no_snapshot_is_lost() -> None:
    """Deleted rows make no room there before they are vacuumed, for which there is none either: so none is deleted."""
    try:
        with small_disk() as disk, open_own_server(disk / "home") as server:
            server.configure(**SETTINGS)
            with server.market_database() as url:
                _lose_no_snapshot(disk, url)
    except NoSmallDisk as error:
        pytest.skip(f"no file system can be mounted here: {error}")


def _lose_no_snapshot(disk: Path, url: str) -> None:
    with (
        PostgresJournal(url, 0) as writer,
        PostgresJournal(url, 0, reader=True) as journal,
        PostgresSnapshots(url, 0) as store,
    ):
        writer.claim()
        for first in (0, 1_000, 2_000):
            writer.append(ROWS[first : first + 1_000])
            if first < 2_000:
                Follower(journal, store, 3).take()
        with filled(disk):
            for _ in range(2):
                with pytest.raises(NoRoom, match="The database has no room for a snapshot of"):
                    Follower(journal, store, 3).take()
                assert [info.seq for info in store.list()] == [2_000, 1_000]
        assert Follower(journal, store, 3).take() is not None
        assert rehearse(journal, store)[0].report.from_seq == 3_000
