"""Old rows out of the journal: what is left recovers, the whole is still there, and nothing leaves unproved.

Goal: a journal that was cut is the same history for everyone who reads it, with the archive; without it each reader
says what it lacks. Method: random streams in a real PostgreSQL, damage of files, rows and snapshots, real kills. What
the database itself refuses is in `test_archive_rules.py`.
"""

import gzip
import hashlib
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from callmarket import open_exchange
from callmarket.engine.core import Engine
from callmarket.engine.state import State
from callmarket.persistence import durable_file
from callmarket.persistence.archive import files, prune
from callmarket.persistence.archive.journal import ArchivedJournal
from callmarket.persistence.archive.prune import Plan, Pruned, carry_out, plan
from callmarket.persistence.database.connections import connect
from callmarket.persistence.errors import Archived, Corrupt, Damaged, Unavailable
from callmarket.persistence.journal import postgres
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Archive, StoredRow, first_seq
from callmarket.persistence.recovery import recover, rehearse
from callmarket.persistence.snapshot_follower import Follower, take
from callmarket.persistence.snapshots.folder import FolderSnapshots
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from callmarket.persistence.snapshots.store import Snapshot, SnapshotStore
from callmarket.persistence.tables.rebuild import rebuild
from callmarket.persistence.time_travel import state_at
from callmarket.persistence.verify import verify
from tests.support.ended_sessions import no_session_left
from tests.support.following import level
from tests.support.sealed import Story, batches, story
from tests.support.swarms import long_swarm

ROOT = Path(__file__).resolve().parents[3]
ROWS = 900
TAKEN = (300, 600, 800)


@dataclass
class Place:
    """A database with a history, its snapshots, and a folder for its archive."""

    url: str
    told: Story
    images: dict[int, bytes]
    snapshots: SnapshotStore
    folder: Path

    def journal(self, *, archive: bool = True) -> PostgresJournal | ArchivedJournal:
        table = PostgresJournal(self.url, 0, reader=True)
        return ArchivedJournal(table, self.folder, 0) if archive else table

    def plan(self, keep_rows: int = 0) -> Plan:
        with self.journal() as journal:
            return plan(journal, self.snapshots, 0, keep_rows)

    def prune(self, keep_rows: int = 0) -> Pruned:
        with self.journal() as journal:
            todo = plan(journal, self.snapshots, 0, keep_rows)
            return carry_out(self.url, journal, self.snapshots, todo, self.folder, lambda _: None)

    def first_row(self) -> int:
        with psycopg.connect(self.url) as connection:
            return connection.execute("SELECT min(seq) FROM journal WHERE shard_id = 0").fetchone()[0]

    def execute(self, statement: str, *, behind: bool = False) -> None:
        with psycopg.connect(self.url) as connection:
            if behind:
                connection.execute("SET session_replication_role = replica")
            assert connection.execute(statement).rowcount > 0

    def keep_snapshots(self, seqs: tuple[int, ...]) -> None:
        for seq in seqs:
            row = self.told.rows[seq - 1]
            self.snapshots.write(Snapshot(seq, row.entry.at_us, row.digest, self.images[seq]))

    def assert_whole(self) -> None:
        """Nothing is lost: all rows in order, the same state from everywhere, and tables that agree."""
        with self.journal() as journal:
            assert list(journal.read()) == self.told.rows
            assert rehearse(journal)[0].engine.state.encode() == self.images[ROWS]
        with self.journal(archive=False) as journal:
            assert rehearse(journal, self.snapshots)[0].engine.state.encode() == self.images[ROWS]
        with psycopg.connect(self.url) as connection:
            assert connection.execute("SELECT * FROM journal_breaks").fetchall() == []
        report = verify(self.url, 0, self.folder)
        assert report.ok, report
        assert report.rows == ROWS


@pytest.fixture(params=["database", "folder"])
def place(
    database_url: str, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Place]:
    monkeypatch.setattr(prune, "FILE_ROWS", 70)
    told, engine, images = story(seed, ROWS, long_swarm), Engine(), {}
    for row in told.rows:
        engine.apply(row.entry)
        if row.entry.seq in (*TAKEN, 299, ROWS):
            images[row.entry.seq] = engine.state.encode()
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        for batch in batches(told.rows, seed, (50, 300)):
            journal.append(batch)
    level(database_url)
    store: SnapshotStore = (
        PostgresSnapshots(database_url, 0) if request.param == "database" else FolderSnapshots(tmp_path / "kept", 0)
    )
    with store:
        made = Place(database_url, told, images, store, tmp_path / "archive")
        made.keep_snapshots(TAKEN)
        yield made


