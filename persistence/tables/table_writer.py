"""Brings the SQL tables of a shard along its journal, a batch at a time.

Rule of this file: the journal's own rows, in their own order, from the tables' own mark on; nothing is remembered that
the database would not say. So it does not matter which process does it, where the last one was killed, or how long ago:
each row reaches the tables once. It never goes past a row that is missing. The decisions (`TableSteps`) know no
connection, so that the simulation drives the very steps of production.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from callmarket.persistence.database.connections import BoundedConnection, connect
from callmarket.persistence.database.single_use import SingleUseConnection
from callmarket.persistence.errors import Diverged, Fenced
from callmarket.persistence.journal.db_writes import BATCH_ROWS_MAX
from callmarket.persistence.journal.postgres import is_archived, read_archives, read_chunk, read_mark, read_position
from callmarket.persistence.journal.protocol import Archive, Position, StoredRow, check_follows
from callmarket.persistence.tables.projections import Changes
from callmarket.persistence.tables.transactions import advance

# Rows in one read: of calls of a hundred slots some 15 MB.
_READ_ROWS: Final = 500
# Journal bytes in one transaction, beyond the last read: as for the writer of the journal, a tenth of a second of work.
_BATCH_BYTES_MAX: Final = 16 * 2**20
# A process that is frozen in the middle keeps its successor waiting no longer than this.
_IDLE_MAX: Final = "5s"


class Progress(NamedTuple):
    """Where the tables stand, and whether there was more than one batch takes."""

    seq: int
    more: bool


class TableWriter(Protocol):
    """What brings the tables along. Not for two threads at once, except `interrupt`."""

    def project(self) -> Progress:
        """Bring the tables along what the journal has, up to a bound; return when they are.

        Raises `Unavailable`; `Fenced` once another leads; `Corrupt` where a row of the journal is missing, `Archived`
        where it is in a file, `Diverged` where a table is not what the journal says it was: then nothing is written,
        and the same comes of it until somebody has mended that.
        """

    def interrupt(self) -> None:
        """Make a call that another thread is waiting in fail with `Unavailable` soon. Never raises."""

    def close(self) -> None:
        """Release connections and other resources. Never raises."""


def projector_name(shard_id: int) -> str:
    """The name under which a shard's tables are written, as `pg_stat_activity` shows it."""
    return f"callmarket projector {shard_id}"


class TablesDatabase(Protocol):
    """The journal and the tables of one shard, over one connection; once it is lost, each call fails."""

    def mark(self) -> int | None:
        """The row up to which the tables follow the journal; None where nothing says so."""

    def position(self) -> Position:
        """Where the journal ends, and its writer's epoch."""

    def chunk(self, after_seq: int, rows_max: int) -> Sequence[StoredRow]:
        """The next rows of the journal."""

    def archives(self) -> Sequence[Archive]:
        """What has left the journal for files, the oldest first."""

    def advance(self, changes: Changes, after_seq: int, last_seq: int, epoch: int) -> bool:
        """Mark and rows in one transaction: see `transactions.advance`."""


class TableSteps:
    """Where the tables of one shard go next, under the leader's epoch. For one thread."""

    def __init__(self, shard_id: int, epoch: int, batch_rows_max: int = BATCH_ROWS_MAX) -> None:
        """Nothing is known of where they stand."""
        self._shard_id: Final = shard_id
        self._epoch: Final = epoch
        self._batch_rows_max: Final = batch_rows_max
        # Where the tables stand, as far as has been seen since anything failed.
        self._seq: int | None = None

    def project(self, database: TablesDatabase) -> Progress:
        """See `TableWriter.project`."""
        after_seq = self._begin(database) if self._seq is None else self._seq
        self._seq = None
        changes, last_seq, more = self._fold(database, after_seq)
        if last_seq > after_seq and not database.advance(changes, after_seq, last_seq, self._epoch):
            self._check_mine(database)
            # Somebody else was here: begin where the tables stand now.
            last_seq, more = self._begin(database), True
        self._seq = last_seq
        return Progress(last_seq, more)

    def _begin(self, database: TablesDatabase) -> int:
        """Where the tables stand. Raises `Diverged` if they cannot stand there."""
        mark, last_seq = database.mark(), database.position().last_seq
        if mark is None:
            raise Diverged(
                f"Nothing says how far the tables of shard {self._shard_id} follow the journal: their row in "
                "projections is gone. Make them again: `callmarket rebuild-projections`."
            )
        if mark > last_seq:
            raise Diverged(
                f"The tables of shard {self._shard_id} stand at row {mark}, and its journal ends at row {last_seq}: "
                "they are of another history. Make them again: `callmarket rebuild-projections`.",
                last_seq + 1,
            )
        return mark

    def _fold(self, database: TablesDatabase, after_seq: int) -> tuple[Changes, int, bool]:
        """What follows row `after_seq` does to the tables, up to which row, and whether there may be more."""
        changes, seq, rows_left, bytes_left = Changes(), after_seq, self._batch_rows_max, _BATCH_BYTES_MAX
        while rows_left > 0 and bytes_left > 0:
            rows_max = min(_READ_ROWS, rows_left)
            rows = database.chunk(seq, rows_max)
            for row in rows:
                if row.seq != seq + 1:
                    self._check_follows(database, row, seq)
                changes.add(row.seq, row.at_us, row.events())
                seq = row.seq
            if len(rows) < rows_max:
                return changes, seq, False
            rows_left -= len(rows)
            bytes_left -= _bytes(rows)
        return changes, seq, True

    def _check_follows(self, database: TablesDatabase, row: StoredRow, seq: int) -> None:
        """Stop at a gap. Raises `Archived` or `Corrupt`."""
        archives = database.archives()
        if archives and seq < archives[-1].last_seq:
            raise is_archived(self._shard_id, seq + 1, archives)
        check_follows(row, seq)

    def _check_mine(self, database: TablesDatabase) -> None:
        epoch = database.position().epoch
        if epoch != self._epoch:
            raise Fenced(
                f"Shard {self._shard_id} is led by epoch {epoch}, mine is {self._epoch}: its tables are another's to "
                "bring along."
            )


