"""The one way in which the market's tables are written: `execute_journaled`.

Rule of this file: one batch is one transaction, and its first statement is the fence. The fence moves
`engine_writer.last_seq` from my first seq - 1 to my last, if the epoch is mine and my first row continues the digest
that is stored there. PostgreSQL locks that row until the commit, so of two writers one waits and then finds that the
row has moved: nothing it sent is kept. Its answer is awaited before anything else is sent, because what is already on
the way would be executed whatever the fence said.

New rows go by binary COPY, which psycopg packs in C; changes as arrays, one UPDATE per table and batch.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, LiteralString, NoReturn

import psycopg
from msgspec import Struct
from msgspec.structs import astuple
from psycopg import sql
from psycopg.types.numeric import Int4, Int8

from engine.codec import Sealed
from persistence.errors import Corrupt, Diverged, Fenced, Gap, PersistenceError, Unavailable
from persistence.projections import Changes, project
from persistence.tables import (
    ACCOUNTS,
    BIDS,
    CLEARS,
    LEDGER,
    MARKETS,
    ROUNDS,
    SLOTS,
    TABLES,
    AccountChange,
    BidChange,
    ClearChange,
    HoldChange,
    SlotChange,
    Table,
    is_time,
)

# Rows in one transaction. At this size the fixed cost of a transaction is below 1 % and its work below a second.
BATCH_ROWS_MAX: Final = 20_000

JOURNAL_COLUMNS: Final = (
    "shard_id", "seq", "epoch", "at_us", "actor", "command_id", "rules", "command", "events", "digest",
)  # fmt: skip
# json travels as its text, bytes as they are.
_JOURNAL_TYPES: Final = ("int4", "int8", "int8", "int8", "text", "text", "int4", "bytea", "bytea", "bytea")

# `%b`: in binary, as everything here.
_FENCE: Final[LiteralString] = """
    UPDATE engine_writer SET last_seq = %(last_seq)b, last_digest = %(last_digest)b
    WHERE shard_id = %(shard_id)b AND epoch = %(epoch)b AND last_seq = %(first_seq)b - 1
      AND journal_digest(last_digest, %(first_seq)b, %(at_us)b, %(rules)b, %(actor)b, %(command_id)b,
                         %(command)b::json, %(events)b::json) = %(digest)b
"""


def execute_journaled(connection: psycopg.Connection, rows: Sequence[Sealed], *, shard_id: int, epoch: int) -> None:
    """Write a batch of journal rows and what they do to the tables, in one transaction; return when it is committed.

    `rows` follow each other without a gap and are at most `BATCH_ROWS_MAX`; the connection is outside a transaction.
    Costs about 10 us a row in large batches, 1 ms and one flush of the disk for a single one. Nothing is written when
    it raises `Fenced`, `Gap`, `Corrupt` (the first row does not continue the stored chain) or `Diverged` (a table is
    not what the events say it was). With `Unavailable` the transaction may or may not be in: look at the position.
    """
    first, last = rows[0].entry.seq, rows[-1].entry.seq
    assert len(rows) <= BATCH_ROWS_MAX, len(rows)
    # Each row's predecessor is the one before it: with the ends right, one comparison of all pairs proves it.
    assert [row.entry.seq for row in rows] == list(range(first, last + 1)), (first, last, "rows are not contiguous")
    try:
        with connection.transaction():
            _pass_fence(connection, rows, shard_id, epoch)
            _copy_journal(connection, rows, shard_id, epoch)
            write_changes(connection, project(rows), shard_id)
    except psycopg.Error as error:
        _translate(error, first, last)


def write_changes(connection: psycopg.Connection, changes: Changes, shard_id: int) -> None:
    """Bring the tables to what `changes` says, inside the caller's transaction."""
    _copy(connection, MARKETS, changes.markets, shard_id)
    _copy(connection, ACCOUNTS, changes.accounts.values(), shard_id)
    _copy(connection, BIDS, changes.bids.values(), shard_id)
    _copy(connection, CLEARS, changes.clears.values(), shard_id)
    _copy(connection, ROUNDS, changes.rounds, shard_id)
    _copy(connection, LEDGER, changes.ledger, shard_id)
    _offer_slots(connection, changes.slots.values(), shard_id)
    _change(connection, SLOTS, SlotChange, changes.slots_changed.values(), shard_id)
    _change(connection, BIDS, BidChange, changes.bids_changed.values(), shard_id)
    _change(connection, CLEARS, ClearChange, changes.clears_changed.values(), shard_id)
    paid = [change for change in changes.accounts_changed.values() if change.balance is not None]
    _change(connection, ACCOUNTS, AccountChange, paid, shard_id)
    holds = [
        HoldChange(change.account_id, change.held, change.updated_at, change.seq)
        for change in changes.accounts_changed.values()
        if change.balance is None
    ]
    _change(connection, ACCOUNTS, HoldChange, holds, shard_id)


def _pass_fence(connection: psycopg.Connection, rows: Sequence[Sealed], shard_id: int, epoch: int) -> None:
    first, last = rows[0], rows[-1]
    values = {
        "shard_id": Int4(shard_id),
        "epoch": Int8(epoch),
        "last_seq": Int8(last.entry.seq),
        "last_digest": last.digest,
        "first_seq": Int8(first.entry.seq),
        "at_us": Int8(first.entry.at_us),
        "rules": Int4(first.rules),
        "actor": first.entry.actor,
        "command_id": first.entry.command_id,
        "command": first.command_json.decode(),
        "events": first.events_json.decode(),
        "digest": first.digest,
    }
    if connection.execute(_FENCE, values).rowcount != 1:
        _raise_fence(connection, first, shard_id, epoch)


def _raise_fence(connection: psycopg.Connection, first: Sealed, shard_id: int, epoch: int) -> NoReturn:
    """Say why the fence held; raising rolls back."""
    found = connection.execute("SELECT epoch, last_seq FROM engine_writer WHERE shard_id = %s", (shard_id,)).fetchone()
    if found is None:
        raise Fenced(f"Shard {shard_id} has no writer: its row in engine_writer is gone. Claim the shard first.")
    stored_epoch, last_seq = found
    if stored_epoch != epoch:
        raise Fenced(
            f"Shard {shard_id} is written by epoch {stored_epoch}, mine is {epoch}: another writer has taken over. "
            "Nothing was written. Stop this process."
        )
    seq = first.entry.seq
    if last_seq != seq - 1:
        raise Gap(
            f"Shard {shard_id} ends at seq {last_seq}, and this batch begins at {seq}. Nothing was written. "
            "Stop and recover from the journal."
        )
    raise Corrupt(
        f"Row {seq} does not continue the digest of shard {shard_id}: this writer's history is not the database's. "
        "Nothing was written. Stop and recover from the journal.",
        seq,
    )


def _copy_journal(connection: psycopg.Connection, rows: Sequence[Sealed], shard_id: int, epoch: int) -> None:
    with connection.cursor() as cursor, cursor.copy(_copy_statement("journal", JOURNAL_COLUMNS)) as copy:
        copy.set_types(_JOURNAL_TYPES)
        write_row = copy.write_row
        for row in rows:
            entry = row.entry
            write_row(
                (
                    shard_id,
                    entry.seq,
                    epoch,
                    entry.at_us,
                    entry.actor,
                    entry.command_id,
                    row.rules,
                    row.command_json,
                    row.events_json,
                    row.digest,
                )
            )


def _copy(connection: psycopg.Connection, table: Table, rows: Collection[Struct], shard_id: int) -> None:
    if not rows:
        return
    with connection.cursor() as cursor, cursor.copy(_COPY_STATEMENTS[table.name]) as copy:
        copy.set_types(("int4", *(table.sql_type(column) for column in table.columns)))
        write_row = copy.write_row
        for row in rows:
            write_row((shard_id, *astuple(row)))


def _offer_slots(connection: psycopg.Connection, rows: Collection[Struct], shard_id: int) -> None:
    """Insert offers; an ended slot that is offered again starts its row anew."""
    if rows:
        _execute(connection, _OFFER_SLOTS, shard_id, rows)


def _change(
    connection: psycopg.Connection, table: Table, kind: type[Struct], changes: Collection[Struct], shard_id: int
) -> None:
    """Change rows that earlier batches made. Raises `Diverged` if one of them is not there."""
    if not changes:
        return
    changed = _execute(connection, _CHANGE_STATEMENTS[kind], shard_id, changes)
    if changed != len(changes):
        raise Diverged(
            f"{table.name} of shard {shard_id} lacks {len(changes) - changed} of {len(changes)} rows that this batch "
            "changes. Nothing was written. Somebody has changed the table: run verify, then rebuild it."
        )


