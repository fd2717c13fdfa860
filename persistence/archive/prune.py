"""Old rows out of the journal's table and into files.

Rule of this file: nothing is deleted before everything is proved. The snapshot at which the journal will begin must be,
byte for byte, the state that the rows before it lead to, and the rows after it must lead from it to the journal's end.
Each range of rows is written, flushed, read back and compared, and then recorded and deleted in one transaction, in
which the database checks once more. So a kill at any moment leaves each row in the table or in a recorded file, and
the next run goes on from there.
"""

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, LiteralString

import psycopg

from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence.archive.files import read_archive, write_archive
from callmarket.persistence.database.connections import connect
from callmarket.persistence.errors import Archived, Corrupt, Damaged, Diverged, PersistenceError, Unavailable
from callmarket.persistence.journal.protocol import Archive, Chain, Journal, StoredRow, first_seq, unbroken
from callmarket.persistence.recovery import PassedOver, check_end, rehearse, restore
from callmarket.persistence.snapshots.store import Info, SnapshotStore

# Rows of one file and one transaction: some 50 MB of rows, 9 MB of file, and a second of deleting.
FILE_ROWS: Final = 100_000
# The same in all versions. Advisory locks are the database's, which may have a market in each of several schemas.
_LOCK: Final[LiteralString] = """
    SELECT pg_try_advisory_lock(
        hashtextextended(format('callmarket prune %%s of %%s', %s::int, 'journal'::regclass::oid), 0))
"""


@dataclass(frozen=True)
class Plan:
    """What pruning would move: rows `first_seq` to `last_seq`, none if that is less; and the snapshot it relies on."""

    shard_id: int
    first_seq: int
    last_seq: int
    end_seq: int
    snapshot: Info | None
    passed_over: tuple[PassedOver, ...]
    ranges: tuple[tuple[int, int], ...] = ()
    """The same rows, for each file: none has a gap in it."""

    @property
    def rows(self) -> int:
        """How many rows would be moved."""
        return sum(last - first + 1 for first, last in self.ranges)

    @property
    def files(self) -> int:
        """How many files would be written."""
        return len(self.ranges)


@dataclass(frozen=True)
class Pruned:
    """What was moved: the records of the new files."""

    plan: Plan
    archives: tuple[Archive, ...]

    @property
    def file_bytes(self) -> int:
        """The size of all new files."""
        return sum(archive.file_bytes for archive in self.archives)


def plan(journal: Journal, snapshots: SnapshotStore, shard_id: int, keep_rows: int = 0) -> Plan:
    """Choose and prove the oldest snapshot before which there are rows to move. Changes nothing.

    At least the newest `keep_rows` rows stay, and all that the SQL tables do not have yet, which follow.
    `journal` may be one that reads archives too. Costs the execution of the rows that would be moved and of all after
    them, 20 us a row, and twice the memory of an engine. Raises `Damaged` if no snapshot is good, `Corrupt` or
    `Diverged` if the journal is not, `Unavailable`.
    """
    begins, position = first_seq(journal), journal.position()
    infos = snapshots.list()
    passed: list[PassedOver] = []
    last_to_go = min(_back(journal, begins, position.last_seq, keep_rows), journal.projected_seq())
    for info in reversed(infos):
        # Not even asked for where rows that have gone lie by now: nobody may have their files at hand.
        last = min(_before(journal, info.seq), last_to_go) if info.seq > begins else 0
        if last < begins:
            continue
        try:
            _prove(journal, snapshots, info)
        except (Damaged, Diverged, Archived) as error:
            passed.append(PassedOver(info.seq, info.name, str(error)))
            continue
        ranges = tuple(_of_files(unbroken(journal, begins - 1, last)))
        return Plan(shard_id, begins, last, position.last_seq, info, tuple(passed), ranges)
    if passed or not any(info.seq >= begins for info in infos):
        said = "".join(f"; {one}" for one in passed)
        raise Damaged(
            f"No snapshot is good, so no row may leave the journal: take one with `callmarket snapshot`{said}"
        )
    return Plan(shard_id, begins, begins - 1, position.last_seq, None, ())


def carry_out(
    url: str, journal: Journal, snapshots: SnapshotStore, todo: Plan, folder: Path, told: Callable[[Archive], None]
) -> Pruned:
    """Move what was planned, and say so after each file, whose rows are then gone from the table. An engine may run.

    Costs some 40 us a row. Raises `Unavailable`, or `Corrupt` with the first row that is not what it must be; what was
    moved before stays moved, and another run goes on.
    """
    archives: list[Archive] = []
    if todo.snapshot is None:
        return Pruned(todo, ())
    with connect(url, f"callmarket prune {todo.shard_id}") as connection, _alone(connection, todo.shard_id):
        known = journal.archived()
        before = (
            Chain(known[-1].last_seq, known[-1].digest_after, known[-1].epoch, known[-1].at_us) if known else Chain()
        )
        if before.seq + 1 != todo.first_seq:
            raise Unavailable("Another prune of this shard has moved rows since this was planned. Nothing was moved.")
        for first, last in todo.ranges:
            archive = _archive(journal, todo.shard_id, before, first, last, folder)
            _record_and_delete(connection, todo.shard_id, archive, todo.snapshot, snapshots.kind)
            archives.append(archive)
            told(archive)
    return Pruned(todo, tuple(archives))


