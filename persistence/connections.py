"""How a connection to the database is opened.

Rule of this file: no connection can hang for ever, be left idle inside a transaction, or report a commit that is not on
disk. Each number says why.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.generators import send
from psycopg.types.string import ByteaBinaryLoader
from psycopg.waiting import Ready

from persistence.errors import PersistenceError, Unavailable
from persistence.rights import REFUSED, closed_database, refusal_of

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")

# A server that is there answers in milliseconds; one that is starting is asked again.
CONNECT_TIMEOUT_S: Final = 5
# A frozen server keeps its connections open and answers no time-out of its own. Above statement_timeout, so that a
# server that is only slow speaks first.
ANSWER_S_MAX: Final = 40.0
# Sessions that the server has ended because a transaction took too long. By SQLSTATE they are no operational errors,
# but that is what they are: nothing was written, and another session may do it.
_ENDED: Final = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout)
# What the promise needs of the server's configuration, where a connection cannot set it for itself.
_DURABLE: Final = {"fsync": "on", "full_page_writes": "on"}
_OPTIONS: Final = {
    # The largest batch takes a second; a disk that stalls for half a minute is an outage.
    "statement_timeout": "30s",
    # The fence waits for the batch of a writer that is being replaced, and not longer than that batch may take.
    "lock_timeout": "15s",
    # A writer that is frozen inside its transaction would keep its successor waiting at the fence.
    "idle_in_transaction_session_timeout": "60s",
    # The fence counts on seeing what another writer has committed while it waited.
    "default_transaction_isolation": "read\\ committed",
    # JSON bytes, times and numbers in one form, whatever the server's configuration says.
    "timezone": "UTC",
    "client_encoding": "UTF8",
}
# Each update of the writer looks its rows up by primary key (`db_writes`). Without statistics, as on a fresh table, the
# planner may think that reading the whole table is as good; the writer's plans must not depend on when it was analyzed.
_WRITER_OPTIONS: Final = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_memoize": "off",
    "jit": "off",
}


class BoundedConnection(psycopg.Connection):
    """A connection on which no single wait for the server takes longer than `answer_s_max`.

    After that it is closed, because what the server may still do is unknown, and `psycopg.OperationalError` says so.
    What the role may not do raises `AccessDenied`, and `ReadOnly` where nobody may, instead of the driver's errors.
    Its cost does not show beside that of the shortest query (40 us).
    """

    answer_s_max: float = ANSWER_S_MAX
    _filling = False

    @contextlib.contextmanager
    def round_trip(self, pipeline: psycopg.Pipeline | None) -> Iterator[None]:
        """Send what is executed inside together and await all answers at the end; without a pipeline, one by one.

        The first error is raised. Each wait for the socket gives up the interpreter, and where another thread is busy
        it takes up to 5 ms to come back: so nothing is waited for while statements are added.
        """
        if pipeline is None:
            yield
            return
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

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait as psycopg does; where it would wait for ever, for `answer_s_max`."""
        if self._filling:
            return _fill(gen)
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        started = time.monotonic()
        try:
            return super().wait(gen, interval, self.answer_s_max)
        except REFUSED as error:
            raise refusal_of(error, self.info) from error
        except _ENDED as error:
            raise psycopg.OperationalError(f"the server has ended the session: {error}") from error
        except psycopg.OperationalError as error:
            if time.monotonic() - started < self.answer_s_max:
                raise
            self.pgconn.finish()
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


def connect(
    url: str,
    application_name: str,
    *,
    writer: bool = False,
    read_only: bool = False,
    answer_s_max: float | None = None,
) -> BoundedConnection:
    """Open a connection in autocommit mode, so that a transaction is only where the code says so.

    `application_name` is what a person sees in pg_stat_activity. Raises `Unavailable`, or `AccessDenied`; takes
    `CONNECT_TIMEOUT_S` at most for each address that the URL names. Later, each wait for an answer takes `answer_s_max`
    (`ANSWER_S_MAX`) at most, after which the connection is closed.
    """
    settings = _OPTIONS | _WRITER_OPTIONS if writer else _OPTIONS
    if read_only:
        settings = settings | {"default_transaction_read_only": "on"}
    try:
        connection = BoundedConnection.connect(url, **parameters(url, application_name, settings))
    except psycopg.Error as error:
        raise _not_connected(error, url) from error
    connection.answer_s_max = ANSWER_S_MAX if answer_s_max is None else answer_s_max
    # json in binary is its text: hand out the bytes, which the digest covers, not Python objects.
    connection.adapters.register_loader("json", ByteaBinaryLoader)
    if writer:
        try:
            _insist_on_durability(connection)
        except psycopg.Error as error:
            connection.close()
            raise Unavailable(f"The database does not answer: {error}") from error
    return connection


def _not_connected(error: psycopg.Error, url: str) -> PersistenceError:
    """What to raise where there is no connection, with the next step."""
    return closed_database(str(error), url) or Unavailable(
        f"No connection to the database: {_in_short(error)}. Start its server, or name another: --url, or "
        "CALLMARKET_DATABASE_URL; without either a private PostgreSQL is started"
    )


def _in_short(error: psycopg.Error) -> str:
    """What libpq says, each thing once and without its questions: an attempt for each address says the same."""
    lines = [line.strip() for line in str(error).splitlines() if not line.startswith("\t")]
    return "; ".join(dict.fromkeys(line.rstrip(".") for line in lines if line))


def pooled_parameters(
    url: str, application_name: str, statement_s_max: int, *, read_only: bool = True
) -> dict[str, Any]:
    """How a connection of a pool is opened: its statements end in time; one of readers cannot write."""
    # A commit that is not on disk would be a claim that two workers have had.
    access = {"default_transaction_read_only": "on"} if read_only else {"synchronous_commit": "on"}
    return parameters(url, application_name, _OPTIONS | access | {"statement_timeout": f"{statement_s_max}s"})


def parameters(url: str, application_name: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """What every connection is opened with. Raises `psycopg.ProgrammingError` if the URL is none."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    # Options in the URL (a search_path) stay; ours come after them and win.
    named = str(conninfo_to_dict(url).get("options") or "")
    return {
        "autocommit": True,
        "application_name": application_name,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "options": f"{named} {options}".strip(),
        # A dead peer is noticed after idle + interval * count, or when sent bytes stay unacknowledged for as long.
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }


def _insist_on_durability(connection: psycopg.Connection) -> None:
    """Commits are waited for, even where the server or the role is configured not to.

    What only the server's owner can set is asked for in the log.
    """
    query = """
        SELECT name, setting FROM pg_settings WHERE name IN ('synchronous_commit', 'fsync', 'full_page_writes')
    """
    settings: dict[str, str] = dict(connection.execute(query).fetchall())
    if settings.pop("synchronous_commit") == "off":
        connection.execute("SET synchronous_commit = on")
    for name, setting in settings.items():
        if setting != _DURABLE[name]:
            logger.warning(
                "the server runs with %s = %s: what is acknowledged may be lost, or the whole database broken, when "
                "its machine loses power. Set %s = %s.",
                name,
                setting,
                name,
                _DURABLE[name],
            )
