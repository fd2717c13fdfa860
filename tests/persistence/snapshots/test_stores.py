"""One suite for every store of snapshots: what goes in comes out, or is `Damaged`.

Goal: decision 11 of docs/decisions, that a snapshot is read back as it was written or not at all. Method: the same
tests on PostgreSQL and on a folder; damage is done to the stored bytes, behind the store's back.
"""

import contextlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import msgspec
import psycopg
import pytest

from callmarket.engine.image import FORMAT
from callmarket.persistence.errors import Damaged, Unavailable
from callmarket.persistence.snapshots import folder as folder_module
from callmarket.persistence.snapshots import postgres
from callmarket.persistence.snapshots.folder import FolderSnapshots
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from callmarket.persistence.snapshots.store import Info, Snapshot, SnapshotStore
from tests.support.sealed import bids


@dataclass
class Place:
    """A store, and the ways to spoil what lies in it."""

    store: SnapshotStore
    other_shard: SnapshotStore
    read_stored: Callable[[Info], bytes]
    write_stored: Callable[[Info, bytes], None]
    change_head: Callable[[Info, str, object], None]


def folder_place(folder: Path) -> Place:
    def split(info: Info) -> tuple[bytes, bytes]:
        head, _, data = (folder / info.name).read_bytes().partition(b"\n")
        return head, data

    def write_stored(info: Info, data: bytes) -> None:
        (folder / info.name).write_bytes(split(info)[0] + b"\n" + data)

    def change_head(info: Info, field: str, value: object) -> None:
        head, data = split(info)
        changed = msgspec.json.encode({**msgspec.json.decode(head), field: value})
        (folder / info.name).write_bytes(changed + b"\n" + data)

    return Place(
        FolderSnapshots(folder, 0),
        FolderSnapshots(folder, 1),
        lambda info: split(info)[1],
        write_stored,
        change_head,
    )


def postgres_place(url: str, connection: psycopg.Connection) -> Place:
    def execute(statement: str, values: tuple[object, ...]) -> list[tuple]:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []

    def read_stored(info: Info) -> bytes:
        rows = execute("SELECT data FROM snapshot_chunks WHERE snapshot_id = %s ORDER BY chunk_no", (int(info.name),))
        return b"".join(data for (data,) in rows)

    def write_stored(info: Info, data: bytes) -> None:
        """All chunks but the last keep their size."""
        size = postgres.CHUNK_BYTES
        (chunks,) = execute("SELECT chunks FROM snapshots WHERE snapshot_id = %s", (int(info.name),))[0]
        for number in range(chunks):
            end = (number + 1) * size if number + 1 < chunks else len(data)
            execute(
                "UPDATE snapshot_chunks SET data = %s WHERE snapshot_id = %s AND chunk_no = %s",
                (data[number * size : end], int(info.name), number),
            )

    def change_head(info: Info, field: str, value: object) -> None:
        execute(f"UPDATE snapshots SET {field} = %s WHERE snapshot_id = %s", (value, int(info.name)))

    return Place(PostgresSnapshots(url, 0), PostgresSnapshots(url, 1), read_stored, write_stored, change_head)


