"""The journal in PostgreSQL.

Rule of this file: one connection (`line`), and no memory of its own: what was sent, and whether to try again, is known
to the caller (`write_behind`).
"""

import time
from collections.abc import Generator, Sequence
from typing import Final, LiteralString

import psycopg

from callmarket.engine.codec import GENESIS_DIGEST, SealedRow
from callmarket.persistence.database.connections import BoundedConnection, connect
from callmarket.persistence.database.single_use import SingleUseConnection
from callmarket.persistence.errors import Archived
from callmarket.persistence.journal import lease
from callmarket.persistence.journal.db_writes import append, execute_journaled
from callmarket.persistence.journal.lease import writer_name
from callmarket.persistence.journal.protocol import Archive, Journal, Position, StoredRow

# Rows in one read: about a megabyte, which stays in the caches until it is replayed, and a query's cost disappears.
SCAN_ROWS: Final = 2_000

# Between two looks at where the tables stand.
_LOOK_S: Final = 0.01

_SCAN: Final[LiteralString] = """
    SELECT seq, epoch, at_us, actor, command_id, rules, command, events, digest FROM journal
    WHERE shard_id = %s AND seq > %s ORDER BY seq LIMIT %s
"""


class PostgresJournal(Journal):
    """The journal of one shard. `epoch` is what an earlier `claim` of this process returned."""

    def __init__(self, url: str, shard_id: int, epoch: int = 0, *, reader: bool = False) -> None:
        """Remember where; nothing is opened yet. A `reader` cannot write, which PostgreSQL sees to."""
        self.shard_id = shard_id
        self.epoch = epoch
        self.reader: Final = reader
        self._url = url
        self._connection: Final = SingleUseConnection(self._connect)

    def claim(self) -> int:
        """See `Journal.claim`."""
        with self._connection.use() as connection:
            epoch = lease.claim(connection, self.shard_id)
        assert epoch is not None, "without a condition it is always claimed"
        self.epoch = epoch
        return epoch

    def append(self, rows: Sequence[SealedRow]) -> None:
        """See `Journal.append`."""
        with self._connection.use() as connection:
            execute_journaled(connection, rows, shard_id=self.shard_id, epoch=self.epoch)

    def append_stored(self, rows: Sequence[StoredRow], after_seq: int, digest_before: bytes) -> None:
        """`append` for rows that were sealed elsewhere, with this journal's epoch. Raises as that."""
        with self._connection.use() as connection:
            append(connection, rows, after_seq, digest_before, self.shard_id)

    def row_at(self, seq: int) -> StoredRow | None:
        """See `Journal.row_at`."""
        rows = self._chunk(seq - 1, rows_max=1)
        if rows and rows[0].seq == seq:
            return rows[0]
        self._refuse_archived(seq)
        return None

    def archived(self) -> Sequence[Archive]:
        """See `Journal.archived`."""
        with self._connection.use() as connection:
            return read_archives(connection, self.shard_id)

    def position(self) -> Position:
        """See `Journal.position`."""
        with self._connection.use() as connection:
            found = read_position(connection, self.shard_id)
            if not self.reader:
                _confirm(connection)
            return found

    def projected_seq(self) -> int:
        """See `Journal.projected_seq`."""
        with self._connection.use() as connection:
            return read_mark(connection, self.shard_id) or 0

    def market_id(self) -> str:
        """Which market this is, wherever its rows go; empty before the first claim. Raises `Unavailable`."""
        with self._connection.use() as connection:
            return read_market_id(connection, self.shard_id)

    def scan(self, after_seq: int = 0) -> Generator[Sequence[StoredRow], None, None]:
        """See `Journal.scan`. Each chunk is a query of its own, so that a long read holds back no vacuum.

        A thread that reads ahead costs more than it saves: it waits for the interpreter after every packet, because
        a replay holds it all the time.
        """
        while rows := self._chunk(after_seq):
            self._check_follows(rows, after_seq)
            yield rows
            if len(rows) < SCAN_ROWS:
                # All there was: a follower of a journal asks often, and rarely finds more than this.
                return
            after_seq = rows[-1].seq

    def interrupt(self) -> None:
        """See `Journal.interrupt`."""
        self._connection.interrupt()

    def close(self) -> None:
        """See `Journal.close`."""
        self._connection.close()

    def _check_follows(self, rows: Sequence[StoredRow], after_seq: int) -> None:
        """Say so if what comes next has been archived. Raises `Archived`; a gap without a record is for the chain."""
        if rows and rows[0].seq != after_seq + 1:
            self._refuse_archived(after_seq + 1)

    def _refuse_archived(self, seq: int) -> None:
        """Say so if a row that is not there has been archived. Raises `Archived`."""
        archives = self.archived()
        if archives and 1 <= seq <= archives[-1].last_seq:
            raise is_archived(self.shard_id, seq, archives)

    def _chunk(self, after_seq: int, rows_max: int = SCAN_ROWS) -> list[StoredRow]:
        with self._connection.use() as connection:
            return read_chunk(connection, self.shard_id, after_seq, rows_max)

    def _connect(self) -> BoundedConnection:
        if self.reader:
            return connect(self._url, f"callmarket reader {self.shard_id}", read_only=True)
        return connect(self._url, writer_name(self.shard_id), writer=True)


