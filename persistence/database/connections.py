"""How a connection to the database is opened.

Rule of this file: no connection can hang for ever, be left idle inside a transaction, or report a commit that is not on
disk. Each number says why; what a session is set to is in `session`.
"""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic
from psycopg.generators import send
from psycopg.pq import ConnStatus
from psycopg.types.string import ByteaBinaryLoader
from psycopg.waiting import Ready

from callmarket.persistence.database import session
from callmarket.persistence.database.rights import REFUSED, closed_database, refusal_of
from callmarket.persistence.errors import Unavailable

T = TypeVar("T")

# A server that is there answers in milliseconds; one that is starting is asked again.
CONNECT_TIMEOUT_S: Final = 5
# A frozen server keeps its connections open and answers no time-out of its own. Above statement_timeout, so that a
# server that is only slow speaks first.
ANSWER_S_MAX: Final = 40.0
# Sessions that the server has ended because a transaction took too long. By SQLSTATE they are no operational errors,
# but that is what they are: nothing was written, and another session may do it.
_ENDED: Final = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout)
# What a commit says that nobody waited for any more: a cancelled wait for a synchronous standby. By the function's
# name, because the words are in the server's language and the code is that of every warning.
_UNCONFIRMED_BY: Final = "SyncRepWaitForLSN"


