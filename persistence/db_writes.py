"""The one way in which the market's tables are written: `execute_journaled`.

Rule of this file: one batch is one transaction, and its first statement is the fence. The fence moves
`engine_writer.last_seq` from the row before my first to my last, if the epoch is mine and my first row continues the
digest that is stored there. PostgreSQL locks that row until the commit, so of two writers one waits and then finds that
the row has moved: nothing it sent is kept. Its answer is awaited before anything else is sent, because what is already
on the way would be executed whatever the fence said.

A batch is three round trips: BEGIN and fence; all rows; COMMIT, after what each statement found has been compared. More
of them would each cost the interpreter (`BoundedConnection.round_trip`). Only a batch with many new rows takes more.
"""

import contextlib
from collections.abc import Sequence
from typing import Final, LiteralString, NoReturn

import psycopg
from psycopg.types.numeric import Int4, Int8

from engine.codec import Sealed
from persistence.connections import BoundedConnection
from persistence.errors import Corrupt, Diverged, Fenced, Gap, PersistenceError, Unavailable
from persistence.projections import Changes, project
from persistence.statements import Batch, Copy, batch_of

# Rows in one transaction. At this size the fixed cost of a transaction is below 1 % and its work below a second.
BATCH_ROWS_MAX: Final = 20_000

# What may change a row on its way into the journal: a trigger before each row (bits 1, 2, 4: row, before, insert), or a
# rule. None is ours. What the table would have then is not what was acknowledged, and the next recovery would fail.
_CHANGES_ROWS: Final[LiteralString] = """
    SELECT 'trigger ' || tgname FROM pg_trigger
    WHERE tgrelid = 'journal'::regclass AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 7 = 7
    UNION ALL
    SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class = 'journal'::regclass AND ev_type = '3'
"""

# `%b`: in binary, as everything here.
_FENCE: Final[LiteralString] = f"""
    UPDATE engine_writer SET last_seq = %(last_seq)b, last_digest = %(last_digest)b
    WHERE shard_id = %(shard_id)b AND epoch = %(epoch)b AND last_seq = %(after_seq)b
      AND journal_digest(last_digest, %(first_seq)b, %(at_us)b, %(rules)b, %(actor)b, %(command_id)b,
                         %(command)b::json, %(events)b::json) = %(digest)b
      AND NOT EXISTS ({_CHANGES_ROWS})
"""  # noqa: S608 -- constants


def execute_journaled(connection: BoundedConnection, rows: Sequence[Sealed], *, shard_id: int, epoch: int) -> None:
    """Write a batch of journal rows and what they do to the tables, in one transaction; return when it is committed.

    `rows` follow each other without a gap and are at most `BATCH_ROWS_MAX`; the connection is outside a transaction.
    Costs about 10 us a row in large batches, 1 ms and one flush of the disk for a single one. Nothing is written when
    it raises `Fenced`, `Gap`, `Corrupt` (the first row does not continue the stored chain) or `Diverged` (a table is
    not what the events say it was). With `Unavailable` the transaction may or may not be in: look at the position. A
    database that has become read-only (`ReadOnly`) is a failover under way, or a disk that somebody is saving.
    """
    first, last = rows[0].entry.seq, rows[-1].entry.seq
    assert len(rows) <= BATCH_ROWS_MAX, len(rows)
    # Each row's predecessor is the one before it: with the ends right, one comparison of all pairs proves it.
    assert [row.entry.seq for row in rows] == list(range(first, last + 1)), (first, last, "rows are not contiguous")
    # Made before the transaction begins, so that nobody waits at the fence for this process to compute.
    batch = batch_of(project(rows), shard_id, rows, epoch)
    # COPY is not possible in a pipeline, and a batch that is large enough for it does not feel its round trips.
    pipelined = contextlib.nullcontext() if batch.copies else connection.pipeline()
    try:
        with pipelined as pipeline:
            _begin_at_fence(connection, pipeline, rows, shard_id, epoch)
            _execute(connection, pipeline, batch, shard_id)
            # The end of the pipeline awaits its answer.
            commit = connection.execute("COMMIT", prepare=False)
        assert commit.statusmessage == "COMMIT", commit.statusmessage
    except psycopg.Error as error:
        _roll_back(connection)
        _translate(error, first, last)
    except BaseException:
        _roll_back(connection)
        raise