def test_a_cut_journal_is_the_same_history(place: Place, seed: int) -> None:
    """Every reader: recovery, verify, rebuild, time travel, a new snapshot, and the engine itself goes on."""
    pruned = place.prune()
    assert (pruned.plan.first_seq, pruned.plan.last_seq, pruned.plan.rows) == (1, 299, 299)
    assert [(one.first_seq, one.last_seq) for one in pruned.archives] == [
        (1, 70), (71, 140), (141, 210), (211, 280), (281, 299)
    ]  # fmt: skip
    assert sorted(path.name for path in place.folder.iterdir()) == [one.file_name for one in pruned.archives]
    assert place.first_row() == 300
    place.assert_whole()
    rng = random.Random(seed)
    with place.journal() as journal:
        for seq in (1, 299, 300, *rng.sample(range(2, ROWS), 5)):
            then = Engine()
            for row in place.told.rows[:seq]:
                then.apply(row.entry)
            assert state_at(journal, place.snapshots, seq).encode() == then.state.encode()
            assert journal.row_at(seq).digest == place.told.rows[seq - 1].digest
        with psycopg.connect(place.url) as connection:
            connection.execute("DELETE FROM compute_auction_bids")
            connection.execute("UPDATE token_ledger SET memo = 'x'")
        assert rebuild(place.url, 0, journal).rows == ROWS
        taken = take(journal, place.snapshots, 3)
        assert taken is not None
        assert taken.info.seq == ROWS
    place.assert_whole()
    with PostgresJournal(place.url, 0) as writer:
        assert recover(writer, place.snapshots).report.from_seq == ROWS
        assert recover(writer, place.snapshots).engine.state.encode() == place.images[ROWS]


