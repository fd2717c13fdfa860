"""Is everything that lies in the database right? `verify` reads all of one shard and says.

Rule of this file: it only reads, and it reads one moment: all in one transaction that sees one state of the database,
so it may run beside a writer, and while the tables follow. Three questions, each answered from the ground up:

1. Is the journal whole: gapless, each digest right, epochs and times never falling, its end and last epoch the fence's?
   (In SQL alone: the view journal_breaks.)
2. Does this version of the engine decide the same again?
3. Is every row of every table what the journal says up to the row at which the tables stand, and did the engine's own
   state agree with those rows there?
"""

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from msgspec import Struct
from msgspec.structs import astuple
from psycopg import sql
from psycopg.types.numeric import Int8BinaryLoader

from callmarket.engine.core import Engine
from callmarket.engine.events import SlotOffered
from callmarket.persistence.archive.files import read_archive
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.single_use import FILES_DAMAGED
from callmarket.persistence.errors import Corrupt, Diverged, Unavailable
from callmarket.persistence.journal.postgres import is_archived, read_archives, read_chunk, read_mark, read_position
from callmarket.persistence.journal.protocol import Chain, StoredRow
from callmarket.persistence.recovery import check_end, replay
from callmarket.persistence.tables.agreement import disagreements
from callmarket.persistence.tables.projections import Changes
from callmarket.persistence.tables.rows import SLOTS
from callmarket.persistence.tables.statements import new_rows
from callmarket.persistence.tables.table import Table

# After this many differences the next ones say nothing new.
DIFFERENCES_MAX: Final = 20

_READ_ROWS: Final = 10_000
# Up to these rules slots of two providers had no id in common, so the tables had one row for each id.
_SHARED_IDS_RULES: Final = 2


@dataclass(frozen=True)
class VerifyReport:
    """What was read and what was found wrong: the first bad row of the journal or, if that is whole, rows of tables.

    A difference of a table names the journal row that wrote what must be there.
    """

    shard_id: int
    rows: int
    table_rows: int
    seconds: float
    first_bad_seq: int | None
    differences: tuple[str, ...]
    projected_seq: int = 0
    """The row at which the tables stand: up to there they were compared."""
    tables_behind: bool = False
    """Whether the journal goes on after that row."""

    @property
    def ok(self) -> bool:
        """Whether no difference was found."""
        return not self.differences

    def __str__(self) -> str:
        """The report as text."""
        read = (
            f"shard {self.shard_id}: {self.rows:,} journal rows, {self.table_rows:,} table rows, {self.seconds:.1f} s"
        )
        if self.tables_behind:
            read += f", tables up to row {self.projected_seq:,}"
        if self.ok:
            return f"{read}: all right"
        more = " or more" if len(self.differences) == DIFFERENCES_MAX else ""
        lines = [f"{read}: {len(self.differences)}{more} differences", *self.differences]
        if self.first_bad_seq is None:
            lines.append(
                "The journal itself is whole: `callmarket rebuild-projections` makes the tables again from it."
            )
        return "\n  ".join(lines)


def verify(url: str, shard_id: int, archive: Path | None = None) -> VerifyReport:
    """Check everything that a shard has in the database; the report has all faults.

    Raises only `Unavailable`; `Archived` if rows have left the journal and their folder, `archive`, is not named; and
    `Corrupt` where the server itself finds its files damaged, for then it gives nothing to compare.
    Costs about 20 us and 1 kB of memory for each journal row: all rows of all tables are made again in memory.
    """
    started = time.perf_counter()
    connection = connect(url, f"callmarket verify {shard_id}")
    try:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        # A timestamptz in binary is a number already; this keeps it one.
        connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
        with connection.transaction():
            verifier = _Verifier(connection, shard_id, archive)
            differences = tuple(itertools.islice(verifier.differences(), DIFFERENCES_MAX))
    except FILES_DAMAGED as error:
        raise Corrupt(f"The server finds the files of its tables damaged: {error}") from error
    except psycopg.Error as error:
        raise Unavailable(f"The database does not answer: {error}") from error
    finally:
        connection.close()
    seconds = time.perf_counter() - started
    return VerifyReport(
        shard_id,
        verifier.rows,
        verifier.table_rows,
        seconds,
        verifier.first_bad_seq,
        differences,
        verifier.mark,
        verifier.mark < verifier.chain.seq,
    )


