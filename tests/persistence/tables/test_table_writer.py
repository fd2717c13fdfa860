"""The tables along the journal: each row once, whoever brings it, wherever the last one was killed; never past a gap.

Goal: after anything, the tables are those that the journal makes, up to their mark. Method: `verify` and a rebuild
beside them; processes that are killed at random moments, several at once, successors, rows that are missing. Cites
HST-1.
"""

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from callmarket.engine.codec import seal
from callmarket.engine.commands import ADMIN, BeginHistory, Entry
from callmarket.engine.core import Engine
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence.errors import Archived, Corrupt, Diverged, Fenced, Unavailable
from callmarket.persistence.journal.postgres import PostgresJournal, wait_for_tables
from callmarket.persistence.tables import table_writer, transactions
from callmarket.persistence.tables.rebuild import rebuild
from callmarket.persistence.tables.statements import COPY_ROWS_MIN
from callmarket.persistence.tables.table_writer import PostgresTables, Progress
from callmarket.persistence.verify import verify
from tests.persistence.tables.test_rebuild import contents
from tests.support.following import level
from tests.support.sealed import batches, bids, story
from tests.support.swarms import long_swarm

ROOT = Path(__file__).resolve().parents[3]


def mark(url: str, shard_id: int = 0) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT seq FROM projections WHERE shard_id = %s", (shard_id,)).fetchone()
    assert row is not None
    return row[0]


def assert_as_rebuilt(url: str) -> None:
    """The tables are right, and what a rebuild makes."""
    report = verify(url, 0)
    assert report.ok, report
    found = contents(url)
    with PostgresJournal(url, 0, reader=True) as journal:
        rebuild(url, 0, journal)
    assert contents(url) == found


def to_the_end(tables: PostgresTables) -> int:
    """Bring them along all that there is; where they stand then."""
    while (progress := tables.project()).more:
        pass
    return progress.seq


def start(url: str, batch_rows: int) -> subprocess.Popen[str]:
    """A process that brings the tables along until it is killed; it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.projector_process", url, str(batch_rows)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "projecting\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.parametrize(
    ("kills_min", "rows"),
    [(1, 900), pytest.param(200, 12_000, marks=[pytest.mark.slow, pytest.mark.timeout(3_600)])],
)
def test_killed_at_random_moments_each_row_is_there_once(
    database_url: str, seed: int, kills_min: int, rows: int
) -> None:
    """AUC-17: two at once, kill -9 of either, while the journal grows; the last one comes to the end."""
    rng, told, kills = random.Random(seed), story(seed, rows, long_swarm), 0
    some = list(batches(told.rows, seed, (1, 40, 200)))
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        processes = [start(database_url, rng.choice((1, 7, 50))) for _ in range(2)]
        for number, batch in enumerate(some):
            journal.append(batch)
            time.sleep(rng.random() * 0.05)
            # About a third of the batches, or as many as it takes.
            while rng.random() < 0.3 or kills * len(some) < kills_min * (number + 1):
                kill(processes.pop(rng.randrange(2)))
                kills += 1
                # What is committed is whole at any moment.
                assert verify(database_url, 0).ok
                processes.append(start(database_url, rng.choice((1, 7, 50))))
                time.sleep(rng.random() * 0.05)
        for process in processes:
            kill(process)
    assert kills >= kills_min
    assert level(database_url) and mark(database_url) == rows
    assert_as_rebuilt(database_url)


def test_several_at_once_do_each_batch_once(database_url: str, seed: int) -> None:
    told = story(seed, 600, long_swarm)
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        for batch in batches(told.rows, seed, (100,)):
            journal.append(batch)
    threads = [threading.Thread(target=level, args=(database_url, 0, size)) for size in (1, 3, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert mark(database_url) == 600
    assert_as_rebuilt(database_url)


def test_a_row_that_comes_and_goes_within_a_batch_is_written_once(database_url: str) -> None:
    """It takes all that waits, up to a bound, and says whether there was more."""
    rows = bids(100)
    with PostgresJournal(database_url, 0) as journal:
        epoch = journal.claim()
        for row in rows:
            journal.append([row])
        tables = PostgresTables(database_url, 0, epoch, batch_rows_max=70)
        assert tables.project() == Progress(70, True)
        assert tables.project() == Progress(len(rows), False)
        assert tables.project() == Progress(len(rows), False)
        tables.close()
    with psycopg.connect(database_url) as connection:
        versions = connection.execute("SELECT count(DISTINCT xmin::text) FROM compute_auction_bids").fetchone()
    assert versions == (2,), "one transaction for each batch"


def test_a_batch_ends_at_its_bounds_and_says_so(database_url: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Rows of a batch, rows of a read and bytes, whatever they are: no row twice, none left out, and an end."""
    rng, rows = random.Random(seed), bids(120)
    batch_rows, read_rows = rng.randint(1, 60), rng.randint(1, 60)
    bytes_max = rng.randint(1, 10_000)
    monkeypatch.setattr(table_writer, "_READ_ROWS", read_rows)
    monkeypatch.setattr(table_writer, "_BATCH_BYTES_MAX", bytes_max)
    sizes = [len(row.command_json) + len(row.events_json) for row in rows]
    with PostgresJournal(database_url, 0) as journal:
        tables = PostgresTables(database_url, 0, journal.claim(), batch_rows_max=batch_rows)
        journal.append(rows)
        seq, more = 0, True
        while more:
            before = seq
            seq, more = tables.project()
            assert mark(database_url) == seq
            assert seq > before or not more
            assert seq - before <= batch_rows
            # Beyond the bytes there is no more than the read that went past them.
            assert sum(sizes[before : max(before, seq - read_rows)]) < bytes_max
        assert seq == len(rows)
        tables.close()
    assert_as_rebuilt(database_url)