def test_markets_in_two_schemas_are_pruned_at_the_same_time(empty_database_url: str) -> None:
    urls = [make_conninfo(empty_database_url, options=f"-c search_path={name}") for name in ("ours", "theirs")]
    with psycopg.connect(empty_database_url, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA ours CREATE TABLE journal (); CREATE SCHEMA theirs CREATE TABLE journal ()")
    with connect(urls[0], "test") as ours, connect(urls[1], "test") as theirs, connect(urls[0], "test") as second:
        with prune._alone(ours, 0), prune._alone(theirs, 0):
            with prune._alone(second, 1):
                pass
            with pytest.raises(Unavailable, match="Another prune of this shard is at work"):
                prune._alone(second, 0).__enter__()
        # At once, though the session that had it lives on.
        with prune._alone(second, 0):
            pass


def test_without_the_archive_each_reader_says_what_it_lacks(place: Place) -> None:
    place.prune()
    for seq in (600, 800):
        (info,) = [info for info in place.snapshots.list() if info.seq == seq]
        place.snapshots.delete(info)
    with place.journal(archive=False) as journal:
        assert rehearse(journal, place.snapshots)[0].report.from_seq == 300
        for ask in (
            lambda: rehearse(journal),
            lambda: rebuild(place.url, 0, journal),
            lambda: state_at(journal, place.snapshots, 299),
            lambda: verify(place.url, 0),
            lambda: list(journal.read()),
        ):
            with pytest.raises(
                Archived, match=r"with all rows up to 299: name the folder .*--archive FOLDER"
            ) as caught:
                ask()
            assert "shard0-" in str(caught.value)
        assert [row.entry for row in journal.read(299)] == [row.entry for row in place.told.rows[299:]]
        for seq in (1, 2, 298, 299):
            with pytest.raises(Archived, match=f"Row {seq} of shard 0 is in the archive"):
                journal.row_at(seq)
            with pytest.raises(Archived, match=f"Row {seq} of shard 0 is in the archive"):
                next(journal.scan(seq - 1))
        assert [row.seq for row in (journal.row_at(300), journal.row_at(ROWS)) if row is not None] == [300, ROWS]
        assert [journal.row_at(seq) for seq in (-1, 0, ROWS + 1)] == [None] * 3
    place.assert_whole()


def test_the_next_prune_goes_on_where_the_last_one_ended(place: Place) -> None:
    assert place.prune().plan.last_seq == 299
    assert place.prune().plan.last_seq == 599
    assert place.prune(keep_rows=150).plan.last_seq == 750
    assert place.first_row() == 751
    place.assert_whole()
    assert place.prune().plan.last_seq == 799
    nothing = place.prune()
    assert (nothing.plan.rows, nothing.archives, nothing.plan.snapshot) == (0, (), None)
    place.assert_whole()


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_files_of_earlier_runs_are_not_needed(place: Place) -> None:
    """They may be on a tape: of a snapshot that lies among their rows nothing is asked."""
    for moved in (299, 300):
        assert place.prune().plan.rows == moved
    away = place.folder.rename(place.folder.with_name("away"))
    assert place.prune().plan.rows == 200
    for path in away.iterdir():
        path.rename(place.folder / path.name)
    place.assert_whole()


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_keep_rows_is_how_many_rows_stay(place: Place) -> None:
    assert place.plan(keep_rows=700).last_seq == 200
    assert place.plan(keep_rows=ROWS).rows == 0
    assert place.plan(keep_rows=10**15).rows == 0
    assert place.prune(keep_rows=601).plan.last_seq == 299
    place.assert_whole()


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_a_plan_changes_nothing(place: Place) -> None:
    assert place.plan().files == 5
    assert not place.folder.exists()
    assert place.first_row() == 1


def test_without_a_good_snapshot_nothing_is_moved(place: Place) -> None:
    """None; whole but of another history; and one whose state is not what the rows before it lead to."""
    infos = {info.seq: info for info in place.snapshots.list()}
    for info in infos.values():
        place.snapshots.delete(info)
    with pytest.raises(Damaged, match="take one with `callmarket snapshot`"):
        place.plan()
    row = place.told.rows[299]
    state = State.decode(place.images[300])
    # A wrong balance that nothing after it need ever show: only the rows before it know.
    accounts = [account for account in state.ledger.accounts.values() if account.available_tokens > 0]
    accounts[0].balance_tokens -= 1
    accounts[-1].balance_tokens += 1
    assert accounts[0] is not accounts[-1]
    place.snapshots.write(Snapshot(300, row.entry.at_us, row.digest, state.encode()))
    place.snapshots.write(Snapshot(600, row.entry.at_us, bytes(32), place.images[300]))
    with pytest.raises(Damaged) as caught:
        place.prune()
    assert "row 300: the rows before it lead to another state" in str(caught.value)
    assert "row 600: it is of another history" in str(caught.value)
    assert place.first_row() == 1
    place.keep_snapshots((800,))
    pruned = place.prune()
    assert (pruned.plan.last_seq, [one.seq for one in pruned.plan.passed_over]) == (799, [300, 600])
    place.assert_whole()


@pytest.mark.parametrize("place", ["database"], indirect=True)
@pytest.mark.parametrize("seq", [1, 150, 299, 300, 850])
def test_a_journal_that_is_wrong_loses_no_row(place: Place, seq: int) -> None:
    place.execute(f"UPDATE journal SET actor = 'nobody' WHERE seq = {seq}", behind=True)
    with pytest.raises((Corrupt, Damaged)) as caught:
        place.prune()
    assert f"Row {seq}" in str(caught.value) or f"row {seq}" in str(caught.value)
    assert place.first_row() == 1


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_a_change_between_plan_and_prune_is_noticed(place: Place) -> None:
    """Each range is chained again, as it is read for its file."""
    with place.journal() as journal:
        todo = plan(journal, place.snapshots, 0)
        place.execute("UPDATE journal SET actor = 'nobody' WHERE seq = 150", behind=True)
        with pytest.raises(Corrupt) as caught:
            carry_out(place.url, journal, place.snapshots, todo, place.folder, lambda _: None)
        assert caught.value.seq == 150
    assert place.first_row() == 141


@pytest.mark.parametrize("place", ["database"], indirect=True)
@pytest.mark.parametrize(("missing", "stays"), [(1, 1), (35, 1), (70, 1), (71, 1), (140, 71), (141, 71), (299, 281)])
def test_a_row_that_goes_missing_between_plan_and_prune_is_named(place: Place, missing: int, stays: int) -> None:
    """First, within and last of its file, and the first of the next; what was moved before it stays moved."""
    with place.journal() as journal:
        todo = plan(journal, place.snapshots, 0)
        place.execute(f"DELETE FROM journal WHERE seq = {missing}", behind=True)
        with pytest.raises(Corrupt, match=rf"Row {missing} is missing") as caught:
            carry_out(place.url, journal, place.snapshots, todo, place.folder, lambda _: None)
    assert caught.value.seq == missing
    with place.journal() as journal:
        assert sum(archive.last_seq - archive.first_seq + 1 for archive in journal.archived()) == stays - 1
    with psycopg.connect(place.url) as connection:
        assert connection.execute("SELECT count(*) FROM journal").fetchone() == (ROWS - stays,)


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_a_prune_without_its_connection_moves_nothing(place: Place) -> None:
    with connect(place.url, "test") as connection:
        connection.close()
        with pytest.raises(Unavailable, match="The database does not answer"):
            prune._alone(connection, 0).__enter__()


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_rows_whose_archive_reads_back_differently_are_not_deleted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that changes what it is given, and a column that no digest covers: both before anything is deleted."""
    real_write, real_record = files.write_archive, prune.write_archive

    def on_a_bad_disk(folder: Path, shard_id: int, rows: Iterable[Sequence[StoredRow]], empty: Archive) -> Archive:
        archive = real_write(folder, shard_id, rows, empty)
        flip(folder / archive.file_name)
        return archive

    def by_a_bad_program(folder: Path, shard_id: int, rows: Iterable[Sequence[StoredRow]], empty: Archive) -> Archive:
        changed = ([row._replace(epoch=row.epoch + (row.seq == 33)) for row in chunk] for chunk in rows)
        return real_write(folder, shard_id, changed, empty)

    for wrong, said in ((on_a_bad_disk, "its checksum"), (by_a_bad_program, "Row 33 is not in .* nothing was deleted")):
        monkeypatch.setattr(prune, "write_archive", wrong)
        with pytest.raises(Corrupt, match=said):
            place.prune()
        assert place.first_row() == 1
    monkeypatch.setattr(prune, "write_archive", real_record)
    with pytest.raises(Corrupt, match="Move that file away"):
        place.prune()
    shutil.rmtree(place.folder)
    place.prune()
    place.assert_whole()


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_a_row_that_is_in_the_table_and_in_the_archive_is_found(place: Place) -> None:
    place.prune()
    columns = "epoch, at_us, actor, command_id, rules, command, events, digest"
    place.execute(f"INSERT INTO journal SELECT 0, 17, {columns} FROM journal WHERE seq = 300", behind=True)
    report = verify(place.url, 0, place.folder)
    assert report.first_bad_seq == 17
    assert "in the table, and in the archive" in report.differences[0]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def exchange_with_the_next(path: Path) -> None:
    other = sorted(path.parent.iterdir())[2]
    kept = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(kept)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped bit": (flip, "its checksum is not the one"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-30]), "were written"),
    "empty": (lambda path: path.write_bytes(b""), "it has 0 bytes"),
    "missing": (lambda path: path.unlink(), "it is not there"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"x"), "were written"),
    "exchanged": (exchange_with_the_next, "cannot be used"),
    "the folder is gone": (lambda path: shutil.rmtree(path.parent), "it is not there"),
}


@pytest.mark.parametrize("place", ["database"], indirect=True)
@pytest.mark.parametrize("name", DAMAGES)
def test_damage_of_a_file_is_named(place: Place, name: str) -> None:
    """Its rows and its name, by every reader; what does not need it goes on."""
    change, reason = DAMAGES[name]
    second = place.prune().archives[1]
    change(place.folder / second.file_name)
    bad = 1 if name == "the folder is gone" else 71
    report = verify(place.url, 0, place.folder)
    assert (report.ok, report.first_bad_seq) == (False, bad)
    assert reason in report.differences[0]
    with place.journal() as journal:
        for ask in (
            lambda: rehearse(journal),
            lambda: rebuild(place.url, 0, journal),
            lambda: state_at(journal, place.snapshots, 100),
        ):
            with pytest.raises(Corrupt, match=reason) as caught:
                ask()
            assert caught.value.seq in (bad, 71)
            assert bad == 1 or second.file_name in str(caught.value)
        assert rehearse(journal, place.snapshots)[0].report.from_seq == 800


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_a_file_whose_rows_are_not_those_is_found_though_its_checksum_is_right(place: Place) -> None:
    """Forged with its record: the chain of digests finds it, and so does the order of rows."""
    first = place.prune().archives[0]
    path = place.folder / first.file_name
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    forged = {
        3: [*lines[:3], lines[3].replace(b'"admin"', b'"nobody"'), *lines[4:]],
        5: [*lines[:5], lines[6], lines[5], *lines[7:]],
        70: lines[:-1],
        1: [lines[0].replace(b'"shard_id":0', b'"shard_id":1'), *lines[1:]],
    }
    for seq, wrong in forged.items():
        path.write_bytes(gzip.compress(b"".join(wrong)))
        place.execute(
            f"UPDATE journal_archives SET file_bytes = {path.stat().st_size}, "
            f"sha256 = '\\x{hashlib.sha256(path.read_bytes()).hexdigest()}' WHERE first_seq = 1",
            behind=True,
        )
        report = verify(place.url, 0, place.folder)
        assert not report.ok
        assert report.first_bad_seq in (1, seq), report


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_a_file_can_be_read_with_plain_python(place: Place) -> None:
    """No program of ours: gzip, json and hashlib show the commands and prove the chain."""
    place.prune()
    digest, seq = bytes(32), 0
    for path in sorted(place.folder.iterdir()):
        head, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        assert json.loads(head)["digest_before"] == digest.hex()
        for line in lines:
            row = json.loads(line)
            seq += 1
            assert row["seq"] == seq
            plain = [json.dumps(row[name], separators=(",", ":"), ensure_ascii=False) for name in ("command", "events")]
            columns = "".join(f"{row[name]}|" for name in ("seq", "at_us", "rules", "actor", "command_id"))
            digest = hashlib.sha256(digest + (columns + "".join(plain)).encode()).digest()
            assert digest.hex() == row["digest"]
        assert json.loads(head)["digest_after"] == digest.hex()
    assert seq == 299


def test_the_snapshot_of_the_cut_is_never_forgotten(place: Place) -> None:
    """Retention keeps it beside the newest, until the next cut; recovery can always begin somewhere."""
    place.prune()
    with place.journal(archive=False) as journal:
        follower = Follower(journal, place.snapshots, 1)
        follower.take()
    assert [info.seq for info in place.snapshots.list()] == [ROWS, 300]
    assert place.prune().plan.last_seq == ROWS - 1
    assert [info.seq for info in place.snapshots.prune(1, None, ROWS)] == [300]
    place.assert_whole()


def test_one_whole_snapshot_that_is_kept_must_be_after_the_cut(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.prune()
    place.prune()
    assert [info.seq for info in place.snapshots.list()] == [800, 600, 300]
    from callmarket.persistence.snapshots import store

    with place.journal() as journal:
        assert first_seq(journal) == 600
    monkeypatch.setattr(store, "is_whole", lambda _, info: info.seq <= 600)
    assert [info.seq for info in place.snapshots.prune(1, None, 600)] == [300]


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_killed_at_any_moment_nothing_is_lost(place: Place, seed: int) -> None:
    """Kill -9 while rows are moved in ranges of 7: everything is recoverable each time, and the last run ends it."""
    rng = random.Random(seed)
    ends = []
    for _ in range(7):
        with no_session_left(place.url):
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.prune_process", place.url, str(place.folder), "7"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout is not None
            assert process.stdout.readline() == "pruning\n"
            time.sleep(rng.random() * 0.15)
            process.kill()
            process.wait()
            process.stdout.close()
        ends.append(place.first_row())
        place.assert_whole()
        with place.journal(archive=False) as journal:
            assert rehearse(journal, place.snapshots)[0].engine.state.encode() == place.images[ROWS]
    print("cut at", ends)  # noqa: T201  (pytest shows it with a failure)
    while place.prune().plan.rows:
        pass
    assert place.first_row() == 800
    assert not list(place.folder.glob("*.unfinished"))
    place.assert_whole()


class Killed(BaseException):
    """As a kill: nothing handles it."""


STEPS = ("_write", "file_digest", "flush_folder", "read_archive", "_record_and_delete")


@pytest.mark.parametrize("place", ["database"], indirect=True)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True])
def test_stopped_before_and_after_each_step(
    place: Place, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    """Each step of the second file: what was moved is moved, what was not is there, and the next run finishes."""
    module = next(one for one in (prune, files, durable_file) if hasattr(one, step))
    real, calls = getattr(module, step), []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 2 and not after:
            raise Killed
        result = real(*arguments)
        if len(calls) == 2:
            raise Killed
        return result

    monkeypatch.setattr(module, step, stopping)
    with pytest.raises(Killed):
        place.prune()
    monkeypatch.setattr(module, step, real)
    moved = place.first_row() - 1
    assert moved in (0, 70, 140)
    place.assert_whole()
    assert place.prune().plan.rows == 299 - moved
    place.assert_whole()


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_two_at_once_move_each_row_once(place: Place) -> None:
    """The second is told so while the first is at work, and afterwards that its plan is old."""
    with place.journal() as one, place.journal() as two:
        todo = plan(one, place.snapshots, 0)
        told: list[str] = []

        def meanwhile(_: Archive) -> None:
            with pytest.raises(Unavailable, match="Another prune of this shard is at work") as caught:
                carry_out(place.url, two, place.snapshots, todo, place.folder, lambda _: None)
            told.append(str(caught.value))

        carry_out(place.url, one, place.snapshots, todo, place.folder, meanwhile)
        assert len(told) == 5
        with pytest.raises(Unavailable, match="has moved rows since"):
            carry_out(place.url, two, place.snapshots, todo, place.folder, lambda _: None)
    assert place.first_row() == 300
    place.assert_whole()


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_a_good_file_that_is_there_stays_and_a_bad_one_is_written_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the database may use the same folder, and its record names the very bytes of the file."""

    def no_record(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(prune, "FILE_ROWS", 299)
    with monkeypatch.context() as patch:
        patch.setattr(prune, "_record_and_delete", no_record)
        patch.setattr(files, "_LEVEL", 1)
        with pytest.raises(Killed):
            place.prune()
    (path,) = place.folder.iterdir()
    left = path.read_bytes()
    path.write_bytes(left[:-9])
    with monkeypatch.context() as patch:
        patch.setattr(prune, "_record_and_delete", no_record)
        with pytest.raises(Killed):
            place.prune()
    assert len(path.read_bytes()) < len(left) - 9, "written anew, packed better"
    path.write_bytes(left)
    place.prune()
    assert path.read_bytes() == left
    place.assert_whole()


@pytest.mark.parametrize("archive", [True, False])
def test_a_reader_in_the_middle_is_not_misled(place: Place, monkeypatch: pytest.MonkeyPatch, archive: bool) -> None:
    """Rows leave the table while it is read: the reader goes on in the files, or is told so, and not of damage."""
    monkeypatch.setattr(postgres, "SCAN_ROWS", 20)
    monkeypatch.setattr(PostgresJournal._chunk, "__defaults__", (20,))
    seen: list[int] = []
    with place.journal(archive=archive) as journal:
        try:
            for rows in journal.scan():
                seen += [row.seq for row in rows]
                if len(seen) == len(rows):
                    place.prune()
        except Archived:
            assert not archive
            assert len(seen) < 299
        else:
            assert archive
            assert seen == list(range(1, ROWS + 1))


def test_pruning_beside_a_live_exchange_neither_blocks_nor_fences_it(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine neither waits nor is fenced off; it opens again from the snapshot, with the archive out of reach."""
    monkeypatch.setattr(prune, "FILE_ROWS", 40)
    folder = tmp_path / "archive"
    with open_exchange(database_url) as market:
        market.open_market("m")
        market.open_account("a")
        market.mint("a", 10**6, "grant:initial")
        stop = threading.Event()

        def bid() -> None:
            number = 0
            while not stop.is_set():
                market.place_bid("m", "a", f"t{number}", 1 + number % 9)
                number += 1

        thread = threading.Thread(target=bid)
        thread.start()
        try:
            with (
                PostgresJournal(database_url, 0, reader=True) as table,
                PostgresSnapshots(database_url, 0) as snapshots,
            ):
                journal = ArchivedJournal(table, folder, 0)
                follower, moved, deadline = Follower(table, snapshots, 2), 0, time.monotonic() + 30
                while moved < 3 and time.monotonic() < deadline:
                    follower.take()
                    todo = plan(journal, snapshots, 0)
                    moved += bool(carry_out(database_url, journal, snapshots, todo, folder, lambda _: None).archives)
        finally:
            stop.set()
            thread.join(30)
        assert moved == 3
        assert market.verify(folder).ok
        with pytest.raises(Archived):
            market.verify()
        with pytest.raises(Archived):
            market.as_of(3).wallet("a")
        assert market.as_of(3, folder).wallet("a").balance_tokens == 10**6
        image = market.image()
    with open_exchange(database_url) as again:
        assert again.image() == image
