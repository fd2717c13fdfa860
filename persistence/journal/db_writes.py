"""How the market is written: `execute_journaled`, and after it the tables.

Rule of this file: a row is durable once it is in the journal, and nothing else is waited for. A batch of journal rows
is one statement, one round trip and one flush of the disk. Its fence moves `engine_writer.last_seq` from the row before
my first to my last, if the epoch is mine and my first row continues the digest that is stored there; where it does not,
no row is written. PostgreSQL locks that row until the commit, so of two writers one waits and then finds that it has
moved.

The tables follow in transactions of their own. The first statement of each moves the mark `projections.seq` from where
the tables stand to the last row that they have after it: so each journal row reaches them once, from any process.
"""

import contextlib
from collections.abc import Sequence
from typing import Final, LiteralString, NoReturn

import psycopg
from psycopg.types.numeric import Int4, Int8

from callmarket.engine.codec import SealedRow
from callmarket.persistence.database.connections import BoundedConnection
from callmarket.persistence.errors import Corrupt, Diverged, Fenced, Gap, PersistenceError, Unavailable
from callmarket.persistence.journal.protocol import StoredRow
from callmarket.persistence.journal.statements import CHANGES_ROWS, Batch, Copy, append_of, batch_of
from callmarket.persistence.tables.projections import Changes

# Rows in one transaction. At this size the fixed cost of a transaction is below 1 % and its work below a second.
BATCH_ROWS_MAX: Final = 20_000

# Only while the epoch is mine: the next leader may run another version. `%b`: in binary, as everything here.
_ADVANCE: Final[LiteralString] = """
    UPDATE projections SET seq = %(last_seq)b, projected_at = clock_timestamp()
    WHERE shard_id = %(shard_id)b AND seq = %(after_seq)b
      AND EXISTS (SELECT FROM engine_writer WHERE engine_writer.shard_id = %(shard_id)b AND epoch = %(epoch)b)
"""


def execute_journaled(connection: BoundedConnection, rows: Sequence[SealedRow], *, shard_id: int, epoch: int) -> None:
    """Write a batch of journal rows; return when they are durable. The SQL tables follow (`projector`).

    `rows` follow each other without a gap and are at most `BATCH_ROWS_MAX`; the connection is outside a transaction.
    Costs about 10 us a row in large batches, 0.3 ms with the flush of the disk for a single one. Nothing is written
    when it raises `Fenced`, `Gap` or `Corrupt` (the first row does not continue the stored chain). With `Unavailable`
    the rows may or may not be in: look at the position. A database that has become read-only (`ReadOnly`) is a failover
    under way, or a disk that somebody is saving.
    """
    first = rows[0]
    append(connection, [StoredRow.of(row, epoch) for row in rows], first.entry.after_seq, first.digest_before, shard_id)


def append(
    connection: BoundedConnection, rows: Sequence[StoredRow], after_seq: int, digest_before: bytes, shard_id: int
) -> None:
    """`execute_journaled` for rows that nobody decodes, all of one epoch.

    The first of them follows row `after_seq`, whose digest is `digest_before`.
    """
    first, last = rows[0].seq, rows[-1].seq
    assert len(rows) <= BATCH_ROWS_MAX, len(rows)
    # Each row's predecessor is the one before it: with the ends right, one comparison of all pairs proves it.
    assert [row.seq for row in rows] == list(range(first, last + 1)), (first, last, "rows are not contiguous")
    try:
        # Prepared from the first time on: to parse and plan it takes as long as to execute it for a row.
        statement, values = append_of(rows, after_seq, digest_before, shard_id)
        written = connection.execute(statement, values, prepare=True).rowcount
        if written != len(rows):
            _raise_fence(connection, rows[0], after_seq, shard_id)
    except psycopg.NotSupportedError:
        # What the server says of a rule that stands in the way.
        _raise_fence(connection, rows[0], after_seq, shard_id)
    except psycopg.Error as error:
        _translate(error, first, last)


def advance(
    connection: BoundedConnection, changes: Changes, after_seq: int, last_seq: int, *, shard_id: int, epoch: int
) -> bool:
    """Bring the tables from row `after_seq` to row `last_seq`, in one transaction; `changes` is what lies between.

    False, and nothing is written, if they do not stand there, or the epoch is no longer this one. The connection is
    outside a transaction. Costs some 7 us a row in large batches. Nothing is written either when it raises `Diverged`
    (a table is not what the events say it was); with `Unavailable` look where they stand.
    """
    # Made before the transaction begins, so that nobody waits for this process to compute.
    batch = batch_of(changes, shard_id)
    values = {
        "shard_id": Int4(shard_id),
        "after_seq": Int8(after_seq),
        "last_seq": Int8(last_seq),
        "epoch": Int8(epoch),
    }
    # COPY is not possible in a pipeline, and a batch that is large enough for it does not feel its round trips.
    pipelined = contextlib.nullcontext() if batch.copies else connection.pipeline()
    try:
        with pipelined as pipeline:
            with connection.round_trip(pipeline):
                connection.execute("BEGIN", prepare=False)
                mark = connection.execute(_ADVANCE, values, prepare=True)
            # Awaited before anything else is sent, which would be executed whatever it said.
            if mark.rowcount != 1:
                _roll_back(connection)
                return False
            _execute(connection, pipeline, batch, shard_id)
            # The end of the pipeline awaits its answer.
            commit = connection.execute("COMMIT", prepare=False)
        assert commit.statusmessage == "COMMIT", commit.statusmessage
    except psycopg.Error as error:
        _roll_back(connection)
        _translate(error, after_seq + 1, last_seq)
    except BaseException:
        _roll_back(connection)
        raise
    return True


