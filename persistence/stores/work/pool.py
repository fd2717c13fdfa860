"""A few connections for the statements of many workers.

Rule of this file: bounded as `persistence.database.reader_pool`: connections, waiting ones, each wait. Statements
commit by themselves, so no connection is ever idle inside a transaction.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

import psycopg
from psycopg_pool import ConnectionPool

from callmarket.persistence.database.connections import BoundedConnection, opened_for_pool, parameters
from callmarket.persistence.database.reader_pool import CHECKOUT_S_MAX, GREETING_S_MAX, IDLE_S_MAX, RECONNECT_S_MAX
from callmarket.persistence.errors import Unavailable

# A claim takes a millisecond, so four connections carry thousands of workers.
CONNECTIONS_MAX: Final = 4
# One for each slot of the largest worker, four times over.
WAITING_MAX: Final = 256
# The largest batch of tasks takes a second; a disk may stall.
STATEMENT_S_MAX: Final = 15
# Above the statement's, so that a server that is only slow speaks first.
ANSWER_S_MAX: Final = 18.0


class WorkPool:
    """For many threads. Opens its first connection with the first statement."""

    def __init__(self, url: str) -> None:
        """Remember where; nothing is opened yet."""
        self._why: Final[list[str]] = []
        self._pool: Final = ConnectionPool(
            url,
            connection_class=opened_for_pool(self._why, read_only=False, answer_s_max=GREETING_S_MAX),
            kwargs=lambda: parameters(url, "callmarket work", STATEMENT_S_MAX),
            check=_greet,
            min_size=0,
            max_size=CONNECTIONS_MAX,
            max_waiting=WAITING_MAX,
            timeout=CHECKOUT_S_MAX,
            max_idle=IDLE_S_MAX,
            reconnect_timeout=RECONNECT_S_MAX,
            open=False,
            name="callmarket work",
        )

    @contextlib.contextmanager
    def use(self) -> Iterator[BoundedConnection]:
        """Give a connection that has just shown that it lives; one that fails is thrown away.

        Raises `Unavailable` if the database does not answer, within `CHECKOUT_S_MAX` where it is unavailable and
        `ANSWER_S_MAX` for each statement. A statement that has failed so may have been done.
        """
        try:
            self._pool.open()
            connection = self._pool.getconn()
        except psycopg.OperationalError as error:
            raise Unavailable(f"the database does not answer: {'; '.join([str(error), *self._why])}") from error
        try:
            yield connection
        except psycopg.OperationalError as error:
            connection.close()
            raise Unavailable(f"the database does not answer: {error}") from error
        finally:
            self._pool.putconn(connection)

    def close(self) -> None:
        """Close all connections. Idempotent, also before the first statement."""
        self._pool.close()


def _greet(connection: BoundedConnection) -> None:
    connection.answer_s_max = GREETING_S_MAX
    ConnectionPool.check_connection(connection)
    connection.answer_s_max = ANSWER_S_MAX
