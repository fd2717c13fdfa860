"""The table of API keys: statements.

Rule of this file: it stores and finds digests and grants; what they allow is for the bridge. No secret comes here, only
its SHA-256, and no row shows it when it is printed. Keys are not journaled, because they move no token.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, fields
from datetime import datetime
from typing import Final

import psycopg

# What every process that serves keeps in memory: some 12 MB with a few accounts for each key, 115 MB with a hundred;
# read again in a quarter of a second.
KEYS_MAX: Final = 10_000

# A shorter beginning of an id is met by chance: with 10,000 keys four characters are still one key's alone, as a rule.
PREFIX_CHARS_MIN: Final = 4


@dataclass(frozen=True)
class KeyRow:
    """One key: what it may do, and the digest by which its secret is known."""

    key_id: str
    secret_sha256: bytes = field(repr=False)
    name: str
    scopes: list[str]
    accounts: list[str]
    providers: list[str]
    rate_per_s: int
    burst: int
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None = None


_COLUMNS: Final = ", ".join(one.name for one in fields(KeyRow))
_COLUMNS_SHOWN: Final = _COLUMNS.replace("secret_sha256", "''::bytea")


@contextmanager
def changing(connection: psycopg.Connection, shard_id: int) -> Iterator[None]:
    """A transaction in which nobody else changes the keys of this shard. Raises `psycopg.Error`."""
    with connection.transaction():
        connection.execute(
            """
            INSERT INTO api_key_versions AS known (shard_id, version) VALUES (%s, 0)
            ON CONFLICT (shard_id) DO UPDATE SET version = known.version
            """,
            (shard_id,),
        )
        yield


def add(connection: psycopg.Connection, shard_id: int, row: KeyRow) -> bool:
    """Add a key, within `changing`. False, and nothing is added, if `KEYS_MAX` keys work."""
    values = astuple(row)
    added = connection.execute(
        f"""
        INSERT INTO api_keys (shard_id, {_COLUMNS})
        SELECT %s, {", ".join(["%s"] * len(values))}
        WHERE (SELECT count(*) FROM api_keys WHERE shard_id = %s AND revoked_at IS NULL
                 AND (expires_at IS NULL OR expires_at > %s)) < %s
        """,  # noqa: S608 -- the names of the columns are this file's
        (shard_id, *values, shard_id, row.created_at, KEYS_MAX),
    )
    return added.rowcount == 1


def revoke(connection: psycopg.Connection, shard_id: int, key_id: str) -> KeyRow | None:
    """Take a key away for good; again: it stays as it was. The key, None if there is none of this id."""
    rows = connection.execute(
        f"""
        UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp())
        WHERE shard_id = %s AND key_id = %s RETURNING {_COLUMNS}
        """,  # noqa: S608 -- as above
        (shard_id, key_id),
    ).fetchall()
    return KeyRow(*rows[0]) if rows else None


def matching(connection: psycopg.Connection, shard_id: int, text: str, rows_max: int) -> list[KeyRow]:
    """The keys that a person may mean: of this id or name, or, from `PREFIX_CHARS_MIN` on, whose id begins so.

    Those that are not revoked come first.
    """
    rows = connection.execute(
        f"""
        SELECT {_COLUMNS} FROM api_keys
        WHERE shard_id = %(shard)s
          AND (key_id = %(text)s OR name = %(text)s
               OR (length(%(text)s) >= %(least)s AND starts_with(key_id, %(text)s)))
        ORDER BY key_id = %(text)s DESC, revoked_at IS NULL DESC, created_at DESC, key_id LIMIT %(max)s
        """,  # noqa: S608 -- as above
        {"shard": shard_id, "text": text, "least": PREFIX_CHARS_MIN, "max": rows_max},
    ).fetchall()
    return [KeyRow(*row) for row in rows]


def version(connection: psycopg.Connection, shard_id: int) -> int:
    """A number that grows with each change of the shard's keys; 0 before the first."""
    row = connection.execute("SELECT version FROM api_key_versions WHERE shard_id = %s", (shard_id,)).fetchone()
    return 0 if row is None else row[0]


def working(connection: psycopg.Connection, shard_id: int, now: datetime) -> list[KeyRow]:
    """The keys that are neither revoked nor expired, oldest first, at most `KEYS_MAX`."""
    rows = connection.execute(
        f"""
        SELECT {_COLUMNS} FROM api_keys
        WHERE shard_id = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > %s)
        ORDER BY created_at, key_id LIMIT %s
        """,  # noqa: S608 -- as above
        (shard_id, now, KEYS_MAX),
    ).fetchall()
    return [KeyRow(*row) for row in rows]


def latest(connection: psycopg.Connection, shard_id: int, rows_max: int) -> list[KeyRow]:
    """All keys, newest first, also those that work no longer; without digests, which the reader role may not read."""
    rows = connection.execute(
        f"SELECT {_COLUMNS_SHOWN} FROM api_keys WHERE shard_id = %s ORDER BY created_at DESC, key_id LIMIT %s",  # noqa: S608
        (shard_id, rows_max),
    ).fetchall()
    return [KeyRow(*row) for row in rows]
