"""What every session with the database is set to, and the look whether it took.

Rule of this file: what the code relies on is set by the session itself, after connecting, so it wins over the URL, the
environment (PGOPTIONS, PGTZ, ...), service files, `ALTER ROLE` and `ALTER DATABASE ... SET`, and no reload of the
server's configuration reaches it. What people may choose (search_path, tablespaces, role) is left alone. Something
between us and PostgreSQL that does not bring a session its own options is no place for a ledger, and is refused.
"""

import logging
import secrets
from itertools import chain
from typing import Final

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from callmarket.persistence.database import rights
from callmarket.persistence.errors import Unavailable

logger: Final = logging.getLogger(__name__)

# A setting of ours, with another value for each connection: what the server says of it shows whether the options of
# this very connection have arrived. Poolers drop them, or give us the session of somebody else.
_MARK: Final = "callmarket.session"
# Asked for in the start-up packet, so that time-outs of the role cannot cut what follows.
_FROM_THE_START: Final = {
    # The largest batch takes a second; a disk that stalls for half a minute is an outage.
    "statement_timeout": "30s",
    # The fence waits for the batch of a writer that is being replaced, and not longer than that batch may take.
    "lock_timeout": "15s",
    # A writer that is frozen inside its transaction would keep its successor waiting at the fence.
    "idle_in_transaction_session_timeout": "60s",
}
_SESSION: Final = {
    # A quiet market is idle for long, and a rebuild takes its time.
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    # The fence counts on seeing what another writer has committed while it waited.
    "default_transaction_isolation": "read committed",
    # Times, intervals, numbers and bytes in one form, in which they are read without loss.
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # The form in which our statements are written, and what is unknown in lists that are sent with them.
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    # What a question weighs is what it costs by the plan for what is asked, not by one for whatever might be.
    "plan_cache_mode": "auto",
    # A claim that waits in vain for the fence goes on in its own session.
    "exit_on_error": "off",
    # A policy that hides rows has to fail: a hidden row would be taken for one that is missing.
    "row_security": "off",
    # The warning of a commit that nobody waited for is read (`connections`).
    "client_min_messages": "warning",
}
_READ_ONLY: Final = {"default_transaction_read_only": "on"}
# Each update of the writer looks its rows up by primary key (`tables.statements`). Without statistics, as on a fresh
# table, the planner may think that reading the whole table is as good; the writer's plans must not depend on when it
# was analyzed.
_WRITER: Final = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_memoize": "off",
    "jit": "off",
}
# Since which version of the server, where that is later than the oldest one that we run on.
_SINCE: Final = {"transaction_timeout": 170_000}
VERSION_MIN: Final = 140_000
DIRECTLY: Final = (
    "Connect to PostgreSQL directly, at its own address and port: the market keeps its own few connections, and needs "
    "sessions that are its alone (deploy/README.md, Poolers)."
)

_LOOK: Final = f"""
    SELECT current_setting('{_MARK}', true), current_setting('session_replication_role'), current_setting('fsync'),
           current_setting('full_page_writes'), current_setting('synchronous_standby_names'), current_user,
           -- Where commits are not waited for they are from now on; other values are kept, but no reload changes them.
           set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                                            ELSE current_setting('synchronous_commit') END, false)
"""  # noqa: S608 -- constants
_SET: Final = ", set_config(%s, %s, false)"


def start_up_options(url: str, statement_s_max: int | None = None) -> str:
    """The `options` of a new connection: those that libpq would send without us, then ours, which win.

    Theirs are those of the URL, else of its service, else PGOPTIONS. Raises `psycopg.ProgrammingError` if the URL is
    none.
    """
    wanted = {_MARK: secrets.token_hex(8), **_FROM_THE_START}
    if statement_s_max is not None:
        wanted["statement_timeout"] = f"{statement_s_max}s"
    ours = " ".join(f"-c {name}={value}" for name, value in wanted.items())
    return f"{_option(url, 'options')} {ours}".strip()


