"""The journal in PostgreSQL.

Rule of this file: one connection, opened when it is needed and thrown away after its first failure, because what
happened on it is then unknown. Whether to try again is for the caller, who knows what it has sent (`write_behind`).
"""

import contextlib
import os
import socket
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, LiteralString

import psycopg

from engine.codec import GENESIS_DIGEST, Sealed
from persistence import lease
from persistence.connections import connect
from persistence.db_writes import execute_journaled
from persistence.errors import Corrupt, Unavailable
from persistence.journal import Journal, Position, Stored
from persistence.presence import writer_name

# Rows in one read: some megabytes, so that reading ahead keeps little in memory and a query's cost disappears.
SCAN_ROWS: Final = 10_000

_SCAN: Final[LiteralString] = """
    SELECT seq, epoch, at_us, actor, command_id, rules, command, events, digest FROM journal
    WHERE shard_id = %s AND seq > %s ORDER BY seq LIMIT %s
"""


class PostgresJournal(Journal):
    """The journal of one shard. `epoch` is what an earlier `claim` of this process returned."""

    def __init__(self, url: str, shard_id: int, epoch: int = 0, *, reader: bool = False) -> None:
        """Remember where; nothing is opened yet.

        A `reader` cannot write, which PostgreSQL sees to, and is not taken for the shard's writer (`presence`).
        """
        self.shard_id = shard_id
        self.epoch = epoch
        self.reader: Final = reader
        self._url = url
        self._connection: psycopg.Connection | None = None
        # The socket of the connection, by device and inode: its number alone may belong to another file by now.
        self._socket_identity = (0, 0)

    def claim(self) -> int:
        """See `Journal.claim`."""
        with self._failing_closed() as connection:
            self.epoch = lease.claim(connection, self.shard_id)
        return self.epoch

    def append(self, rows: Sequence[Sealed]) -> None:
        """See `Journal.append`."""
        with self._failing_closed() as connection:
            execute_journaled(connection, rows, shard_id=self.shard_id, epoch=self.epoch)

    def row_at(self, seq: int) -> Stored | None:
        """See `Journal.row_at`."""
        with self._failing_closed() as connection:
            rows = read_chunk(connection, self.shard_id, seq - 1, rows_max=1)
        return rows[0] if rows and rows[0].seq == seq else None

    def position(self) -> Position:
        """See `Journal.position`."""
        with self._failing_closed() as connection:
            return read_position(connection, self.shard_id)

    def scan(self, after_seq: int = 0) -> Generator[Sequence[Stored], None, None]:
        """See `Journal.scan`. One chunk is read ahead by a thread while the caller works on the one before.

        Each chunk is a query of its own, so that a long read holds back no vacuum.
        """
        with ThreadPoolExecutor(1, "journal-scan") as reader:
            ahead = reader.submit(self._chunk, after_seq)
            while rows := ahead.result():
                ahead = reader.submit(self._chunk, rows[-1].seq)
                yield rows

    def interrupt(self) -> None:
        """See `Journal.interrupt`. Ends the connection under whoever waits on it, as a lost network would."""
        connection = self._connection
        with contextlib.suppress(psycopg.Error, OSError):
            if connection is None or connection.closed:
                return
            with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
                if _identity(duplicate.fileno()) == self._socket_identity:
                    duplicate.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """See `Journal.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                connection.close()

    def _chunk(self, after_seq: int) -> list[Stored]:
        with self._failing_closed() as connection:
            return read_chunk(connection, self.shard_id, after_seq)

    def _connect(self) -> psycopg.Connection:
        if self.reader:
            return connect(self._url, f"callmarket reader {self.shard_id}", read_only=True)
        return connect(self._url, writer_name(self.shard_id), writer=True)

    @contextlib.contextmanager
    def _failing_closed(self) -> Iterator[psycopg.Connection]:
        """Give the connection; after any failure forget it, for its state is unknown."""
        try:
            if self._connection is None:
                self._connection = self._connect()
                self._socket_identity = _identity(self._connection.fileno())
            yield self._connection
        except (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted) as error:
            self.close()
            # To try again would not help, and to take it for an outage would hide it.
            raise Corrupt(f"The server finds the files of its tables damaged: {error}") from error
        except psycopg.Error as error:
            self.close()
            raise Unavailable(f"The database does not answer: {error}") from error
        except BaseException:
            self.close()
            raise


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


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
