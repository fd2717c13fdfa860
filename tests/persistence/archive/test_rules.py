"""What the database itself insists on: only recorded rows leave the journal, in order, below a snapshot that is there.

Goal: a slip by hand, or a bug of ours, cannot cut the journal. Method: statements as a person would type them.
"""

from collections.abc import Iterator

import msgspec
import psycopg
import pytest

from callmarket.engine.codec import SealedRow
from callmarket.engine.core import Engine
from callmarket.persistence.archive.prune import _record_and_delete
from callmarket.persistence.errors import PersistenceError, Unavailable
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Archive
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from callmarket.persistence.snapshots.store import Info, Snapshot
from tests.support.following import level
from tests.support.sealed import bids

ROWS = 100
TAKEN = 60


@pytest.fixture(scope="module")
def rows() -> list[SealedRow]:
    return bids(ROWS - 21)


@pytest.fixture
def connection(database_url: str, rows: list[SealedRow]) -> Iterator[psycopg.Connection]:
    """A journal of 100 rows with a snapshot of row 60."""
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        journal.append(rows)
    level(database_url)
    engine = Engine()
    for row in rows[:TAKEN]:
        engine.apply(row.entry)
    with PostgresSnapshots(database_url, 0) as store:
        store.write(Snapshot(TAKEN, engine.state.at_us, rows[TAKEN - 1].digest, engine.state.encode()))
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


def record(connection: psycopg.Connection, rows: list[SealedRow], first: int, last: int, **other: object) -> None:
    """Say that a range has been archived."""
    name = connection.execute("SELECT min(snapshot_id)::text FROM snapshots").fetchone()[0]
    values = {
        "shard_id": 0,
        "first_seq": first,
        "last_seq": last,
        "epoch": 1,
        "at_us": rows[last - 1].entry.at_us,
        "digest_before": rows[first - 2].digest if first > 1 else bytes(32),
        "digest_after": rows[last - 1].digest,
        "file_name": "file",
        "file_bytes": 1,
        "sha256": bytes(32),
        "snapshot_store": "database",
        "snapshot_name": name,
        "snapshot_seq": TAKEN,
        "snapshot_digest": rows[TAKEN - 1].digest,
    } | other
    connection.execute(
        f"INSERT INTO journal_archives ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",
        list(values.values()),
    )


def delete(connection: psycopg.Connection, first: int, last: int) -> int:
    return connection.execute("DELETE FROM journal WHERE seq BETWEEN %s AND %s", (first, last)).rowcount


def test_a_recorded_range_may_be_deleted(connection: psycopg.Connection, rows: list[SealedRow]) -> None:
    record(connection, rows, 1, 30)
    assert delete(connection, 1, 30) == 30
    assert connection.execute("SELECT * FROM journal_breaks").fetchall() == []
    record(connection, rows, 31, 59)
    assert delete(connection, 31, 59) == 29
    assert connection.execute("SELECT * FROM journal_breaks").fetchall() == []


def test_a_pruned_journal_is_checked_from_its_record_on(connection: psycopg.Connection, rows: list[SealedRow]) -> None:
    """The first row that is left continues the archive, or it is a break."""
    record(connection, rows, 1, 30)
    delete(connection, 1, 30)
    connection.execute("SET session_replication_role = replica")
    for change, back in (
        ("digest_after = sha256(digest_after)", f"digest_after = '\\x{rows[29].digest.hex()}'"),
        ("epoch = 9", "epoch = 1"),
        ("at_us = at_us + 1000", "at_us = at_us - 1000"),
        ("last_seq = 29", "last_seq = 30"),
    ):
        connection.execute(f"UPDATE journal_archives SET {change}")
        assert connection.execute("SELECT seq FROM journal_breaks").fetchall() == [(31,)]
        connection.execute(f"UPDATE journal_archives SET {back}")
        assert connection.execute("SELECT seq FROM journal_breaks").fetchall() == []
    connection.execute("DELETE FROM journal WHERE seq = 31")
    assert connection.execute("SELECT seq, seq_broken FROM journal_breaks").fetchall() == [(32, True)]


def refused(connection: psycopg.Connection, first: int, last: int, why: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match=f"append-only: DELETE refused, .*{why}"):
        delete(connection, first, last)
    assert connection.execute("SELECT count(*) FROM journal").fetchone() == (ROWS,)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 29), (1, 31), (2, 30), (5, 9), (1, ROWS), (99, 100)])
def test_only_exactly_the_recorded_range_may_be_deleted(
    connection: psycopg.Connection, rows: list[SealedRow], first: int, last: int
) -> None:
    refused(connection, first, last, "no range of journal_archives")
    record(connection, rows, 1, 30)
    refused(connection, first, last, "no range of journal_archives")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"digest_after": bytes(32)}, "does not have their digests"),
        ({"digest_before": bytes(31) + b"x"}, "does not have their digests"),
        ({"snapshot_seq": 61}, "row of the snapshot is not there"),
        ({"snapshot_seq": 5_000}, "row of the snapshot is not there"),
        ({"snapshot_digest": bytes(32)}, "row of the snapshot is not there"),
        ({"snapshot_name": "77"}, "the snapshot is not there"),
    ],
)
def test_a_false_archive_record_deletes_nothing(
    connection: psycopg.Connection, rows: list[SealedRow], other: dict[str, object], why: str
) -> None:
    record(connection, rows, 1, 30, **other)
    refused(connection, 1, 30, why)