class _Verifier:
    """One run: what the journal says so far."""

    def __init__(self, connection: psycopg.Connection, shard_id: int, archive: Path | None) -> None:
        self.connection = connection
        self.archive = archive
        self.shard_id = shard_id
        self.engine = Engine()
        self.chain = Chain(checks_shapes=True)
        self.changes = Changes()
        # The last offer of each id under the rules by which that was enough to name a slot.
        self.last_offers: dict[str, int] = {}
        self.rows = 0
        self.table_rows = 0
        self.first_bad_seq: int | None = None
        # Where the tables stand, and whether anything says so; and what the engine's state there and the events do not
        # agree about.
        self.mark = 0
        self.has_mark = False
        self.disagreements: list[str] = []

    def differences(self) -> Iterator[str]:
        """Find faults, lazily; past the first bad journal row nothing more can be said."""
        try:
            self._read_journal()
        except (Corrupt, Diverged) as error:
            self.first_bad_seq = error.seq
            yield f"journal: {error}"
            return
        yield from self._wrong_mark()
        yield from self.disagreements
        for table, rows in new_rows(self.changes):
            yield from self._compare(table, rows)
        yield from self._sums()

    def _read_journal(self) -> None:
        position = read_position(self.connection, self.shard_id)
        mark = read_mark(self.connection, self.shard_id)
        self.mark, self.has_mark = mark or 0, mark is not None
        self._agree()
        self._read_archives()
        while rows := read_chunk(self.connection, self.shard_id, self.chain.seq):
            self._follow(rows)
        check_end(self.engine, self.chain, position)

    def _read_archives(self) -> None:
        """Read the rows that have left the table; none of them may be in it."""
        archives = read_archives(self.connection, self.shard_id)
        if not archives:
            return
        if self.archive is None:
            raise is_archived(self.shard_id, 1, archives)
        for archive in archives:
            for rows in read_archive(self.archive, self.shard_id, archive):
                self._follow(rows)
        last = archives[-1].last_seq
        for row in read_chunk(self.connection, self.shard_id, 0, rows_max=1):
            if row.seq <= last:
                raise Corrupt(f"Row {row.seq} is in the table, and in the archive, which goes to row {last}", row.seq)

    def _follow(self, rows: Iterable[StoredRow]) -> None:
        for row in rows:
            entry, events = replay(self.engine, self.chain, row)
            self.rows += 1
            if row.seq <= self.mark:
                if row.rules <= _SHARED_IDS_RULES:
                    offers = (one for one in events if isinstance(one, SlotOffered))
                    self.last_offers.update((one.slot_id, one.offer_seq) for one in offers)
                self.changes.add(entry.seq, entry.at_us, events)
                self._agree()

    def _agree(self) -> None:
        """Where the tables stand, compare the events that they have with the engine's state."""
        if self.chain.seq == self.mark:
            self.disagreements = list(disagreements(self.engine.state, self.changes))

    def _wrong_mark(self) -> Iterator[str]:
        """Say so if the tables cannot stand where their mark says."""
        if not self.has_mark:
            if self.rows:
                yield "projections: the row is missing"
        elif self.mark != self.changes.last_seq:
            yield f"projections: the tables stand at row {self.mark}, and the journal has no such row"

    def _compare(self, table: Table, expected: Iterable[Struct]) -> Iterator[str]:
        """Compare all rows of one table with those that the journal makes; name the journal row of each difference."""
        assert table.columns[-1] == "seq", table
        width = table.key_columns
        missing = {values[:width]: values for values in map(astuple, expected)}
        query = sql.SQL("SELECT {} FROM {} WHERE shard_id = {}").format(
            sql.SQL(", ").join(map(sql.Identifier, table.columns)), sql.Identifier(table.name), self.shard_id
        )
        with self.connection.cursor(f"verify_{table.name}", binary=True) as cursor:
            cursor.itersize = _READ_ROWS
            cursor.execute(query)
            for found in cursor:
                self.table_rows += 1
                key = found[:width]
                row = missing.pop(key, None)
                if row is None:
                    yield f"{table.name} {_shown(key)}: the journal knows no such row"
                elif row != found:
                    yield f"{table.name} {_shown(key)}: {_unequal(table, row, found)} (journal row {row[-1]})"
        for key in self._replaced_slots() if table is SLOTS else ():
            missing.pop(key, None)
        for key, row in missing.items():
            yield f"{table.name} {_shown(key)}: the row is missing (journal row {row[-1]})"

    def _replaced_slots(self) -> Iterator[tuple[str, str]]:
        """Those whose row another provider's offer of the id has replaced, when tables had one for each id."""
        for slot in self.changes.slots.new.values():
            if slot.offer_seq < self.last_offers.get(slot.slot_id, 0):
                yield slot.slot_id, slot.provider_id

    def _sums(self) -> Iterator[str]:
        """Check the money once more, by the database alone."""
        found = self.connection.execute(
            """
            SELECT (SELECT coalesce(sum(balance), 0) FROM token_accounts WHERE shard_id = %(shard)s),
                   (SELECT coalesce(sum(held), 0) FROM token_accounts WHERE shard_id = %(shard)s)
                   - (SELECT coalesce(sum(max_price_tokens), 0) FROM compute_auction_bids
                      WHERE shard_id = %(shard)s AND status = 'open')
                   - (SELECT coalesce(sum(clearing_price_tokens), 0) FROM compute_auction_clears
                      WHERE shard_id = %(shard)s AND status = 'awarded')
                   - (SELECT coalesce(sum(amount), 0) FROM token_holds
                      WHERE shard_id = %(shard)s AND status = 'open')
                   - (SELECT coalesce(sum(left_micros / 1000000), 0) FROM market_orders
                      WHERE shard_id = %(shard)s AND status = 'open' AND effect = 'open'),
                   (SELECT coalesce(sum(difference_micros), 0) FROM capital_escrow WHERE shard_id = %(shard)s)
            """,
            {"shard": self.shard_id},
        ).fetchone()
        assert found is not None, "SELECT without FROM returns one row"
        balances, holds, escrow = found
        if balances != 0:
            yield f"token_accounts: the balances sum to {balances}, not to zero"
        if holds != 0:
            yield (
                f"token_accounts: what is held differs by {holds} from the open bids, live awards, named holds and "
                "resting orders"
            )
        if escrow != 0:
            yield f"capital_escrow: it differs by {escrow} millionths of a token from what it is divided into"


def _shown(key: tuple[object, ...]) -> str:
    return " ".join(map(str, key))


def _unequal(table: Table, expected: tuple[object, ...], found: tuple[object, ...]) -> str:
    named = zip(table.columns, expected, found, strict=True)
    return ", ".join(f"{column} is {there!r}, must be {right!r}" for column, right, there in named if right != there)
