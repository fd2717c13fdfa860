"""Database roles that a test makes for itself: with some rights, with none, or with sessions that only read.

Rule of this file: a role owns nothing and is gone when its block ends.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql


@contextmanager
def role_on(url: str, *grants: str, settings: str = "") -> Iterator[str]:
    """Yield the URL of this database for a new role that may log in and has these grants (`SELECT ON ... `).

    `settings` is what `ALTER ROLE` sets. By trust, as on the private server: without a password.
    """
    name = f"test_{secrets.token_hex(4)}"
    role = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        try:
            for grant in grants:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(grant), role))
            if settings:
                connection.execute(sql.SQL("ALTER ROLE {} SET {}").format(role, sql.SQL(settings)))
            parts = urlsplit(url)
            yield parts._replace(netloc=f"{name}@{parts.netloc.rpartition('@')[2]}").geturl()
        finally:
            connection.execute(
                sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}").format(
                    sql.Literal(name)
                )
            )
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


@contextmanager
def taken_role_on(url: str, *grants: str) -> Iterator[tuple[str, str]]:
    """Yield the URL of this database for a new login that acts as another role, and that role, which has these grants.

    So a platform's people log in by names of their own, and what they make belongs to one owner.
    """
    name = f"test_{secrets.token_hex(4)}"
    role = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        try:
            for grant in grants:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(grant), role))
            with role_on(url, name, settings=f"role = {name}") as login:
                yield login, name
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))