def read_chunk(
    connection: psycopg.Connection, shard_id: int, after_seq: int, rows_max: int = SCAN_ROWS
) -> list[StoredRow]:
    """Read the next rows, or as many as there are. Raises `psycopg.Error`."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(_SCAN, (shard_id, after_seq, rows_max))
        return [StoredRow._make(row) for row in cursor.fetchall()]


def read_archives(connection: psycopg.Connection, shard_id: int) -> list[Archive]:
    """Read which rows have been archived, in order. Raises `psycopg.Error`."""
    rows = connection.execute(
        """
        SELECT first_seq, last_seq, epoch, at_us, digest_before, digest_after, file_name, file_bytes, sha256
        FROM journal_archives WHERE shard_id = %s ORDER BY first_seq
        """,
        (shard_id,),
        binary=True,
    ).fetchall()
    return [Archive._make(row) for row in rows]


def is_archived(shard_id: int, seq: int, archives: Sequence[Archive]) -> Archived:
    """What to say of a row that is needed and is in the archive."""
    last = archives[-1]
    name = next((archive.file_name for archive in archives if seq <= archive.last_seq), last.file_name)
    return Archived(
        f"Row {seq} of shard {shard_id} is in the archive, in {name}, with all rows up to {last.last_seq}: name the "
        "folder that has it (--archive FOLDER). An engine that finds no good snapshot after these rows needs one: "
        "`callmarket snapshot --archive FOLDER`."
    )


def _confirm(connection: psycopg.Connection) -> None:
    """Wait until all that this session has seen is where commits have to be. Raises `psycopg.Error`.

    A commit whose writer was lost, or was told not to wait for the synchronous standby, is seen like any other, and is
    not there yet. The commit of this message, which nobody reads, comes after it in the WAL and is waited for.
    """
    connection.execute("SELECT pg_logical_emit_message(true, 'callmarket', '')")


def read_market_id(connection: psycopg.Connection, shard_id: int) -> str:
    """Read which market a shard is, for ever; empty before its first claim. Raises `psycopg.Error`."""
    row = connection.execute("SELECT market_id::text FROM engine_writer WHERE shard_id = %s", (shard_id,)).fetchone()
    return "" if row is None else row[0]


def read_position(connection: psycopg.Connection, shard_id: int) -> Position:
    """Read where the journal ends. Raises `psycopg.Error`."""
    row = connection.execute(
        "SELECT epoch, last_seq, last_digest FROM engine_writer WHERE shard_id = %s", (shard_id,)
    ).fetchone()
    return Position(*row) if row is not None else Position(0, 0, GENESIS_DIGEST)


def read_mark(connection: psycopg.Connection, shard_id: int) -> int | None:
    """Read up to which row of the journal the tables have come; None where no mark is. Raises `psycopg.Error`."""
    row = connection.execute("SELECT seq FROM projections WHERE shard_id = %s", (shard_id,)).fetchone()
    return None if row is None else row[0]


def wait_for_tables(connection: psycopg.Connection, shard_id: int, seq: int, within_s: float) -> int:
    """Wait until the tables have row `seq`, for `within_s` at most; where they stand then, 0 where no mark is.

    For a connection in autocommit mode, in any process: it looks a hundred times a second. Raises `psycopg.Error`.
    """
    deadline_s = time.monotonic() + within_s
    while (mark := read_mark(connection, shard_id) or 0) < seq and time.monotonic() < deadline_s:
        time.sleep(_LOOK_S)
    return mark