def settle(connection: psycopg.Connection, *, read_only: bool, writer: bool) -> str:
    """Set a new session to what the code relies on. Returns the role that it acts as. One statement, under 1 ms.

    Raises `psycopg.Error`, and `Unavailable` with what to do where the session cannot be ours or may not write as it
    has to. With `writer` the planner is told to use the keys, and it is said in the log what the server's owner alone
    can set.
    """
    version = connection.info.server_version
    if version < VERSION_MIN:
        raise Unavailable(
            f"The server is PostgreSQL {version // 10_000}, and {VERSION_MIN // 10_000} is the oldest one."
        )
    wanted = _SESSION | (_READ_ONLY if read_only else {}) | (_WRITER if writer else {})
    wanted = {name: value for name, value in wanted.items() if version >= _SINCE.get(name, VERSION_MIN)}
    # The names as values of one SELECT: on a new session a FROM alone would double what it costs.
    row = connection.execute((_LOOK + _SET * len(wanted)).encode(), list(chain(*wanted.items()))).fetchone()
    assert row is not None, "SELECT without FROM returns one row"
    mark, replication_role, fsync, full_page_writes, standbys, role, waited_for = row[:7]
    if f"-c {_MARK}={mark}" not in connection.info.options or connection.info.encoding != "utf-8":
        raise Unavailable(
            "Something between this process and PostgreSQL, as a connection pooler (PgBouncer), has dropped the "
            f"options of the connection: no time-out of ours would be in force. {DIRECTLY}"
        )
    if not read_only and replication_role != "origin":
        raise Unavailable(
            f"session_replication_role is {replication_role}, so the triggers that guard the journal would not fire: "
            "ALTER ROLE ... RESET session_replication_role, or the same of the database."
        )
    if writer:
        refuse_read_only(connection)
        for words in what_may_be_lost(fsync, full_page_writes):
            logger.warning("%s", words)
        if waited_for == "local" and standbys:
            logger.warning(
                "synchronous_commit = local, by the server's configuration, the database or the role: no commit waits "
                "for the synchronous standbys (%s), so a failover to one may lose what was acknowledged.",
                standbys,
            )
    return str(role)


def refuse_read_only(connection: psycopg.Connection) -> None:
    """Refuse a session that could write nothing. Raises `ReadOnly`, with the reason; asks nobody."""
    reported = ("in_hot_standby", "default_transaction_read_only")
    if any(connection.info.parameter_status(name) == "on" for name in reported):
        raise rights.read_only(connection.info)


def explained(error: psycopg.Error) -> str:
    """Why there is no connection, and what to do."""
    words = f"No connection to the database: {_in_short(error)}"
    if "unsupported startup parameter" in words:
        return f"{words}. That is a connection pooler, as PgBouncer. {DIRECTLY}"
    # What a server says itself, of a database or a role that is not there, a password, too many connections.
    mend = "A server answers there: mend what it says" if "FATAL:" in words else "Start its server"
    return (
        f"{words}. {mend}, or name another: --url, or CALLMARKET_DATABASE_URL; without either a private PostgreSQL is "
        "started"
    )


def _in_short(error: psycopg.Error) -> str:
    """What libpq says, each thing once and without its questions: an attempt for each address says the same."""
    lines = [line.strip() for line in str(error).splitlines() if not line.startswith("\t")]
    return "; ".join(dict.fromkeys(line.rstrip(".") for line in lines if line))


def _option(url: str, keyword: str) -> str:
    """What libpq takes for an option, wherever it finds it.

    Only libpq reads service files, and it tells what it found of a connection alone: so one is begun, to a socket that
    cannot be there, which costs 0.1 ms.
    """
    nowhere = make_conninfo(url, host="/", hostaddr="", port="1", dbname="nowhere", target_session_attrs="any")
    begun = pq.PGconn.connect_start(nowhere.encode())
    try:
        found = {option.keyword.decode(): option.val for option in begun.info}
    finally:
        begun.finish()
    value = found.get(keyword)
    return "" if value is None else value.decode()


def what_may_be_lost(fsync: str, full_page_writes: str) -> list[str]:
    """What the promise needs of the server's configuration and does not have, in words.

    A connection cannot set these for itself, and a reload may change them at any moment.
    """
    return [
        f"the server runs with {name} = {setting}: what is acknowledged may be lost, or the whole database broken, "
        f"when its machine loses power. Set {name} = on."
        for name, setting in (("fsync", fsync), ("full_page_writes", full_page_writes))
        if setting != "on"
    ]