def write_changes(connection: BoundedConnection, changes: Changes, shard_id: int) -> None:
    """Bring the tables to what `changes` says, inside the caller's transaction."""
    _execute(connection, None, batch_of(changes, shard_id), shard_id)


def _execute(connection: BoundedConnection, pipeline: psycopg.Pipeline | None, batch: Batch, shard_id: int) -> None:
    """Send all of it, then await the answers. Raises `Diverged` if a statement found fewer rows than it must."""
    for copied in batch.copies:
        _copy(connection, copied)
    with connection.round_trip(pipeline):
        # Prepared from the first time on: to parse and plan one takes as long as to execute it for a row.
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


def _begin_at_fence(
    connection: BoundedConnection, pipeline: psycopg.Pipeline | None, rows: Sequence[Sealed], shard_id: int, epoch: int
) -> None:
    """Begin the transaction and pass the fence; return when it has been answered."""
    first, last = rows[0], rows[-1]
    values = {
        "shard_id": Int4(shard_id),
        "epoch": Int8(epoch),
        "last_seq": Int8(last.entry.seq),
        "last_digest": last.digest,
        "first_seq": Int8(first.entry.seq),
        "after_seq": Int8(first.entry.after_seq),
        "at_us": Int8(first.entry.at_us),
        "rules": Int4(first.rules),
        "actor": first.entry.actor,
        "command_id": first.entry.command_id,
        "command": first.command_json.decode(),
        "events": first.events_json.decode(),
        "digest": first.digest,
    }
    with connection.round_trip(pipeline):
        connection.execute("BEGIN", prepare=False)
        fence = connection.execute(_FENCE, values, prepare=True)
    if fence.rowcount != 1:
        _raise_fence(connection, first, shard_id, epoch)


def _roll_back(connection: psycopg.Connection) -> None:
    """End the transaction; where that fails the connection is lost, and the server does it."""
    with contextlib.suppress(psycopg.Error):
        connection.rollback()


def _raise_fence(connection: psycopg.Connection, first: Sealed, shard_id: int, epoch: int) -> NoReturn:
    """Say why the fence held; raising rolls back."""
    changing = connection.execute(_CHANGES_ROWS).fetchone()
    if changing is not None:
        raise PersistenceError(
            f"A {changing[0]} on the table journal may change rows on their way into it, so what would be there might "
            "not be what is acknowledged. Nothing was written. Drop it; one that only looks is to be AFTER INSERT."
        )
    found = connection.execute("SELECT epoch, last_seq FROM engine_writer WHERE shard_id = %s", (shard_id,)).fetchone()
    if found is None:
        raise Fenced(f"Shard {shard_id} has no writer: its row in engine_writer is gone. Claim the shard first.")
    stored_epoch, last_seq = found
    if stored_epoch < epoch:
        raise Gap(
            f"Shard {shard_id} is written by epoch {stored_epoch}, before mine, {epoch}: the database went back. "
            "Nothing was written. Stop and recover from the journal."
        )
    if stored_epoch != epoch:
        raise Fenced(
            f"Shard {shard_id} is written by epoch {stored_epoch}, mine is {epoch}: another writer has taken over. "
            "Nothing was written. Stop this process."
        )
    seq = first.entry.seq
    if last_seq != first.entry.after_seq:
        raise Gap(
            f"Shard {shard_id} ends at seq {last_seq}, and this batch begins at {seq}. Nothing was written. "
            "Stop and recover from the journal."
        )
    raise Corrupt(
        f"Row {seq} does not continue the digest of shard {shard_id}: this writer's history is not the database's. "
        "Nothing was written. Stop and recover from the journal.",
        seq,
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
