"""The schema, brought up to date: numbered .sql files, each applied once.

Rule of this file: history is not edited. A file that was applied is recorded by name and SHA-256 and must stay as it
was; a change is a new file. All pending files are applied in one transaction under an advisory lock, so any number of
processes may start at once, and one that dies leaves nothing half done.

An existing library was considered: yoyo-migrations 9.0.0, of 2024, brings its own connection layer, rollback scripts
and four dependencies. Only the loop below is needed here.
"""

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Final

import psycopg
from psycopg import sql

from callmarket.persistence.database.rights import making_tables, unreachable_schema
from callmarket.persistence.errors import SchemaError

# Any fixed number, the same in all versions. Advisory locks are per database, so other databases do not wait.
_LOCK_KEY: Final = 0x63616C6C6D6B74

# In which every text of ours can be stored.
_ENCODINGS: Final = ("UTF8", "SQL_ASCII")

_TABLE: Final = sql.SQL("""
    CREATE TABLE IF NOT EXISTS schema_migrations (
        name        text         PRIMARY KEY,
        sha256      bytea        NOT NULL,
        applied_at  timestamptz  NOT NULL DEFAULT now()
    )
""")


@dataclass(frozen=True)
class Migration:
    """One numbered file."""

    name: str
    content: bytes

    @property
    def digest(self) -> bytes:
        """Return its SHA-256."""
        return sha256(self.content).digest()


def ensure_schema(connection: psycopg.Connection) -> list[str]:
    """Apply pending migrations and return their names. Safe to call at any time and from many processes.

    Objects are made in the first schema of the connection's search_path. Raises `SchemaError` if an applied file has
    changed since, the database is newer than this code, or it cannot store every text, `AccessDenied` if the role may
    not; then nothing is done.
    """
    _refuse_encoding(connection)
    with connection.transaction():
        # Looked at before the lock is taken, so that the usual start waits for nobody.
        if not _pending(connection, load()):
            return []
        with making_tables(connection):
            return _apply(connection)


def pending(connection: psycopg.Connection) -> list[str]:
    """Return the names of the files that are still to be applied. Raises as `ensure_schema`; changes nothing."""
    _refuse_encoding(connection)
    with connection.transaction():
        return [migration.name for migration in _pending(connection, load())]


def _apply(connection: psycopg.Connection) -> list[str]:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_KEY,))
    connection.execute(_TABLE)
    applied = _pending(connection, load())
    for migration in applied:
        connection.execute(migration.content)
        connection.execute(
            "INSERT INTO schema_migrations (name, sha256) VALUES (%s, %b)", (migration.name, migration.digest)
        )
    return [migration.name for migration in applied]


def load() -> list[Migration]:
    """Return the files of this version, in order."""
    folder = files("callmarket.persistence") / "sql"
    found = sorted(path.name for path in folder.iterdir() if path.name.endswith(".sql"))
    return [Migration(name, (folder / name).read_bytes()) for name in found]


def _refuse_encoding(connection: psycopg.Connection) -> None:
    """Refuse a database that cannot store what the engine takes: a memo may be in any language. Raises `SchemaError`.

    SQL_ASCII stores any bytes, and ours are UTF-8.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in _ENCODINGS:
        raise SchemaError(
            f"The database {connection.info.dbname!r} stores text as {encoding}, which has no room for most of the "
            "world's characters: a single one would stop the market. Make another one with: CREATE DATABASE market "
            "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'; then bring the old tables there with "
            "pg_dump, if there are any."
        )


def _pending(connection: psycopg.Connection, known: list[Migration]) -> list[Migration]:
    exists = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchone()
    assert exists is not None, "SELECT without FROM returns one row"
    if not exists[0]:
        _refuse_if_hidden(connection)
        return known
    rows = connection.execute("SELECT name, sha256 FROM schema_migrations").fetchall()
    applied: dict[str, bytes] = {name: bytes(digest) for name, digest in rows}
    unknown = sorted(applied.keys() - {migration.name for migration in known})
    if unknown:
        raise SchemaError(
            f"The database's schema is newer than this version of callmarket: it has {', '.join(unknown)}. "
            "Run the version that applied them, or a newer one."
        )
    for migration in known:
        if migration.name in applied and applied[migration.name] != migration.digest:
            raise SchemaError(
                f"{migration.name} has changed since it was applied to this database. "
                "Restore the file as it was and put the change into a new one with the next number."
            )
    return [migration for migration in known if migration.name not in applied]


def _refuse_if_hidden(connection: psycopg.Connection) -> None:
    """To a role that may not use the schema its tables look as if there were none. Raises `AccessDenied`."""
    hidden = connection.execute("""
        SELECT nspname, current_user FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relname = 'schema_migrations' AND NOT has_schema_privilege(nspname, 'USAGE')
          AND nspname IN (SELECT btrim(name, ' "') FROM regexp_split_to_table(current_setting('search_path'), ',') name)
    """).fetchone()
    if hidden is not None:
        raise unreachable_schema(hidden[0], connection.info, hidden[1])