@contextlib.contextmanager
def _alone(connection: psycopg.Connection, shard_id: int) -> Iterator[None]:
    """Hold the lock of pruning this shard. Raises `Unavailable` if another does."""
    try:
        row = connection.execute(_LOCK, (shard_id,)).fetchone()
    except psycopg.Error as error:
        raise Unavailable(f"The database does not answer: {error}") from error
    if row != (True,):
        raise Unavailable("Another prune of this shard is at work. Nothing was moved.")
    try:
        yield
    finally:
        # It ends with the session, and that some time after the connection: the next prune must not meet it.
        with contextlib.suppress(psycopg.Error):
            connection.execute("SELECT pg_advisory_unlock_all()")


def _prove(journal: Journal, snapshots: SnapshotStore, info: Info) -> None:
    """Check that the rows before a snapshot lead to it and that it leads to the end. Raises as `plan`."""
    replica = restore(journal, snapshots, info)
    # From an older snapshot if there is a good one, else from the first row.
    _, led = rehearse(journal, snapshots, _before(journal, info.seq))
    led.follow(journal, info.seq)
    if led.engine.state.encode() != replica.engine.state.encode():
        raise Damaged("the rows before it lead to another state")
    del led
    position = journal.position()
    replica.follow(journal, position.last_seq)
    check_end(replica.engine, replica.chain, position)


def _before(journal: Journal, seq: int) -> int:
    """The row before one; proving refuses a row of another history."""
    row = journal.row_at(seq)
    return seq - 1 if row is None else row.entry().after_seq


def _back(journal: Journal, begins: int, seq: int, rows: int) -> int:
    """The row that `rows` others follow, up to this one; one before `begins` where there are fewer since."""
    for first, last in reversed(unbroken(journal, begins - 1, seq) if rows > seq % HISTORY_ROWS else [(0, seq)]):
        if rows <= last - first:
            return last - rows
        rows -= last - first + 1
    return -rows


def _of_files(ranges: Sequence[tuple[int, int]]) -> Generator[tuple[int, int], None, None]:
    """Ranges that are no longer than a file."""
    for first, last in ranges:
        for start in range(first, last + 1, FILE_ROWS):
            yield start, min(start + FILE_ROWS - 1, last)


def _archive(journal: Journal, shard_id: int, chain: Chain, first: int, last: int, folder: Path) -> Archive:
    """Write the rows after a chain's end to a file and compare it with the table; the chain then stands at its end."""
    end = journal.row_at(last)
    if end is None or chain.digest is None:
        raise Corrupt(f"Row {last} is missing", last)
    empty = Archive(first, last, end.epoch, end.at_us, chain.digest, end.digest, "", 0, b"")
    with closing(_chained(journal, chain, last)) as rows:
        archive = write_archive(folder, shard_id, rows, empty)
    with closing(read_archive(folder, shard_id, archive)) as back, closing(_until(journal, first - 1, last)) as table:
        written, there = itertools.chain.from_iterable(back), itertools.chain.from_iterable(table)
        for one, two in itertools.zip_longest(written, there):
            if one != two:
                seq = (one or two).seq
                raise Corrupt(
                    f"Row {seq} is not in {archive.file_name} as it is in the journal: nothing was deleted. Move that "
                    "file away and run it again",
                    seq,
                )
    with closing(journal.scan(last)) as chunks:
        following = next(iter(next(chunks, ())), None)
    if following is None:
        raise Corrupt(f"Row {last + 1} is missing", last + 1)
    Chain(chain.seq, chain.digest, chain.epoch, chain.at_us).follow(following)
    return archive


def _chained(journal: Journal, chain: Chain, last: int) -> Generator[Sequence[StoredRow], None, None]:
    """The rows after a chain's end, each of which must continue it."""
    for rows in _until(journal, chain.seq, last):
        for row in rows:
            chain.follow(row)
        yield rows
    if chain.seq != last:
        raise Corrupt(f"Row {chain.seq + 1} is missing", chain.seq + 1)


def _until(journal: Journal, after_seq: int, last: int) -> Generator[Sequence[StoredRow], None, None]:
    with closing(journal.scan(after_seq)) as chunks:
        for rows in chunks:
            yield [row for row in rows if row.seq <= last] if rows[-1].seq > last else rows
            if rows[-1].seq >= last:
                return


def _record_and_delete(
    connection: psycopg.Connection, shard_id: int, archive: Archive, snapshot: Info, store_kind: str
) -> None:
    """Say where the rows are and delete them, in one transaction; the database's own triggers check both."""
    try:
        with connection.transaction():
            connection.execute(
                """
                INSERT INTO journal_archives
                    (shard_id, first_seq, last_seq, epoch, at_us, digest_before, digest_after, file_name, file_bytes,
                     sha256, snapshot_store, snapshot_name, snapshot_seq, snapshot_digest)
                VALUES (%s, %s, %s, %s, %s, %b, %b, %s, %s, %b, %s, %s, %s, %b)
                """,
                (shard_id, *archive, store_kind, snapshot.name, snapshot.seq, snapshot.digest),
            )
            connection.execute(
                "DELETE FROM journal WHERE shard_id = %s AND seq BETWEEN %s AND %s",
                (shard_id, archive.first_seq, archive.last_seq),
            )
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(f"The database did not confirm that rows were archived: {error}. Run it again.") from error
    except psycopg.IntegrityError as error:
        raise Unavailable(f"Another prune of this shard is at work: {error}. Nothing was deleted.") from error
    except psycopg.Error as error:
        raise PersistenceError(f"The database refused to let the rows go: {error}. Nothing was deleted.") from error
