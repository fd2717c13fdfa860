"""A few connections for many questions to the tables.

Rule of this file: bounded in every way: connections, questions that wait for one, the time until one is got, the time
of an answer. No connection is idle inside a transaction, and a dead one is noticed before a question is put to it.
`psycopg_pool` keeps the connections; this file defines what a question is, and how long it may take.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg
from psycopg_pool import ConnectionPool

from callmarket.persistence.database.connections import BoundedConnection, opened_for_pool, parameters
from callmarket.persistence.errors import Unavailable

# Questions are short and PostgreSQL answers each on one processor; more would only take it from the writer.
CONNECTIONS_MAX: Final = 4
# With four at a time, and a millisecond each, the last of this many waits for 16 ms.
WAITING_MAX: Final = 64
# Until a connection is there and has answered. An agent that asks for prices will not wait longer.
CHECKOUT_S_MAX: Final = 3.0
# A first sign of life. A server that is only busy answers BEGIN in milliseconds.
GREETING_S_MAX: Final = 2.0
# Statistics over a year of a busy market take seconds; what takes longer is a question for a copy of the database.
STATEMENT_S_MAX: Final = 10
# Above the statement's, so that a server that is only slow speaks first.
ANSWER_S_MAX: Final = 12.0
# A connection is closed after being idle for this long: a market that nobody asks keeps none.
IDLE_S_MAX: Final = 60.0
# Try to connect for this long, then wait to be asked again: the next question tries anew, at once.
RECONNECT_S_MAX: Final = 1.0

_POSITIONS: Final[LiteralString] = """
    SELECT coalesce(seq, 0), last_seq FROM engine_writer LEFT JOIN projections USING (shard_id) WHERE shard_id = %s
"""


@dataclass(frozen=True)
class Snapshot:
    """The tables at one moment: all that is asked of it sees what the journal did up to row `seq`, and nothing after.

    `durable_seq` is where the journal ended at the same moment.
    """

    connection: psycopg.Connection
    shard_id: int
    seq: int
    durable_seq: int


class ReaderPool:
    """For many threads. Opens its first connection with the first question."""

    def __init__(self, url: str, shard_id: int) -> None:
        """Remember where; nothing is opened yet."""
        self._shard_id: Final = shard_id
        self._why: Final[list[str]] = []
        self._pool: Final = ConnectionPool(
            url,
            connection_class=opened_for_pool(self._why, read_only=True, answer_s_max=GREETING_S_MAX),
            kwargs=lambda: parameters(url, "callmarket tables", STATEMENT_S_MAX),
            min_size=0,
            max_size=CONNECTIONS_MAX,
            max_waiting=WAITING_MAX,
            timeout=CHECKOUT_S_MAX,
            max_idle=IDLE_S_MAX,
            reconnect_timeout=RECONNECT_S_MAX,
            open=False,
            name=f"callmarket tables {shard_id}",
        )

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The tables at one moment, for one question, in one short transaction that cannot write.

        Raises `Unavailable` if the database does not answer, within `CHECKOUT_S_MAX` and `GREETING_S_MAX` where it is
        away or frozen, and within `ANSWER_S_MAX` for each statement of the question.
        """
        try:
            connection, seq, durable_seq = self._begun()
        except psycopg.OperationalError as error:
            raise Unavailable(f"the database does not answer: {'; '.join([str(error), *self._why])}") from error
        try:
            yield Snapshot(connection, self._shard_id, seq, durable_seq)
            connection.execute("COMMIT")
        except psycopg.Error as error:
            # Closed rather than rolled back: the server may be the reason, and would be waited for again.
            connection.close()
            if isinstance(error, psycopg.OperationalError):
                raise Unavailable(f"the database does not answer: {error}") from error
            raise
        except BaseException:
            _end(connection)
            raise
        finally:
            self._pool.putconn(connection)

    def close(self) -> None:
        """Close all connections; questions under way end by themselves. Idempotent, also before the first question."""
        self._pool.close()

    def _begun(self) -> tuple[BoundedConnection, int, int]:
        """A connection in a transaction that it has just begun, and the two seqs that this one sees.

        Connections die while nobody looks: each that does is thrown away, and the next is tried.
        """
        self._pool.open()
        deadline_s = time.monotonic() + CHECKOUT_S_MAX
        # All idle ones may be dead; the last try is a new one.
        for tries_left in reversed(range(CONNECTIONS_MAX + 1)):
            connection = self._pool.getconn(deadline_s - time.monotonic())
            try:
                return connection, *_begin(connection, self._shard_id)
            except BaseException as error:
                connection.close()
                self._pool.putconn(connection)
                if not isinstance(error, psycopg.OperationalError) or not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")


def _begin(connection: BoundedConnection, shard_id: int) -> tuple[int, int]:
    """Begin a transaction that sees one moment, on a connection that must show soon that it lives."""
    connection.answer_s_max = GREETING_S_MAX
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    found = positions(connection, shard_id)
    connection.answer_s_max = ANSWER_S_MAX
    return found


def positions(connection: psycopg.Connection, shard_id: int) -> tuple[int, int]:
    """Where the tables stand and where the journal ends, at one moment. Raises `psycopg.Error`."""
    row = connection.execute(_POSITIONS, (shard_id,)).fetchone()
    return (0, 0) if row is None else row


def _end(connection: BoundedConnection) -> None:
    """End a transaction whose question failed for a reason of its own."""
    try:
        connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()
