"""The journal in PostgreSQL.

Rule of this file: one connection (`line`), and no memory of its own: what was sent, and whether to try again, is known
to the caller (`write_behind`).
"""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, LiteralString

import psycopg

from engine.codec import GENESIS_DIGEST, Sealed
from persistence import lease
from persistence.connections import connect
from persistence.db_writes import execute_journaled
from persistence.journal import Journal, Position, Stored
from persistence.leadership.register import writer_name
from persistence.line import Line

# Rows in one read: some megabytes, so that reading ahead keeps little in memory and a query's cost disappears.
SCAN_ROWS: Final = 10_000

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
        self._line: Final = Line(self._connect)

    def claim(self) -> int:
        """See `Journal.claim`."""
        with self._line.use() as connection:
            epoch = lease.claim(connection, self.shard_id)
        assert epoch is not None, "without a condition it is always claimed"
        self.epoch = epoch
        return epoch

    def append(self, rows: Sequence[Sealed]) -> None:
        """See `Journal.append`."""
        with self._line.use() as connection:
            execute_journaled(connection, rows, shard_id=self.shard_id, epoch=self.epoch)

    def row_at(self, seq: int) -> Stored | None:
        """See `Journal.row_at`."""
        rows = self._chunk(seq - 1, rows_max=1)
        return rows[0] if rows and rows[0].seq == seq else None

    def position(self) -> Position:
        """See `Journal.position`."""
        with self._line.use() as connection:
            return read_position(connection, self.shard_id)

    def scan(self, after_seq: int = 0) -> Generator[Sequence[Stored], None, None]:
        """See `Journal.scan`. One chunk is read ahead by a thread while the caller works on the one before.

        Each chunk is a query of its own, so that a long read holds back no vacuum.
        """
        rows = self._chunk(after_seq)
        if len(rows) < SCAN_ROWS:
            # All there was: whoever follows a journal asks often, and rarely finds more than this.
            if rows:
                yield rows
            return
        with ThreadPoolExecutor(1, "journal-scan") as reader:
            while rows:
                ahead = reader.submit(self._chunk, rows[-1].seq)
                yield rows
                rows = ahead.result()

    def interrupt(self) -> None:
        """See `Journal.interrupt`."""
        self._line.interrupt()

    def close(self) -> None:
        """See `Journal.close`."""
        self._line.close()

    def _chunk(self, after_seq: int, rows_max: int = SCAN_ROWS) -> list[Stored]:
        with self._line.use() as connection:
            return read_chunk(connection, self.shard_id, after_seq, rows_max)

    def _connect(self) -> psycopg.Connection:
        if self.reader:
            return connect(self._url, f"callmarket reader {self.shard_id}", read_only=True)
        return connect(self._url, writer_name(self.shard_id), writer=True)


def read_chunk(
    connection: psycopg.Connection, shard_id: int, after_seq: int, rows_max: int = SCAN_ROWS
) -> list[Stored]:
    """Read the next rows, or as many as there are. Raises `psycopg.Error`."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(_SCAN, (shard_id, after_seq, rows_max))
        return [Stored._make(row) for row in cursor.fetchall()]


def read_position(connection: psycopg.Connection, shard_id: int) -> Position:
    """Read where the journal ends. Raises `psycopg.Error`."""
    row = connection.execute(
        "SELECT epoch, last_seq, last_digest FROM engine_writer WHERE shard_id = %s", (shard_id,)
    ).fetchone()
    return Position(*row) if row is not None else Position(0, 0, GENESIS_DIGEST)
