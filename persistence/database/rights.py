"""Errors for missing database rights: what the role lacks, and the statement that grants it.

Rule of this file: pure; from the driver's error and what the server has told of the session to one of our errors.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from callmarket.persistence.errors import AccessDenied, ReadOnly

REFUSED: Final = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)
"""What the server says where the role may not, or nobody may."""

_CLOSED: Final = re.compile(r'permission denied for database "(.+?)"')
# All that the market does to its tables; what only looks needs the first.
_READING: Final = "SELECT"
_WRITING: Final = "SELECT, INSERT, UPDATE, DELETE"


def refusal_of(error: psycopg.Error, session: psycopg.ConnectionInfo, role: str) -> AccessDenied | ReadOnly:
    """What to raise for one of `REFUSED`, of a session with the rights of this role."""
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return read_only(session)
    return AccessDenied(f"{_lacks(error, role)}. {_grants(_schema_of(session), session, role)}")


def read_only(session: psycopg.ConnectionInfo) -> ReadOnly:
    """What to raise for a session that can write nothing, with the next step."""
    if session.parameter_status("in_hot_standby") == "on":
        return ReadOnly(
            "The database is a replica, which only reads: name the primary instead, or all servers with "
            "target_session_attrs=read-write in the URL"
        )
    return ReadOnly(
        "The database lets this session only read (default_transaction_read_only is on, by ALTER DATABASE, ALTER ROLE, "
        "the server's configuration or the options of the URL): name a database, or a role, that may write, or reset it"
    )


@contextmanager
def making_tables(connection: psycopg.Connection) -> Iterator[None]:
    """Within this block tables are made or changed: say what that needs. Raises `AccessDenied`."""
    row = connection.execute("SELECT current_user").fetchone()
    assert row is not None, "SELECT without FROM returns one row"
    try:
        yield
    except (AccessDenied, psycopg.errors.InvalidSchemaName) as error:
        cause = error if isinstance(error, psycopg.Error) else error.__cause__
        raise AccessDenied(
            f"{_lacks(cause, row[0])}, so the tables cannot be brought up to date. Let the role that owns "
            f"them run `callmarket migrate`, or, where there are none, its owner or a superuser grant: "
            f"GRANT USAGE, CREATE ON SCHEMA {_schema_of(connection.info)} TO {_quoted(row[0])}"
        ) from error


def closed_database(said: str, url: str) -> AccessDenied | None:
    """What to raise where a connection was refused because its role may not connect; None if that is not why.

    libpq tells of a refused connection in words alone: a server that speaks another language is taken to be
    unavailable.
    """
    found = _CLOSED.search(said)
    if found is None:
        return None
    role = str(conninfo_to_dict(url).get("user") or "of this account")
    return AccessDenied(
        f"The database's role {role!r} lacks a right: {found[0]}. Its owner or a superuser grants it: "
        f"GRANT CONNECT ON DATABASE {_quoted(found[1])} TO {_quoted(role)}"
    )


def unreachable_schema(schema: str, session: psycopg.ConnectionInfo, role: str) -> AccessDenied:
    """What to raise where there are tables in a schema that the role may not enter."""
    return AccessDenied(
        f"The database's role {role!r} may not use the schema {schema!r}, in which the tables are. "
        f"{_grants(_quoted(schema), session, role)}"
    )


def _grants(schema: str, session: psycopg.ConnectionInfo, role: str) -> str:
    """The next step: all that this kind of session needs, because table after table would be a long way."""
    # Reported by every server from version 14 on.
    rights = _READING if session.parameter_status("default_transaction_read_only") == "on" else _WRITING
    return (
        f"Their owner or a superuser grants it: GRANT USAGE ON SCHEMA {schema} TO {_quoted(role)}; "
        f"GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {_quoted(role)}"
    )


def _lacks(error: BaseException | None, role: str) -> str:
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return f"The database's role {role!r} lacks a right: {said or error}"


def _schema_of(session: psycopg.ConnectionInfo) -> str:
    """The schema in which the tables are, as far as the server tells (from version 18 on), else the usual one."""
    path = session.parameter_status("search_path") or ""
    named = [part.strip().strip('"') for part in path.split(",")]
    return _quoted(next((name for name in named if name and not name.startswith("$")), "public"))


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()