class _Connected(TablesDatabase):
    """PostgreSQL, over a connection that is outside a transaction."""

    def __init__(self, connection: BoundedConnection, shard_id: int) -> None:
        self._connection: Final = connection
        self._shard_id: Final = shard_id

    def mark(self) -> int | None:
        """See `TablesDatabase.mark`."""
        return read_mark(self._connection, self._shard_id)

    def position(self) -> Position:
        """See `TablesDatabase.position`."""
        return read_position(self._connection, self._shard_id)

    def chunk(self, after_seq: int, rows_max: int) -> Sequence[StoredRow]:
        """See `TablesDatabase.chunk`."""
        return read_chunk(self._connection, self._shard_id, after_seq, rows_max)

    def archives(self) -> Sequence[Archive]:
        """See `TablesDatabase.archives`."""
        return read_archives(self._connection, self._shard_id)

    def advance(self, changes: Changes, after_seq: int, last_seq: int, epoch: int) -> bool:
        """See `TablesDatabase.advance`."""
        return advance(self._connection, changes, after_seq, last_seq, shard_id=self._shard_id, epoch=epoch)


class PostgresTables(TableWriter):
    """The tables of one shard, beside its journal; `epoch` is the leader's."""

    def __init__(self, url: str, shard_id: int, epoch: int, *, batch_rows_max: int = BATCH_ROWS_MAX) -> None:
        """Remember where; nothing is opened yet."""
        self._shard_id: Final = shard_id
        self._steps: Final = TableSteps(shard_id, epoch, batch_rows_max)
        self._connection: Final = SingleUseConnection(lambda: _connect(url, shard_id))

    def project(self) -> Progress:
        """See `TableWriter.project`."""
        with self._connection.use() as connection:
            return self._steps.project(_Connected(connection, self._shard_id))

    def interrupt(self) -> None:
        """See `TableWriter.interrupt`."""
        self._connection.interrupt()

    def close(self) -> None:
        """See `TableWriter.close`."""
        self._connection.close()


def bring_level(url: str, shard_id: int, batch_rows_max: int = BATCH_ROWS_MAX) -> int:
    """Bring the tables to the journal's present end, under the leader's epoch; returns where they stand then.

    Beside a leader it does what that one would do. Raises as `TableWriter.project`.
    """
    with connect(url, projector_name(shard_id), read_only=True) as connection:
        epoch = read_position(connection, shard_id).epoch
    tables = PostgresTables(url, shard_id, epoch, batch_rows_max=batch_rows_max)
    try:
        while (progress := tables.project()).more:
            pass
    finally:
        tables.close()
    return progress.seq


def _connect(url: str, shard_id: int) -> BoundedConnection:
    connection = connect(url, projector_name(shard_id), writer=True)
    # What a crash of the server takes is done again, with the mark that says so: no disk is waited for.
    connection.execute("SET synchronous_commit = off")
    connection.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_MAX}'")
    return connection


def _bytes(rows: Sequence[StoredRow]) -> int:
    return sum(len(row.command_json) + len(row.events_json) for row in rows)
