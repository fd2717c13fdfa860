"""The SQL tables made again from the journal.

Rule of this file: all of it is one transaction that holds the tables' mark. So nobody brings them along meanwhile: the
leader's projector waits and then goes on from the new mark, while the journal is written as ever. Readers see
the old rows until the new ones are there, and whatever ends this before its commit leaves the tables as they were.
"""

import time
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Final

import psycopg
from psycopg import sql

from callmarket.engine.codec import SealedRow
from callmarket.persistence.database.connections import BoundedConnection, connect
from callmarket.persistence.errors import Corrupt, Unavailable
from callmarket.persistence.journal.postgres import read_position
from callmarket.persistence.journal.protocol import Journal, Position
from callmarket.persistence.tables.projections import Changes
from callmarket.persistence.tables.rows import TABLES, AccountRow
from callmarket.persistence.tables.transactions import write_changes

# Journal rows that are folded at a time: some 50 MB, and few enough updates of what an earlier batch made.
BATCH_ROWS: Final = 50_000
# Generous, and a bound: the longest statement deletes all rows of the largest table.
_STATEMENT_S_MAX: Final = 3_600


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did: journal rows read, table rows before and after."""

    shard_id: int
    rows: int
    table_rows_before: int
    table_rows: int
    seconds: float

    def __str__(self) -> str:
        """What was rebuilt, in one line."""
        rate = round(self.rows / self.seconds) if self.seconds else 0
        return (
            f"shard {self.shard_id}: {self.table_rows:,} table rows from {self.rows:,} journal rows "
            f"in {self.seconds:.1f} s ({rate:,}/s), where {self.table_rows_before:,} were before"
        )


def rebuild(url: str, shard_id: int, journal: Journal) -> Rebuilt:
    """Delete all rows that a shard has in the SQL tables and make them again from its journal, all or nothing.

    `journal` is that of this shard and this database, and may be written meanwhile: new rows are left to the process
    that brings the tables along. Costs 20 to 50 us a journal row, twice the space of the tables until the next vacuum,
    and the memory of all accounts. Raises `Unavailable`, `Corrupt` with the first bad row, or `Archived`; then the
    tables are as before.
    """
    started = time.perf_counter()
    try:
        with connect(url, f"callmarket rebuild {shard_id}", writer=True) as connection, connection.transaction():
            position = _hold_mark(connection, shard_id)
            before = _delete(connection, shard_id)
            rows = _write(connection, shard_id, journal, position)
            connection.execute(
                "UPDATE projections SET seq = %s, projected_at = clock_timestamp() WHERE shard_id = %s",
                (position.last_seq, shard_id),
            )
            after = _count(connection, shard_id)
    except psycopg.Error as error:
        raise Unavailable(f"The tables were not rebuilt and are as they were: {error}") from error
    return Rebuilt(shard_id, rows, before, after, time.perf_counter() - started)


def _hold_mark(connection: psycopg.Connection, shard_id: int) -> Position:
    """Keep everybody from bringing the tables along until the end of the transaction; where the journal ends now."""
    position = read_position(connection, shard_id)
    if not position.epoch:
        raise Unavailable(
            f"Shard {shard_id} has no row in engine_writer, so its journal has no end to rebuild to: "
            "nobody has opened it yet, or the row was deleted."
        )
    connection.execute(
        """
        INSERT INTO projections (shard_id, seq, projected_at) VALUES (%s, 0, clock_timestamp())
        ON CONFLICT (shard_id) DO UPDATE SET projected_at = excluded.projected_at
        """,
        (shard_id,),
    )
    connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(f"{_STATEMENT_S_MAX}s"))
    # Once more: it may have gone on while the mark was waited for.
    return read_position(connection, shard_id)


def _delete(connection: psycopg.Connection, shard_id: int) -> int:
    statement = sql.SQL("DELETE FROM {} WHERE shard_id = {}")
    return sum(connection.execute(statement.format(sql.Identifier(table.name), shard_id)).rowcount for table in TABLES)


def _write(connection: BoundedConnection, shard_id: int, journal: Journal, position: Position) -> int:
    """Write all rows, check that the journal leads to its end, and say how many of its rows there were."""
    # All accounts stay here until the last row: most batches change the same ones.
    accounts: dict[str, AccountRow] = {}
    count, last_seq, last_digest, beyond = 0, 0, None, 0
    with closing(journal.read()) as rows:
        while batch := list(islice(rows, BATCH_ROWS)):
            beyond = batch[-1].entry.seq
            batch = [row for row in batch if row.entry.seq <= position.last_seq]
            if batch:
                changes = _fold(batch, accounts)
                count, last_seq, last_digest = count + len(batch), batch[-1].entry.seq, batch[-1].digest
                write_changes(connection, changes, shard_id)
            if beyond > position.last_seq:
                break
    # What came meanwhile is in the fence by now.
    is_too_long = beyond > position.last_seq and beyond > read_position(connection, shard_id).last_seq
    if is_too_long or last_seq != position.last_seq or (last_seq and last_digest != position.last_digest):
        raise Corrupt(
            f"The journal ends at row {max(last_seq, beyond)}, and the fence names row {position.last_seq} or another "
            "digest: the tables are as they were. Run verify.",
            min(last_seq, position.last_seq) + (is_too_long or last_seq != position.last_seq),
        )
    changes = Changes()
    changes.accounts = accounts
    write_changes(connection, changes, shard_id)
    return count


def _fold(rows: list[SealedRow], accounts: dict[str, AccountRow]) -> Changes:
    """What the rows do to the tables, but for the accounts, which are brought up to date here."""
    changes = Changes()
    changes.accounts = accounts
    for row in rows:
        changes.add(row.entry.seq, row.entry.at_us, row.events)
    changes.accounts = {}
    return changes


def _count(connection: psycopg.Connection, shard_id: int) -> int:
    counts = [
        sql.SQL("(SELECT count(*) FROM {} WHERE shard_id = {})").format(sql.Identifier(table.name), shard_id)
        for table in TABLES
    ]
    row = connection.execute(sql.SQL("SELECT {}").format(sql.SQL(" + ").join(counts))).fetchone()
    assert row is not None, "SELECT without FROM returns one row"
    count: int = row[0]
    return count