@pytest.mark.parametrize(("bound", "rows_taken"), [("rows", 7), ("bytes", 4), ("read", 30)])
def test_each_bound_ends_a_batch_by_itself(
    database_url: str, monkeypatch: pytest.MonkeyPatch, bound: str, rows_taken: int
) -> None:
    """A burst of large rows is not one transaction; of small reads a batch takes as many as fit."""
    monkeypatch.setattr(table_writer, "_READ_ROWS", 4)
    if bound == "bytes":
        monkeypatch.setattr(table_writer, "_BATCH_BYTES_MAX", 1)
    with PostgresJournal(database_url, 0) as journal:
        most = 7 if bound == "rows" else 30
        tables = PostgresTables(database_url, 0, journal.claim(), batch_rows_max=most)
        journal.append(bids(60))
        assert tables.project() == (rows_taken, True)
        tables.close()


def test_level_tables_are_not_written(database_url: str) -> None:
    """An idle market costs its database no transaction."""
    rows = bids(5)
    with PostgresJournal(database_url, 0) as journal, psycopg.connect(database_url, autocommit=True) as other:
        tables = PostgresTables(database_url, 0, journal.claim())
        journal.append(rows)
        assert tables.project() == Progress(len(rows), False)
        version = "SELECT xmin::text FROM projections"
        before = other.execute(version).fetchone()
        assert tables.project() == Progress(len(rows), False)
        assert other.execute(version).fetchone() == before
        tables.close()


def test_a_writer_that_finds_another_was_faster_looks_again(database_url: str) -> None:
    """He stands where the other has brought the tables, and there may be more by now."""
    rows = bids(40)
    with PostgresJournal(database_url, 0) as journal:
        tables = PostgresTables(database_url, 0, journal.claim())
        journal.append(rows[:10])
        assert tables.project() == Progress(10, False)
        journal.append(rows[10:30])
        level(database_url)
        assert tables.project() == Progress(30, True)
        assert tables.project() == Progress(30, False)
        journal.append(rows[30:])
        assert tables.project() == Progress(len(rows), False)
        tables.close()


def test_a_successor_goes_on_and_the_one_before_stops(database_url: str) -> None:
    rows = bids(30)
    with PostgresJournal(database_url, 0) as first, PostgresJournal(database_url, 0) as second:
        old = PostgresTables(database_url, 0, first.claim(), batch_rows_max=20)
        first.append(rows)
        assert old.project() == Progress(20, True)
        new = PostgresTables(database_url, 0, second.claim())
        with pytest.raises(Fenced, match="led by epoch 2, mine is 1"):
            old.project()
        assert mark(database_url) == 20
        assert new.project() == Progress(len(rows), False)
        old.close()
        new.close()
    assert_as_rebuilt(database_url)


@pytest.mark.parametrize("batch_rows", [1, 20_000])
def test_a_row_that_is_missing_stops_it(database_url: str, batch_rows: int) -> None:
    """A mark that ran past a gap would lose the row for ever, should it come back."""
    rows = bids(60)
    with PostgresJournal(database_url, 0) as journal, psycopg.connect(database_url, autocommit=True) as other:
        tables = PostgresTables(database_url, 0, journal.claim(), batch_rows_max=batch_rows)
        journal.append(rows)
        other.execute("CREATE TEMP TABLE kept AS SELECT * FROM journal WHERE seq = 40")
        other.execute("SET session_replication_role = replica")
        other.execute("DELETE FROM journal WHERE seq = 40")
        for _ in range(3):
            with pytest.raises(Corrupt, match="Row 40 is missing: row 39 is followed by row 41") as caught:
                to_the_end(tables)
            assert caught.value.seq == 40
            assert mark(database_url) == (39 if batch_rows == 1 else 0), "nothing of it is done"
        other.execute("INSERT INTO journal SELECT * FROM kept")
        to_the_end(tables)
        tables.close()
    assert mark(database_url) == len(rows)
    assert_as_rebuilt(database_url)