class BoundedConnection(psycopg.Connection):
    """A connection on which no single wait for the server takes longer than `answer_s_max`.

    After that it is closed, because what the server may still do is unknown, and `psycopg.OperationalError` says so.
    What the role may not do raises `AccessDenied`, and `ReadOnly` where nobody may, instead of the driver's errors.
    Its cost does not show beside that of the shortest query (40 us).
    """

    answer_s_max: float = ANSWER_S_MAX
    role = ""
    """Whose rights it has: its login's, or those of the role that this was told to take (ALTER ROLE ... SET role)."""
    _filling = False
    _given_up = False

    def __init__(self, *args: Any, **options: Any) -> None:
        """Listen for the one warning that takes a commit back."""
        super().__init__(*args, **options)
        self._unconfirmed: Final[list[str]] = []
        self.add_notice_handler(partial(_hear, self._unconfirmed))

    @contextlib.contextmanager
    def round_trip(self, pipeline: psycopg.Pipeline | None) -> Iterator[None]:
        """Send the statements of the block together and await all answers at the end; without a pipeline, one by one.

        The first error is raised. Each wait for the socket gives up the interpreter, and where another thread is busy
        it takes up to 5 ms to come back: so nothing is waited for while statements are added.
        """
        if pipeline is None:
            yield
            return
        try:
            self._filling = True
            try:
                yield
            finally:
                self._filling = False
            # First all of it: `sync` waits for answers, and for ever where the socket has not taken what was asked.
            self.wait(send(self.pgconn))
            # Not the end of the pipeline: that sends a message more, after which the server does not count the time for
            # which a transaction is idle, and would wait for a process that is frozen here.
            pipeline.sync()
        except psycopg.OperationalError as error:
            raise self._in_its_own_words(error) from error

    def _in_its_own_words(self, error: psycopg.OperationalError) -> psycopg.OperationalError:
        """The same, but for a connection that broke while a pipeline was filled.

        The driver then says of the pipeline that there is none, and libpq still knows what has happened.
        """
        # One that was given up here is closed: libpq knows nothing of it, and the error says why.
        is_broken = self.pgconn.status == ConnStatus.BAD and not self._given_up
        words = self.pgconn.get_error_message().strip() if is_broken else ""
        if not words or error.sqlstate is not None or words in str(error):
            return error
        return psycopg.OperationalError(words)

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait as psycopg does; where it would wait for ever, for `answer_s_max`.

        A commit whose wait for a synchronous standby was cancelled is an error like a connection that was lost in it:
        it is on the server's disk, and nobody knows whether anywhere else.
        """
        if self._filling:
            return _fill(gen)
        answer = self._wait(gen, interval, timeout)
        if self._unconfirmed:
            self._give_up()
            raise psycopg.OperationalError(f"the commit is not confirmed: {self._unconfirmed[0]}")
        return answer

    def _give_up(self) -> None:
        self._given_up = True
        self.pgconn.finish()

    def _wait(self, gen: PQGen[T], interval: float, timeout: float | None) -> T:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        started = time.monotonic()
        try:
            return super().wait(gen, interval, self.answer_s_max)
        except REFUSED as error:
            raise refusal_of(error, self.info, self.role or self.info.user) from error
        except _ENDED as error:
            raise psycopg.OperationalError(f"the server has ended the session: {error}") from error
        except psycopg.OperationalError as error:
            if time.monotonic() - started < self.answer_s_max:
                raise
            self._give_up()
            raise psycopg.OperationalError(
                f"no answer within {self.answer_s_max:g} s: the server is frozen, or the way to it is cut"
            ) from error


def _fill(gen: PQGen[T]) -> T:
    """Run what adds to a pipeline, as if the socket could always be written: libpq keeps what it cannot send."""
    try:
        next(gen)
        while True:
            gen.send(Ready.W)
    except StopIteration as end:
        value: T = end.value
        return value


def opened_for_pool(why: list[str], *, read_only: bool, answer_s_max: float) -> type[BoundedConnection]:
    """The connections of one pool, settled as they are opened. Why the last one could not be is left in `why`.

    A pool opens them in threads of its own, and tells a waiter for one only that none came.
    """

    class Pooled(BoundedConnection):
        @classmethod
        def connect(cls, conninfo: str = "", **options: Any) -> Self:
            try:
                connection = super().connect(conninfo, **options)
            except psycopg.Error as error:
                why[:] = [session.explained(error)]
                raise
            connection.answer_s_max = answer_s_max
            try:
                connection.role = session.settle(connection, read_only=read_only, writer=False)
            except (psycopg.Error, Unavailable) as error:
                connection.close()
                why[:] = [str(error)]
                raise
            why.clear()
            return connection

    return Pooled


def _hear(unconfirmed: list[str], notice: Diagnostic) -> None:
    if notice.source_function == _UNCONFIRMED_BY:
        unconfirmed.append(str(notice.message_primary))


def connect(
    url: str,
    application_name: str,
    *,
    writer: bool = False,
    read_only: bool = False,
    answer_s_max: float | None = None,
) -> BoundedConnection:
    """Open a connection in autocommit mode, so that a transaction is only where the code says so.

    `application_name` is what a person sees in pg_stat_activity. Raises `AccessDenied`, or `Unavailable` with what to
    do where the session would not be what the code relies on (`session`); takes `CONNECT_TIMEOUT_S` at most for each
    address that the URL names. Later, each wait for an answer takes `answer_s_max` (`ANSWER_S_MAX`) at most, after
    which the connection is closed.
    """
    try:
        connection = BoundedConnection.connect(url, **parameters(url, application_name))
    except psycopg.Error as error:
        raise closed_database(str(error), url) or Unavailable(session.explained(error)) from error
    connection.answer_s_max = ANSWER_S_MAX if answer_s_max is None else answer_s_max
    # json in binary is its text: hand out the bytes, which the digest covers, not Python objects.
    connection.adapters.register_loader("json", ByteaBinaryLoader)
    try:
        connection.role = session.settle(connection, read_only=read_only, writer=writer)
    except psycopg.Error as error:
        connection.close()
        raise Unavailable(f"The database does not answer: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def parameters(url: str, application_name: str, statement_s_max: int | None = None) -> dict[str, Any]:
    """What every connection is opened with, before it is settled. Raises `psycopg.ProgrammingError` if the URL is none.

    Named here, they win over the URL and the environment.
    """
    return {
        "autocommit": True,
        "application_name": application_name,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "options": session.start_up_options(url, statement_s_max),
        # Names and memos are of any language, whatever the shell's PGCLIENTENCODING says.
        "client_encoding": "UTF8",
        # A dead peer is noticed after idle + interval * count, or when sent bytes stay unacknowledged for as long.
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }
