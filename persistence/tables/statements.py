"""The SQL that brings the tables up to date: new rows, and changes of others.

Rule of this file: pure; nothing here knows a connection. Rows go as arrays, one for each column and one statement for
each table, because statements can be sent without awaiting the answers of those before. COPY cannot: it is an exchange
of its own. But it writes whole pages, which pays from `COPY_ROWS_MIN` rows of a table on.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import astuple
from psycopg import sql
from psycopg.types.numeric import Int4

from callmarket.persistence.database.arrays import array, sent_as
from callmarket.persistence.tables.capital_shapes import (
    ARTIFACT_MARKETS,
    ARTIFACT_STATES,
    FILLS,
    ORDERS,
    POSITIONS,
    PURSES,
    TRADES,
    ArtifactMarketChange,
    OrderChange,
    PositionChange,
)
from callmarket.persistence.tables.projections import Changes
from callmarket.persistence.tables.rows import (
    ACCOUNTS,
    BIDS,
    CLEARS,
    HOLDS,
    LEDGER,
    MARKETS,
    ROUNDS,
    SLOTS,
    TABLES,
    AccountChange,
    AwardChange,
    BidChange,
    HoldChange,
    LiveSlotChange,
    NamedHoldChange,
    SlotChange,
)
from callmarket.persistence.tables.table import Table

# With fewer, COPY's own round trips cost more than it saves; `benchmarks/bench_batches.py` shows where that is.
COPY_ROWS_MIN: Final = 128

# COPY packs what a row holds: times as the numbers that they are in binary, json as its bytes.
_COPY_TYPES: Final = {"timestamptz": "int8", "json": "bytea"}
# What an array of texts is sent for.
_CASTS: Final[dict[str, LiteralString]] = {"numeric": "::numeric", "int8[]": "::int8[]"}

Row: TypeAlias = tuple[Any, ...]


class Statement(NamedTuple):
    """One statement: `rows` are to be written by it, and if there are fewer, the table is not as it was."""

    table: str
    query: bytes
    values: tuple[object, ...]
    rows: int


class Copy(NamedTuple):
    """Many new rows of one table; each begins with the shard."""

    query: bytes
    types: Sequence[str]
    rows: Iterable[Row]


@dataclass(frozen=True)
class Batch:
    """What a batch sends: copies, which are of rows that occur once, and then statements in their order."""

    copies: Sequence[Copy]
    statements: Sequence[Statement]


def batch_of(changes: Changes, shard_id: int) -> Batch:
    """What brings the tables to what `changes` says. 4 us a row, most of it packing."""
    copies: list[Copy] = []
    statements: list[Statement] = []

    def insert(form: _NewRows, count: int, rows: Iterable[Row]) -> None:
        if count >= COPY_ROWS_MIN and form.copy is not None:
            # Made one by one while the server writes those before.
            copies.append(Copy(form.copy, form.copy_types, ((shard_id, *row) for row in rows)))
        elif count:
            statements.append(_packed(form.table, form.insert, form.types, rows, shard_id))

    # Changes first: a slot of rules 1 or 2 may have ended and be on offer again.
    for table, kind, changed in changed_rows(changes):
        if changed:
            query, types = CHANGE_STATEMENTS[kind], _CHANGE_TYPES[kind]
            statements.append(_packed(table.name, query, types, map(astuple, changed), shard_id))
    for table, new in new_rows(changes):
        insert(_NEW_ROWS[table.name], len(new), map(astuple, new))
    return Batch(copies, statements)


def new_rows(changes: Changes) -> Sequence[tuple[Table, Collection[Struct]]]:
    """The rows that are made, by table."""
    capital, trading = changes.capital, changes.capital.trading
    return (
        (MARKETS, changes.markets),
        (ACCOUNTS, changes.accounts.values()),
        (BIDS, changes.bids.values()),
        (CLEARS, changes.clears.values()),
        (ROUNDS, changes.rounds),
        (LEDGER, changes.ledger),
        (HOLDS, changes.holds.new.values()),
        (SLOTS, changes.slots.new.values()),
        (ARTIFACT_MARKETS, capital.new.values()),
        (ARTIFACT_STATES, capital.states.values()),
        (POSITIONS, trading.positions.values()),
        (ORDERS, trading.orders.values()),
        (TRADES, trading.trades),
        (FILLS, trading.fills),
        (PURSES, capital.purses.values()),
    )


def changed_rows(changes: Changes) -> Sequence[tuple[Table, type[Struct], Collection[Struct]]]:
    """The changes of rows that are there, by table and kind, to be carried out before new rows are inserted."""
    capital, trading = changes.capital, changes.capital.trading
    accounts = changes.accounts_changed.values()
    paid = [change for change in accounts if change.balance is not None]
    holds = [
        HoldChange(change.account_id, change.held, change.updated_at, change.seq)
        for change in accounts
        if change.balance is None
    ]
    return (
        (SLOTS, SlotChange, changes.slots.changed.values()),
        (SLOTS, LiveSlotChange, changes.slots.live_changed),
        (BIDS, BidChange, changes.bids_changed.values()),
        (CLEARS, AwardChange, changes.clears_changed.values()),
        (ACCOUNTS, AccountChange, paid),
        (ACCOUNTS, HoldChange, holds),
        (HOLDS, NamedHoldChange, changes.holds.changed),
        (ARTIFACT_MARKETS, ArtifactMarketChange, capital.changed.values()),
        (POSITIONS, PositionChange, trading.positions_changed.values()),
        (ORDERS, OrderChange, trading.orders_changed.values()),
    )


def _packed(table: str, query: bytes, types: Sequence[str], rows: Iterable[Row], shard_id: int) -> Statement:
    columns = list(zip(*rows, strict=True))
    arrays = [array(type_, column) for type_, column in zip(types, columns, strict=True)]
    return Statement(table, query, (*arrays, Int4(shard_id)), len(columns[0]))


def _names(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _unnest(types: Iterable[str]) -> sql.Composed:
    """`unnest(%b::int8[], ...)`, one array for each column."""
    arrays = [sql.SQL("%b::{}[]").format(sql.Identifier(sent_as(type_))) for type_ in types]
    return sql.SQL("unnest({})").format(sql.SQL(", ").join(arrays))


def _new(column: str, type_: str) -> sql.Composed:
    """A column of `new`, as the table has it."""
    return sql.SQL(f"new.{{}}{_CASTS.get(type_, '')}").format(sql.Identifier(column))


class _NewRows:
    """How new rows of a table are sent; `types` are those of its columns but `shard_id`."""

    def __init__(self, table: str, types: Mapping[str, str], on_conflict: sql.Composable | None = None) -> None:
        self.table: Final = table
        self.types: Final = tuple(types.values())
        self.copy_types: Final = ("int4", *(_COPY_TYPES.get(type_, type_) for type_ in self.types))
        name, columns = sql.Identifier(table), _names(types)
        copy = sql.SQL("COPY {} (shard_id, {}) FROM STDIN (FORMAT binary)")
        # COPY knows no conflicts, and no texts that are to be lists.
        is_plain = on_conflict is None and "int8[]" not in self.types
        self.copy: Final = copy.format(name, columns).as_bytes() if is_plain else None
        values = sql.SQL(", ").join(_new(column, type_) for column, type_ in types.items())
        insert = sql.SQL(
            "INSERT INTO {name} AS old (shard_id, {columns}) SELECT shard.id, {values} "
            "FROM {arrays} AS new ({columns}), (SELECT %b::int AS id) AS shard"
        ).format(name=name, columns=columns, values=values, arrays=_unnest(self.types))
        # As bytes, because only then psycopg remembers how it has read it.
        self.insert: Final = (insert + on_conflict if on_conflict else insert).as_bytes()


def _change_statement(table: Table, change: type[Struct]) -> bytes:
    """`UPDATE ... FROM unnest(...)`: None leaves a column as it is; what a change adds to is added.

    What belongs to a status goes with it, None as well.

    Each row is first looked up by primary key and then updated where it lies (ctid). A plain join is shorter, but on
    tables without statistics the planner turns it into a comparison of all pairs, 30 times slower; OFFSET 0 keeps the
    look-up by key whatever the statistics say.
    """
    key = table.key_of(change)
    settings = []
    for column in change.__struct_fields__[len(key) :]:
        form: LiteralString = "{0} = coalesce({1}, old.{0})"
        if column in table.added:
            form = "{0} = old.{0} + {1}"
        elif column in table.of_status:
            form = "{0} = CASE WHEN new.status IS NULL THEN old.{0} ELSE {1} END"
        settings.append(sql.SQL(form).format(sql.Identifier(column), _new(column, table.sql_type(column))))
    statement = sql.SQL(
        "UPDATE {table} AS old SET {settings} FROM {arrays} AS new ({columns}), "
        "LATERAL (SELECT ctid FROM {table} WHERE shard_id = %b::int AND {found} OFFSET 0) AS found "
        "WHERE old.ctid = found.ctid"
    ).format(
        table=sql.Identifier(table.name),
        settings=sql.SQL(", ").join(settings),
        arrays=_unnest(table.sql_type(column) for column in change.__struct_fields__),
        columns=_names(change.__struct_fields__),
        found=sql.SQL(" AND ").join(
            [sql.SQL("{0} = new.{0}").format(sql.Identifier(column)) for column in key]
            + ([sql.SQL("status IN ('offered', 'awarded')")] if change is LiveSlotChange else [])
        ),
    )
    return statement.as_bytes()


def _on_conflict(table: Table) -> sql.Composable | None:
    """What a new row does to one of its key: it takes its place, as a slot that is offered again, or changes it."""
    if not table.replaces:
        return None
    changing = {column for kind in table.changes for column in kind.__struct_fields__} - {*table.key}
    settings = []
    for column in table.columns:
        form: LiteralString = "{0} = excluded.{0}"
        if column in table.added:
            form = "{0} = old.{0} + excluded.{0}"
        elif table.added and column not in changing:
            continue
        elif table.added:
            form = "{0} = coalesce(excluded.{0}, old.{0})"
        settings.append(sql.SQL(form).format(sql.Identifier(column)))
    return sql.SQL(" ON CONFLICT (shard_id, {}) DO UPDATE SET {}").format(
        _names(table.key), sql.SQL(", ").join(settings)
    )


_NEW_ROWS: Final = {
    table.name: _NewRows(
        table.name,
        {column: table.sql_type(column) for column in table.columns},
        _on_conflict(table),
    )
    for table in TABLES
}
_CHANGE_TYPES: Final = {
    kind: [table.sql_type(column) for column in kind.__struct_fields__] for table in TABLES for kind in table.changes
}
CHANGE_STATEMENTS: Final = {kind: _change_statement(table, kind) for table in TABLES for kind in table.changes}
