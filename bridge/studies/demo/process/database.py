"""The demo's own database, made anew.

Rule of this file: no other database is touched, and two demos at once do not take it from each other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from psycopg import sql
from psycopg.conninfo import make_conninfo

from callmarket.bridge.api.errors import AccessDenied, Unavailable
from callmarket.bridge.studies.demo.options import DemoOptions
from callmarket.persistence import errors as persistence_errors
from callmarket.persistence.database.connections import connect
from callmarket.persistence.embedded import ensure_server

# Any fixed number, the same in all versions; it names "a demo runs on this server".
_LOCK_KEY: Final = 0x64656D6F


class DemoRunning(Unavailable):
    """Another demo uses the database. Wait for it, or name another database."""


@contextmanager
def fresh_database(options: DemoOptions) -> Iterator[str]:
    """Yield the URL of an empty database. It stays afterwards, for inspection, until the next demo."""
    if options.url is not None:
        with _made(options.url, options.database):
            yield _with_database(options.url, options.database)
        return
    with ensure_server(options.home) as server, _made(server.url("postgres"), options.database):
        yield server.url(options.database)


@contextmanager
def _made(maintenance_url: str, name: str) -> Iterator[None]:
    with connect(maintenance_url, "callmarket demo") as connection:
        key = f"{_LOCK_KEY}:{name}"
        row = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (key,)).fetchone()
        if row is None or not row[0]:
            raise DemoRunning(f"another demo is using the database {name}: wait for it to end")
        try:
            identifier = sql.Identifier(name)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'").format(
                    identifier
                )
            )
        except persistence_errors.AccessDenied as error:
            role = sql.Identifier(connection.role).as_string()
            raise AccessDenied(
                f"this makes a database {name} of its own: {error.__cause__}. A superuser allows it: "
                f"ALTER ROLE {role} CREATEDB"
            ) from error
        yield


def _with_database(url: str, name: str) -> str:
    if "://" in url:
        return urlsplit(url)._replace(path=f"/{name}").geturl()
    return make_conninfo(url, dbname=name)
