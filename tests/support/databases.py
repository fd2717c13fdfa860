"""A PostgreSQL server for the tests, and databases that are made from a template and dropped after use.

Rule: a test run leaves nothing behind: the databases are dropped, and the server with its files is removed even when
tests fail. CALLMARKET_TEST_DATABASE_URL names a server to use instead of the embedded one.
"""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from callmarket.persistence.embedded import ensure_server
from callmarket.persistence.embedded.home import Home
from callmarket.persistence.embedded.locks import UseLock, gate
from callmarket.persistence.embedded.postmaster import Postmaster

EXTERNAL_URL_VARIABLE = "CALLMARKET_TEST_DATABASE_URL"
HOME_PREFIX = "callmarket-test-"
ABANDONED_AGE_S_MIN = 3600
# A file system in memory, where there is one. Each run makes and drops hundreds of databases, of 9 MB each; on a disk
# that others use too, this is most of what tests wait for. Room is needed for the WAL of a server (2 GB at most), for
# the servers of some workers, and for their databases.
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 8 * 2**30


@dataclass(frozen=True)
class TestServer:
    """A server that tests may make databases on."""

    __test__ = False  # pytest would take the name for a group of tests

    maintenance_url: str
    # Used for all databases where nobody stops the server: to connect takes as long as to make one.
    maintenance: psycopg.Connection | None = None

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        if "://" in self.maintenance_url:
            return urlsplit(self.maintenance_url)._replace(path=f"/{database}").geturl()
        return make_conninfo(self.maintenance_url, dbname=database)

    def connect(self, database: str, **options: Any) -> psycopg.Connection:
        """Open a connection to one of its databases; as a context manager it commits and closes."""
        return psycopg.connect(self.url(database), **options)

    @contextmanager
    def fresh_database(self, template: str | None = None) -> Iterator[str]:
        """Make a database, empty or a copy of `template`; yield its name; drop it even if clients are connected."""
        # Random, so that two runs on one external server do not meet.
        name = f"callmarket_test_{secrets.token_hex(8)}"
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template or "template0")
            )
        )
        try:
            yield name
        finally:
            self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        if self.maintenance is not None:
            self.maintenance.execute(statement)
            return
        with psycopg.connect(self.maintenance_url, autocommit=True) as connection:
            connection.execute(statement)


def remove_abandoned_homes() -> None:
    """Stop and remove what test runs left that were killed before they could do it themselves."""
    places = {MEMORY, Path(tempfile.gettempdir())}
    for home in (home for place in places for home in place.glob(f"{HOME_PREFIX}*/home")):
        found = home.stat()
        # A young one may be just starting; the lock tells of the rest whether its run is still alive.
        if found.st_uid != os.geteuid() or time.time() - found.st_mtime < ABANDONED_AGE_S_MIN:
            continue
        place = Home(home.resolve())
        with gate(place):
            if not UseLock(place).close_and_say_if_last():
                continue
            server = Postmaster.read(place)
            if server is not None:
                server.stop("immediate")
        shutil.rmtree(home.parent, ignore_errors=True)


@contextmanager
def temporary_home(place: Path | None = None) -> Iterator[Path]:
    """Yield a folder that the embedded server may live in, on the disk or in a place that is named; it is removed.

    Not pytest's `tmp_path`: that one is closed to other accounts, and as root the server runs under another account.
    """
    parent = Path(tempfile.mkdtemp(prefix=HOME_PREFIX, dir=place))
    try:
        parent.chmod(0o711)
        yield parent / "home"
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def _roomy_memory() -> Path | None:
    """Where files cost no disk; None where that is too small, as in many containers."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < MEMORY_BYTES_MIN:
        return None
    return MEMORY


@contextmanager
def open_test_server() -> Iterator[TestServer]:
    """Yield the server of this run: the one that the environment names, or an embedded one that ends with the run.

    It is set as in production, with fsync, and nobody stops it. Servers that tests stop, kill, fill or freeze are
    others (`own_server`, `tests/faults`), and theirs lie on the disk.
    """
    external_url = os.environ.get(EXTERNAL_URL_VARIABLE)
    if external_url:
        with _maintained(external_url) as external:
            yield external
        return
    remove_abandoned_homes()
    with temporary_home(_roomy_memory()) as home:
        server = ensure_server(home)
        try:
            with _maintained(server.url("postgres")) as embedded:
                yield embedded
        finally:
            server.stop("immediate")  # its files are removed next, so there is nothing to save


@contextmanager
def _maintained(url: str) -> Iterator[TestServer]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield TestServer(url, connection)