def test_archived_rows_are_deleted_oldest_first(connection: psycopg.Connection, rows: list[SealedRow]) -> None:
    record(connection, rows, 11, 30)
    refused(connection, 11, 30, "there are older rows")


def test_a_record_continues_the_one_before_it(connection: psycopg.Connection, rows: list[SealedRow]) -> None:
    connection.execute("SET session_replication_role = replica")
    delete(connection, 1, 10)
    connection.execute("SET session_replication_role = origin")
    record(connection, rows, 11, 30)
    with pytest.raises(psycopg.errors.RaiseException, match="does not continue the one before it"):
        delete(connection, 11, 30)


def test_a_snapshot_must_be_there_and_above(connection: psycopg.Connection, rows: list[SealedRow]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        record(connection, rows, 1, 60)
    connection.execute("DELETE FROM snapshots")
    record(connection, rows, 1, 30, snapshot_name="1")
    refused(connection, 1, 30, "the snapshot is not there")


def test_a_snapshot_in_a_folder_cannot_be_seen(connection: psycopg.Connection, rows: list[SealedRow]) -> None:
    """Then its row is insisted on, and the program is trusted with the rest."""
    connection.execute("DELETE FROM snapshots")
    record(connection, rows, 1, 30, snapshot_store="folder", snapshot_name="a file", snapshot_seq=61)
    refused(connection, 1, 30, "row of the snapshot is not there")
    connection.execute("SET session_replication_role = replica")
    connection.execute("DELETE FROM journal_archives")
    connection.execute("SET session_replication_role = origin")
    record(connection, rows, 1, 30, snapshot_store="folder", snapshot_name="a file")
    assert delete(connection, 1, 30) == 30


def test_the_last_snapshot_above_a_cut_stays(connection: psycopg.Connection, rows: list[SealedRow]) -> None:
    copy = """INSERT INTO snapshots (shard_id, seq, at_us, digest, format, rules, image_bytes, stored_bytes, chunks,
        sha256) SELECT shard_id, %s, at_us, digest, format, rules, image_bytes, stored_bytes, chunks, sha256
        FROM snapshots LIMIT 1"""
    record(connection, rows, 1, 30)
    delete(connection, 1, 30)
    connection.execute(copy, (20,))
    with pytest.raises(psycopg.errors.RaiseException, match="the last from which the journal can be recovered"):
        connection.execute("DELETE FROM snapshots")
    connection.execute("DELETE FROM snapshots WHERE seq = 20")
    connection.execute(copy, (70,))
    with pytest.raises(psycopg.errors.RaiseException, match="the last from which the journal can be recovered"):
        connection.execute("DELETE FROM snapshots")
    connection.execute("DELETE FROM snapshots WHERE seq = 60")
    assert connection.execute("SELECT seq FROM snapshots").fetchall() == [(70,)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET actor = 'x'",
        "TRUNCATE journal",
        "UPDATE journal_archives SET file_name = 'other'",
        "DELETE FROM journal_archives",
        "TRUNCATE journal_archives",
    ],
)
def test_the_journal_stays_append_only_beside_archives(
    connection: psycopg.Connection, rows: list[SealedRow], statement: str
) -> None:
    record(connection, rows, 1, 30)
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        connection.execute(statement)


def test_deleting_archived_rows_leaves_other_shards_alone(
    connection: psycopg.Connection, database_url: str, rows: list[SealedRow]
) -> None:
    with PostgresJournal(database_url, 1) as journal:
        journal.claim()
        journal.append(rows)
    record(connection, rows, 1, 30)
    for shard_id, ranges in ((0, [(1, 30)]), (1, [])):
        with PostgresJournal(database_url, shard_id, reader=True) as journal:
            assert [(one.first_seq, one.last_seq) for one in journal.archived()] == ranges
    with pytest.raises(psycopg.errors.RaiseException, match="no range of journal_archives"):
        delete(connection, 1, 30)
    assert connection.execute("DELETE FROM journal WHERE shard_id = 0 AND seq <= 30").rowcount == 30


def test_a_refusal_of_the_database_is_reported_and_changes_nothing(
    connection: psycopg.Connection, database_url: str, rows: list[SealedRow]
) -> None:
    """A record that is there is another prune's; what no record may say is no outage: to run it again is no use."""
    with PostgresSnapshots(database_url, 0) as store:
        (info,) = store.list()
    archive = Archive(1, 30, 1, rows[29].entry.at_us, bytes(32), rows[29].digest, "file", 1, bytes(32))

    def move(archive: Archive, info: Info) -> None:
        _record_and_delete(connection, 0, archive, info, "database")

    for wrong in (
        lambda: move(archive, msgspec.structs.replace(info, name="99")),
        lambda: move(archive._replace(digest_after=bytes(32)), info),
        lambda: move(archive._replace(last_seq=31), info),
    ):
        with pytest.raises(PersistenceError, match="refused to let the rows go") as caught:
            wrong()
        assert not isinstance(caught.value, Unavailable)
    assert connection.execute("SELECT count(*), (SELECT count(*) FROM journal_archives) FROM journal").fetchone() == (
        ROWS,
        0,
    )
    move(archive, info)
    assert connection.execute("SELECT min(seq) FROM journal").fetchone() == (31,)
    with pytest.raises(Unavailable, match="Another prune of this shard is at work"):
        move(archive, info)
    connection.close()
    with pytest.raises(Unavailable, match="did not confirm that rows were archived"):
        move(archive, info)
