"""A database that goes back to an earlier state under a market, as after a failover to a replica that lacked rows.

Rule of this file: real databases. A copy is made while nobody may connect, and takes the place of the database under
its name; whoever is connected is cut off, as by a failover, and finds the older state when it comes again.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Backups:
    """Earlier states of one database, and the way back to them."""

    def __init__(self, url: str) -> None:
        self.name = str(conninfo_to_dict(url)["dbname"])
        self._maintenance = make_conninfo(url, dbname="postgres")
        self._copies: list[str] = []

    def take(self) -> str:
        """Copy the database as it is now; whoever is connected has to come again."""
        copy = f"{self.name}_{secrets.token_hex(4)}"
        self._copies.append(copy)
        with psycopg.connect(self._maintenance, autocommit=True) as connection, self._alone(connection):
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(copy), sql.Identifier(self.name))
            )
        return copy

    def go_back(self, copy: str) -> str:
        """Let a copy be the database from now on; what it was until now is a copy, whose name is returned."""
        newer = f"{self.name}_{secrets.token_hex(4)}"
        with psycopg.connect(self._maintenance, autocommit=True) as connection:
            with self._alone(connection):
                self._rename(connection, self.name, newer)
            self._rename(connection, copy, self.name)
            self._copies.append(newer)
        return newer

    def drop(self) -> None:
        """Remove all copies."""
        with psycopg.connect(self._maintenance, autocommit=True) as connection:
            for copy in self._copies:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(copy)))

    @contextmanager
    def _alone(self, connection: psycopg.Connection) -> Iterator[None]:
        """Nobody is connected to the database within the block, and nobody can; afterwards everybody can again."""
        row = connection.execute("SELECT oid FROM pg_database WHERE datname = %s", (self.name,)).fetchone()
        assert row is not None
        allow = "UPDATE pg_database SET datallowconn = %s WHERE oid = %s"
        connection.execute(allow, (False, row[0]))
        try:
            query = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datid = %s"
            while connection.execute(query, (row[0],)).fetchall():
                pass
            yield
        finally:
            connection.execute(allow, (True, row[0]))

    def _rename(self, connection: psycopg.Connection, before: str, after: str) -> None:
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after))
        )


@contextmanager
def backups_of(url: str) -> Iterator[Backups]:
    """Nothing of them is left after the block."""
    backups = Backups(url)
    try:
        yield backups
    finally:
        backups.drop()
