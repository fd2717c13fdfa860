"""How the tables follow the journal: each batch of changes in one transaction.

Rule of this file: the first statement of each transaction moves the mark `projections.seq` from where the tables stand
to the last row that they have after it; so each journal row reaches them once, from any process.
"""

import contextlib
from typing import Final, LiteralString

import psycopg
from psycopg.types.numeric import Int4, Int8

from callmarket.persistence.database.connections import BoundedConnection
from callmarket.persistence.errors import Diverged
from callmarket.persistence.journal.db_writes import raise_as_ours
from callmarket.persistence.tables.projections import Changes
from callmarket.persistence.tables.statements import Batch, Copy, batch_of

# Only while the epoch is mine: the next leader may run another version. `%b`: in binary, as everything here.
_ADVANCE: Final[LiteralString] = """
    UPDATE projections SET seq = %(last_seq)b, projected_at = clock_timestamp()
    WHERE shard_id = %(shard_id)b AND seq = %(after_seq)b
      AND EXISTS (SELECT FROM engine_writer WHERE engine_writer.shard_id = %(shard_id)b AND epoch = %(epoch)b)
"""


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
        raise_as_ours(error, after_seq + 1, last_seq)
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
