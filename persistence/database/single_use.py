"""One connection for one user, opened when it is needed and thrown away after its first failure.

Rule of this file: what happened on a connection that failed is unknown, so it is never used again. Whether to try again
is for the caller, which knows what it has sent.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Final

import psycopg

from callmarket.persistence.database.connections import BoundedConnection
from callmarket.persistence.errors import Corrupt, Unavailable

FILES_DAMAGED: Final = (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted)
"""What the server says of its own files: to try again does not help."""


class SingleUseConnection:
    """For one thread at a time, except `interrupt`."""

    def __init__(self, connect: Callable[[], BoundedConnection]) -> None:
        """Remember how to connect; nothing is opened yet."""
        self._connect: Final = connect
        self._connection: BoundedConnection | None = None
        # The socket of the connection, by device and inode: its number alone may belong to another file by now.
        self._socket_identity = (0, 0)

    @contextlib.contextmanager
    def use(self) -> Iterator[BoundedConnection]:
        """Give the connection; after any failure forget it.

        Raises `Unavailable` for each failure of the database, but `Corrupt` where it finds its own files damaged.
        """
        try:
            if self._connection is None:
                self._connection = self._connect()
                self._socket_identity = _identity(self._connection.fileno())
            yield self._connection
        except FILES_DAMAGED as error:
            self.close()
            # To try again would not help, and to take it for an outage would hide it.
            raise Corrupt(f"The server finds the files of its tables damaged: {error}") from error
        except psycopg.Error as error:
            self.close()
            raise Unavailable(f"The database does not answer: {error}") from error
        except BaseException:
            self.close()
            raise

    def interrupt(self) -> None:
        """End the connection under its user, as a lost network would: a wait on it fails soon. Never raises."""
        connection = self._connection
        with contextlib.suppress(psycopg.Error, OSError):
            if connection is None or connection.closed:
                return
            with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
                if _identity(duplicate.fileno()) == self._socket_identity:
                    duplicate.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next use opens another. Never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                connection.close()


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