def test_the_tables_follow_a_history_that_goes_on_after_a_loss(database_url: str, seed: int) -> None:
    """HST-1: the row before is the one that the row names, not its neighbour by number."""
    rows = bids(30)
    engine = Engine()
    for row in rows:
        engine.apply(row.entry)
    entry = Entry(HISTORY_ROWS, engine.state.at_us, ADMIN, BeginHistory(len(rows), len(rows) + 7))
    begun = seal(rows[-1].digest, entry, engine.apply(entry))
    with PostgresJournal(database_url, 0) as journal:
        tables = PostgresTables(database_url, 0, journal.claim(), batch_rows_max=random.Random(seed).randint(1, 40))
        journal.append(rows)
        journal.append([begun])
        assert to_the_end(tables) == HISTORY_ROWS
        tables.close()
    assert_as_rebuilt(database_url)


@pytest.mark.parametrize(
    ("statement", "words", "first_bad"),
    [
        ("DELETE FROM projections", "their row in projections is gone", None),
        ("UPDATE projections SET seq = 100", "stand at row 100, and its journal ends at row 31", 32),
        ("UPDATE projections SET seq = 32", "stand at row 32, and its journal ends at row 31", 32),
        ("UPDATE projections SET seq = 3", "A table is not what the events of seq 4 to 31 say it was", 4),
    ],
)
def test_a_wrong_mark_is_reported_and_mended_by_a_rebuild(
    database_url: str, statement: str, words: str, first_bad: int | None
) -> None:
    rows = bids(10)
    with PostgresJournal(database_url, 0) as journal, psycopg.connect(database_url, autocommit=True) as other:
        journal.claim()
        journal.append(rows)
        level(database_url)
        before = contents(database_url)
        other.execute(statement)
        with pytest.raises(Diverged, match=words) as caught:
            level(database_url)
        assert caught.value.seq == first_bad
        assert contents(database_url) == before
        assert not verify(database_url, 0).ok
        rebuild(database_url, 0, journal)
        assert mark(database_url) == len(rows)
    assert_as_rebuilt(database_url)


def test_waiting_for_tables_returns_where_they_stand(database_url: str) -> None:
    """At once where they have the row, in the end where they do not; nowhere where nothing says so."""
    with PostgresJournal(database_url, 0) as journal, psycopg.connect(database_url, autocommit=True) as other:
        journal.claim()
        journal.append(bids(10))
        level(database_url)
        for seq, shard_id, stands in ((7, 0, 31), (31, 0, 31), (32, 0, 31), (1, 7, 0)):
            assert wait_for_tables(other, shard_id, seq, 0.01) == stands
        waiting = threading.Timer(0.01, lambda: (journal.append(bids(20)[31:]), level(database_url)))
        waiting.start()
        assert wait_for_tables(other, 0, 41, 60.0) == 41
        waiting.join()


def test_rows_that_the_tables_lack_are_never_pruned(database_url: str) -> None:
    """Nor can they be deleted by hand, and tables whose rows have left all the same say where these are."""
    rows = bids(79)
    with PostgresJournal(database_url, 0) as journal, psycopg.connect(database_url, autocommit=True) as other:
        journal.claim()
        journal.append(rows[:20])
        level(database_url)
        journal.append(rows[20:])
        assert journal.projected_seq() == 20
        values = (rows[29].entry.at_us, bytes(32), rows[29].digest, bytes(32), "1" * 32, rows[59].digest)
        archived = """INSERT INTO journal_archives (shard_id, first_seq, last_seq, epoch, at_us, digest_before,
            digest_after, file_name, file_bytes, sha256, snapshot_store, snapshot_name, snapshot_seq, snapshot_digest)
            VALUES (0, 1, 30, 1, %s, %b, %b, 'file', 1, %b, 'folder', %s, 60, %b)"""
        other.execute(archived, values)
        with pytest.raises(psycopg.errors.RaiseException, match="the tables do not have them yet"):
            other.execute("DELETE FROM journal WHERE seq <= 30")
        other.execute("SET session_replication_role = replica")
        other.execute("DELETE FROM journal WHERE seq <= 30")
        with pytest.raises(Archived, match="Row 21 of shard 0 is in the archive, in file"):
            level(database_url)
        assert mark(database_url) == 20


@pytest.mark.parametrize("count", [3, COPY_ROWS_MIN])
def test_a_process_that_stood_still_inside_its_transaction_may_try_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """The server has ended it, so whoever came meanwhile did not wait for long; nothing was written."""
    rows = bids(count)
    execute = transactions._execute

    def slowly(*arguments) -> None:
        time.sleep(0.3)
        execute(*arguments)

    with PostgresJournal(database_url, 0) as journal:
        tables = PostgresTables(database_url, 0, journal.claim())
        journal.append(rows)
        with monkeypatch.context() as patch:
            patch.setattr(transactions, "_execute", slowly)
            patch.setattr(table_writer, "_IDLE_MAX", "50ms")
            with pytest.raises(Unavailable, match="tried again"):
                tables.project()
        assert mark(database_url) == 0
        assert tables.project().seq == len(rows)
        tables.close()
    assert_as_rebuilt(database_url)


def test_its_commits_wait_for_no_disk_and_a_crash_takes_rows_and_mark_together(database_url: str) -> None:
    connection = table_writer._connect(database_url, 0)
    assert connection.execute("SHOW synchronous_commit").fetchone() == ("off",)
    connection.close()