@pytest.fixture(params=["postgres", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    if request.param == "folder":
        yield folder_place(tmp_path / "deep" / "snapshots")
        return
    # Small, so that a snapshot of a few hundred bytes has several.
    monkeypatch.setattr(postgres, "CHUNK_BYTES", 100)
    url = request.getfixturevalue("database_url")
    with psycopg.connect(url, autocommit=True) as connection:
        made = postgres_place(url, connection)
        yield made
        made.store.close()
        made.other_shard.close()


def snapshot(seq: int, size: int = 3_000) -> Snapshot:
    """A snapshot of bytes that cannot be made much smaller."""
    return Snapshot(seq, 1_000 + seq, bytes([seq % 256]) * 32, random.Random(seq).randbytes(size))


def seqs(store: SnapshotStore) -> list[int]:
    return [info.seq for info in store.list()]


def test_a_snapshot_is_read_back_as_it_was_written(place: Place) -> None:
    store = place.store
    assert store.list() == []
    for size in (1, 99, 100, 101, 5_000):
        one = snapshot(size, size)
        info = store.write(one)
        assert store.read(info) == one.image
        assert (info.seq, info.at_us, info.digest, info.format, info.rules) == (
            one.seq,
            one.at_us,
            one.digest,
            one.format,
            one.rules,
        )
        assert info.image_bytes == size
        assert info.stored_bytes == len(place.read_stored(info))
    assert seqs(store) == [5_000, 101, 100, 99, 1]
    assert [store.read(info) for info in store.list()] == [snapshot(seq, seq).image for seq in seqs(store)]


def test_the_list_says_what_writing_said(place: Place) -> None:
    written = [place.store.write(snapshot(seq)) for seq in (3, 1, 2)]
    assert list(place.store.list()) == sorted(written, key=lambda info: -info.seq)


def test_a_seq_may_be_written_again(place: Place) -> None:
    """A damaged snapshot must not stand in the way of a good one."""
    first = place.store.write(snapshot(7))
    place.write_stored(first, b"x" * first.stored_bytes)
    again = place.store.write(snapshot(7))
    newest = place.store.list()[0]
    assert newest == again
    assert place.store.read(newest) == snapshot(7).image


def test_shards_do_not_see_each_other(place: Place) -> None:
    place.store.write(snapshot(1))
    assert place.other_shard.list() == []
    other = place.other_shard.write(snapshot(1))
    place.other_shard.prune(1)
    place.other_shard.delete(other)
    assert seqs(place.store) == [1]


def test_a_deleted_one_is_gone_and_may_be_deleted_again(place: Place) -> None:
    info = place.store.write(snapshot(1))
    place.store.delete(info)
    place.store.delete(info)
    assert place.store.list() == []
    with pytest.raises(Damaged, match="no longer there"):
        place.store.read(info)


def test_a_flipped_byte_anywhere_is_found(place: Place, seed: int) -> None:
    """Decision 11 of docs/decisions: the bytes of each chunk are covered, or unpack to the very same image."""
    info = place.store.write(snapshot(1, 400))
    stored = place.read_stored(info)
    # The ends of all chunks, and places in between.
    ends = [at for at in range(len(stored)) if at % 100 in (0, 99)]
    same = 0
    for at in {*ends, *random.Random(seed).sample(range(len(stored)), 40), len(stored) - 1}:
        place.write_stored(info, stored[:at] + bytes([stored[at] ^ 0x10]) + stored[at + 1 :])
        with contextlib.suppress(Damaged):
            assert place.store.read(info) == snapshot(1, 400).image
            same += 1
    # Only zlib's own framing has bits that mean nothing.
    assert same <= 3
    place.write_stored(info, stored)
    assert place.store.read(info) == snapshot(1, 400).image


@pytest.mark.parametrize("kept", ["nothing", "half", "all but a byte", "a byte more", "garbage"])
def test_bytes_that_are_fewer_more_or_others_are_found(place: Place, kept: str) -> None:
    info = place.store.write(snapshot(1))
    stored = place.read_stored(info)
    spoiled = {
        "nothing": b"",
        "half": stored[: len(stored) // 2],
        "all but a byte": stored[:-1],
        "a byte more": stored + b"x",
        "garbage": random.Random(1).randbytes(len(stored)),
    }[kept]
    place.write_stored(info, spoiled)
    with pytest.raises(Damaged):
        place.store.read(info)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seq", 2),
        ("at_us", 1),
        ("format", FORMAT + 1),
        ("rules", 99),
        ("image_bytes", 2_999),
        ("image_bytes", 3_001),
        ("stored_bytes", 17),
    ],
)
def test_the_checksum_covers_the_description_of_an_image_too(place: Place, field: str, value: int) -> None:
    """The checksum is over the head as well: a snapshot cannot claim another place or another format."""
    place.change_head(place.store.write(snapshot(1)), field, value)
    (info,) = place.store.list()
    assert getattr(info, field) == value
    with pytest.raises(Damaged):
        place.store.read(info)


def test_another_shards_snapshot_is_not_ours(place: Place) -> None:
    """The shard is in the checksum."""
    ours, theirs = place.store.write(snapshot(1)), place.other_shard.write(snapshot(1))
    place.write_stored(ours, place.read_stored(theirs))
    assert place.store.read(ours) == snapshot(1).image
    with pytest.raises(Damaged):
        place.other_shard.read(msgspec.structs.replace(theirs, sha256=ours.sha256))


def test_pruning_keeps_the_newest(place: Place) -> None:
    for seq in (1, 5, 3, 4, 2):
        place.store.write(snapshot(seq))
    assert [info.seq for info in place.store.prune(3)] == [2, 1]
    assert seqs(place.store) == [5, 4, 3]
    assert place.store.prune(3) == []
    assert [info.seq for info in place.store.prune(1)] == [4, 3]
    assert seqs(place.store) == [5]


def test_pruning_never_takes_the_last_good_one(place: Place) -> None:
    """Whatever is damaged, one snapshot from which recovery can go stays."""
    infos = [place.store.write(snapshot(seq)) for seq in (1, 2, 3, 4)]
    for info in infos[2:]:
        place.write_stored(info, b"x" * info.stored_bytes)
    place.store.prune(1)
    assert seqs(place.store) == [4, 2]
    place.change_head(infos[3], "format", FORMAT + 1)
    place.store.prune(1)
    assert seqs(place.store) == [4, 2]


def test_pruning_keeps_one_that_this_version_can_read(place: Place) -> None:
    """Beside whole ones of a newer version, which was here for a while: whoever goes back to ours recovers from it."""
    for seq in (1, 2):
        place.store.write(snapshot(seq))
    place.store.write(msgspec.structs.replace(snapshot(3), format=FORMAT + 1))
    assert [info.seq for info in place.store.prune(1)] == [1]
    assert seqs(place.store) == [3, 2]


def test_pruning_keeps_what_was_just_proved(place: Place) -> None:
    """After a database was restored, snapshots of the history that was lost may stand before ours."""
    for seq in (100, 101, 102):
        place.store.write(snapshot(seq))
    ours = place.store.write(snapshot(50))
    place.store.write(snapshot(40))
    assert [info.seq for info in place.store.prune(2, ours)] == [100, 40]
    assert seqs(place.store) == [102, 101, 50]


def test_pruning_to_nothing_is_a_mistake(place: Place) -> None:
    with pytest.raises(AssertionError):
        place.store.prune(0)


def test_a_missing_chunk_is_named(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "CHUNK_BYTES", 1_000)
    store = PostgresSnapshots(database_url, 0)
    for chunk_no in range(3):
        info = store.write(snapshot(chunk_no + 1, 2_500))
        with psycopg.connect(database_url) as connection:
            done = connection.execute(
                "DELETE FROM snapshot_chunks WHERE snapshot_id = %s AND chunk_no = %s", (int(info.name), chunk_no)
            )
            assert done.rowcount == 1
        with pytest.raises(Damaged, match=f"chunk {chunk_no} of 3 is missing"):
            store.read(info)
    store.close()


def test_a_snapshot_that_breaks_off_leaves_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One snapshot is one transaction: a reader never finds one with chunks that are still to come."""
    monkeypatch.setattr(postgres, "CHUNK_BYTES", 1_000)
    store = PostgresSnapshots(database_url, 0)
    store.write(snapshot(1, 2_500))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE snapshot_chunks ADD CONSTRAINT only_two CHECK (chunk_no < 2) NOT VALID")
        with pytest.raises(Unavailable, match="only_two"):
            store.write(snapshot(2, 2_500))
        assert seqs(store) == [1]
        assert connection.execute("SELECT count(*) FROM snapshot_chunks").fetchone() == (3,)
    store.close()


def test_chunks_that_changed_places_are_found(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "CHUNK_BYTES", 1_000)
    store = PostgresSnapshots(database_url, 0)
    info = store.write(snapshot(1, 2_500))
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE snapshot_chunks AS one SET data = two.data FROM snapshot_chunks AS two "
            "WHERE (one.chunk_no, two.chunk_no) IN ((0, 1), (1, 0))"
        )
    with pytest.raises(Damaged, match=r"unpacked|checksum"):
        store.read(info)
    store.close()


def test_a_database_that_is_away_is_unavailable_and_comes_back(database_url: str) -> None:
    store = PostgresSnapshots(database_url, 0)
    info = store.write(snapshot(1))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'callmarket snapshots 0'"
        )
    with pytest.raises(Unavailable):
        store.read(info)
    assert store.read(info) == snapshot(1).image
    store.close()


def test_the_reader_role_may_read_snapshots(database_url: str) -> None:
    """As at all other tables: nothing in an image is secret to who may read the tables."""
    with psycopg.connect(database_url) as connection:
        for table in ("snapshots", "snapshot_chunks"):
            (allowed,) = connection.execute(
                "SELECT has_table_privilege('callmarket_reader', %s, 'SELECT')", (table,)
            ).fetchone()
            assert allowed


@pytest.mark.parametrize("end", ["killed", "interrupted"])
def test_a_file_appears_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """Before the renaming there is an unfinished file that nobody reads.

    Who is interrupted removes it; who is killed cannot, and the next writer does.
    """
    store = FolderSnapshots(tmp_path, 0)
    left = tmp_path / "none"

    def ended(unfinished: Path, _: object) -> None:
        nonlocal left
        left = unfinished
        if end == "killed":
            # A kill leaves it there: nothing runs after it.
            monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(Path, "rename", ended)
        with pytest.raises(KeyboardInterrupt):
            store.write(snapshot(1))
    monkeypatch.undo()
    assert left.name.endswith(".unfinished")
    assert left.exists() == (end == "killed")
    assert store.list() == []
    store.write(snapshot(2))
    assert not left.exists()
    assert seqs(store) == [2]


def test_a_file_that_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    import fcntl

    unfinished = tmp_path / "shard0-0000000000000001-x.snapshot.1.unfinished"
    with unfinished.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        FolderSnapshots(tmp_path, 0).write(snapshot(2))
        assert unfinished.exists()
    FolderSnapshots(tmp_path, 0).write(snapshot(3))
    assert not unfinished.exists()


@pytest.mark.parametrize("content", [b"", b"\n", b"garbage", b"{}\n", b"\xff\xfe\n", b"x" * 10_000, b'{"seq":1}\nx'])
def test_a_file_of_garbage_is_listed_with_its_fault(tmp_path: Path, content: bytes) -> None:
    store = FolderSnapshots(tmp_path, 0)
    good = store.write(snapshot(3))
    (tmp_path / "shard0-0000000000000007-beef.snapshot").write_bytes(content)
    (tmp_path / "shard0-nonsense.snapshot").write_bytes(content)
    (tmp_path / "notes.txt").write_bytes(content)
    infos = store.list()
    assert [info.seq for info in infos] == [7, 3, 0]
    assert re.search("head of the file is wrong", infos[0].fault)
    assert infos[1] == good
    with pytest.raises(Damaged):
        store.read(infos[0])


@pytest.mark.parametrize(
    ("free_bytes", "needed_bytes", "goes"),
    [(0, 3_000, 1), (0, 6_000, 1), (0, 7_000, None), (1_000, 7_000, 1), (10**9, 10**9, 1), (0, 10**9, None)],
)
def test_the_oldest_snapshot_is_deleted_where_that_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, needed_bytes: int, goes: int | None
) -> None:
    """Of those that may go, all together; the newest good one never does."""
    store = FolderSnapshots(tmp_path, 0)
    for seq in (1, 2, 3):
        store.write(snapshot(seq))
    monkeypatch.setattr(folder_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=free_bytes))
    gone = store.make_room(needed_bytes)
    assert (None if gone is None else gone.seq) == goes
    assert seqs(store) == ([3, 2, 1] if goes is None else [3, 2])
    if goes is not None:
        gone = store.make_room(1)
        assert gone is not None
        assert gone.seq == 2
        assert store.make_room(1) is None
        assert seqs(store) == [3]


def test_a_snapshot_file_with_a_wrong_head_is_listed_with_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "shard0-0000000000000007-beef.snapshot").write_bytes(b"garbage\n" + bytes(100))
    (tmp_path / "shard0-\u0667-beef.snapshot").write_bytes(b"")
    one, other = FolderSnapshots(tmp_path, 0).list()
    assert (one.seq, one.stored_bytes) == (7, 100)
    assert (other.seq, other.stored_bytes) == (0, 0), "digits of other scripts are no seq"


def test_a_folder_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = FolderSnapshots(tmp_path / "file", 0)
    with pytest.raises(Unavailable, match="folder of snapshots"):
        store.write(snapshot(1))
    assert FolderSnapshots(tmp_path / "nowhere", 0).list() == []


@pytest.mark.parametrize("operation", ["list", "read", "delete", "make_room"])
def test_a_folder_in_the_place_of_a_snapshot_is_no_snapshot(tmp_path: Path, operation: str) -> None:
    """Each operation says so as an error of the store, and none as an error of the operating system."""
    store = FolderSnapshots(tmp_path, 0)
    written = store.write(snapshot(1))
    (tmp_path / written.name).unlink()
    (tmp_path / written.name).mkdir()
    ask = {
        "list": store.list,
        "read": lambda: store.read(written),
        "delete": lambda: store.delete(written),
        "make_room": lambda: store.make_room(1),
    }
    with pytest.raises(Unavailable, match=r"The folder of snapshots cannot be used: .*[Dd]irectory"):
        ask[operation]()
    assert (tmp_path / written.name).is_dir()


def test_an_image_packs_smaller(database_url: str) -> None:
    """Images are of names and numbers, so the compression pays."""
    from callmarket.engine.core import Engine

    engine = Engine()
    for row in bids(2_000):
        engine.apply(row.entry)
    store = PostgresSnapshots(database_url, 0)
    info = store.write(Snapshot(engine.state.seq, engine.state.at_us, bytes(32), engine.state.encode()))
    assert info.stored_bytes < info.image_bytes / 2
    store.close()