def _execute(connection: psycopg.Connection, statement: sql.Composed, shard_id: int, rows: Iterable[Struct]) -> int:
    columns = [list(column) for column in zip(*map(astuple, rows), strict=True)]
    return connection.execute(statement, (*columns, Int4(shard_id))).rowcount


def _copy_statement(name: str, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(sql.Identifier(name), _names(columns))


def _names(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _arrays(table: Table, columns: Iterable[str]) -> sql.Composed:
    """`unnest(%b::bigint[], ...)`, one array for each column."""
    arrays = [sql.SQL("%b::{}[]").format(sql.SQL(_ARRAY_TYPES[table.sql_type(column)])) for column in columns]
    return sql.SQL("unnest({})").format(sql.SQL(", ").join(arrays))


def _time_or_value(column: str) -> sql.Composed:
    """A column of `new`, as the table has it: a time is turned from its number."""
    value = sql.SQL("new.{}").format(sql.Identifier(column))
    if not is_time(column):
        return value
    return sql.SQL("(timestamptz '2000-01-01 00:00:00+00' + {} * interval '1 microsecond')").format(value)


def _offer_statement() -> sql.Composed:
    columns = SLOTS.columns
    values = sql.SQL(", ").join(map(_time_or_value, columns))
    keep_new = [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in columns]
    return sql.SQL(
        "INSERT INTO {table} (shard_id, {columns}) SELECT shard.id, {values} "
        "FROM {arrays} AS new ({columns}), (SELECT %b::int AS id) AS shard "
        "ON CONFLICT (shard_id, slot_id) DO UPDATE SET {keep_new}"
    ).format(
        table=sql.Identifier(SLOTS.name),
        columns=_names(columns),
        values=values,
        arrays=_arrays(SLOTS, columns),
        keep_new=sql.SQL(", ").join(keep_new),
    )


def _change_statement(table: Table, change: type[Struct]) -> sql.Composed:
    """`UPDATE ... FROM unnest(...)`: None leaves a column as it is; what a change adds to is added.

    Each row is first looked up by primary key and then updated where it lies (ctid). A plain join is shorter, but on
    tables without statistics the planner turns it into a comparison of all pairs, 30 times slower; OFFSET 0 keeps the
    look-up by key whatever the statistics say.
    """
    key, *columns = change.__struct_fields__
    settings = []
    for column in columns:
        form = "{0} = old.{0} + {1}" if column in table.added else "{0} = coalesce({1}, old.{0})"
        settings.append(sql.SQL(form).format(sql.Identifier(column), _time_or_value(column)))
    return sql.SQL(
        "UPDATE {table} AS old SET {settings} FROM {arrays} AS new ({columns}), "
        "LATERAL (SELECT ctid FROM {table} WHERE shard_id = %b::int AND {key} = new.{key} OFFSET 0) AS found "
        "WHERE old.ctid = found.ctid"
    ).format(
        table=sql.Identifier(table.name),
        settings=sql.SQL(", ").join(settings),
        arrays=_arrays(table, (key, *columns)),
        columns=_names((key, *columns)),
        key=sql.Identifier(key),
    )


_ARRAY_TYPES: Final[dict[str, LiteralString]] = {"int8": "bigint", "text": "text", "numeric": "numeric"}
_COPY_STATEMENTS: Final = {table.name: _copy_statement(table.name, ("shard_id", *table.columns)) for table in TABLES}
_OFFER_SLOTS: Final = _offer_statement()
_CHANGE_STATEMENTS: Final = {kind: _change_statement(table, kind) for table in TABLES for kind in table.changes}


def _translate(error: psycopg.Error, first: int, last: int) -> NoReturn:
    """Turn the driver's error into ours: what may be tried again, and what may not."""
    batch = f"seq {first} to {last}"
    match error:
        case psycopg.IntegrityError() | psycopg.DataError():
            raise Diverged(
                f"A table is not what the events of {batch} say it was: {error}. Nothing was written. "
                "Run verify, then rebuild the tables from the journal.",
                first,
            ) from error
        # A database that has become read-only is a failover under way, or a disk that somebody is saving.
        case psycopg.OperationalError() | psycopg.InterfaceError() | psycopg.errors.ReadOnlySqlTransaction():
            raise Unavailable(f"The database did not confirm {batch}: {error}. It is tried again.") from error
        case _:
            raise PersistenceError(
                f"The database refused {batch}: {error}. Nothing was written. Check the schema and the rights of the "
                "writer's role."
            ) from error