def write_changes(connection: BoundedConnection, changes: Changes, shard_id: int) -> None:
    """Bring the tables to what `changes` says, inside the caller's transaction."""
    _execute(connection, None, batch_of(changes, shard_id), shard_id)


def _execute(connection: BoundedConnection, pipeline: psycopg.Pipeline | None, batch: Batch, shard_id: int) -> None:
    """Send all of it, then await the answers. Raises `Diverged` if a statement found fewer rows than it must."""
    for copied in batch.copies:
        _copy(connection, copied)
    with connection.round_trip(pipeline):
        sent = [(item, connection.execute(item.query, item.values, prepare=True)) for item in batch.statements]
    for statement, cursor in sent:
        if cursor.rowcount != statement.rows:
            raise Diverged(
                f"{statement.table} of shard {shard_id} lacks {statement.rows - cursor.rowcount} of {statement.rows} "
                "rows that this batch changes. Nothing was written. Somebody has changed the table: run verify, then "
                "rebuild it."
            )


def _copy(connection: psycopg.Connection, copied: Copy) -> None:
    with connection.cursor() as cursor, cursor.copy(copied.query) as copy:
        copy.set_types(copied.types)
        for row in copied.rows:
            copy.write_row(row)


def _roll_back(connection: psycopg.Connection) -> None:
    """End the transaction; where that fails the connection is lost, and the server does it."""
    with contextlib.suppress(psycopg.Error):
        connection.rollback()


def _raise_fence(connection: psycopg.Connection, first: StoredRow, after_seq: int, shard_id: int) -> NoReturn:
    """Say why the fence held."""
    changing = connection.execute(CHANGES_ROWS).fetchone()
    if changing is not None:
        raise PersistenceError(
            f"A {changing[0]} on the table journal may change rows on their way into it, so what would be there might "
            "not be what is acknowledged. Nothing was written. Drop it; one that only looks is to be AFTER INSERT."
        )
    found = connection.execute("SELECT epoch, last_seq FROM engine_writer WHERE shard_id = %s", (shard_id,)).fetchone()
    if found is None:
        raise Fenced(f"Shard {shard_id} has no writer: its row in engine_writer is gone. Claim the shard first.")
    stored_epoch, last_seq = found
    if stored_epoch < first.epoch:
        raise Gap(
            f"Shard {shard_id} is written by epoch {stored_epoch}, before mine, {first.epoch}: the database went back. "
            "Nothing was written. Stop and recover from the journal."
        )
    if stored_epoch != first.epoch:
        raise Fenced(
            f"Shard {shard_id} is written by epoch {stored_epoch}, mine is {first.epoch}: another writer has taken "
            "over. Nothing was written. Stop this process."
        )
    if last_seq != after_seq:
        raise Gap(
            f"Shard {shard_id} ends at seq {last_seq}, and this batch begins at {first.seq}. Nothing was written. "
            "Stop and recover from the journal."
        )
    raise Corrupt(
        f"Row {first.seq} does not continue the digest of shard {shard_id}: this writer's history is not the "
        "database's. Nothing was written. Stop and recover from the journal.",
        first.seq,
    )


def _translate(error: psycopg.Error, first: int, last: int) -> NoReturn:
    """Turn the driver's error into ours: what may be tried again, and what may not."""
    batch = f"seq {first} to {last}"
    match error:
        case psycopg.DataError():
            raise PersistenceError(
                f"The database cannot store a value of {batch}: {error}. Nothing was written, and no table needs to be "
                "rebuilt. Somebody has changed the type or a check of a column: make it what the migrations say."
            ) from error
        case psycopg.IntegrityError():
            raise Diverged(
                f"A table is not what the events of {batch} say it was: {error}. Nothing was written. "
                "Run verify, then rebuild the tables from the journal.",
                first,
            ) from error
        case psycopg.OperationalError() | psycopg.InterfaceError():
            raise Unavailable(f"The database did not confirm {batch}: {error}. It is tried again.") from error
        case _:
            raise PersistenceError(
                f"The database refused {batch}: {error}. Nothing was written. Check the schema and the rights of the "
                "writer's role."
            ) from error
