"""How the market is written: `execute_journaled`.

Rule of this file: a row is durable once it is in the journal, and nothing else is waited for. A batch of journal rows
is one statement, one round trip and one flush of the disk. Its fence moves `engine_writer.last_seq` from the row before
my first to my last, if the epoch is mine and my first row continues the digest that is stored there; where it does not,
no row is written. PostgreSQL locks that row until the commit, so of two writers one waits and then finds that it has
moved.

The tables follow, in transactions of their own (`tables.transactions`).
"""

from collections.abc import Sequence
from typing import Final, NoReturn

import psycopg

from callmarket.engine.codec import SealedRow
from callmarket.persistence.database.connections import BoundedConnection
from callmarket.persistence.errors import Corrupt, Diverged, Fenced, Gap, PersistenceError, Unavailable
from callmarket.persistence.journal.protocol import StoredRow
from callmarket.persistence.journal.statements import CHANGES_ROWS, append_of

# Rows in one transaction. At this size the fixed cost of a transaction is below 1 % and its work below a second.
BATCH_ROWS_MAX: Final = 20_000


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
        raise_as_ours(error, first, last)


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


def raise_as_ours(error: psycopg.Error, first: int, last: int) -> NoReturn:
    """Raise ours for an error of the driver: what may be tried again, and what may not. `first` to `last` are rows."""
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
