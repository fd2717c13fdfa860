"""A PostgreSQL server that a test may stop, freeze and kill, because nobody else uses it.

Rule of this file: real processes and real signals; the server is running and thawed again, or gone, when a block ends.
"""

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from psycopg import sql

from callmarket.persistence.database.migrate import ensure_schema
from callmarket.persistence.embedded import EmbeddedServer, ensure_server
from callmarket.persistence.embedded.postmaster import StopMode
from tests.support.databases import TestServer, temporary_home
from tests.support.small_market import until


class OwnServer:
    """One server in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.server: EmbeddedServer = ensure_server(home)
        self.databases = TestServer(self.server.url("postgres"))

    @property
    def alive(self) -> bool:
        """Whether its postmaster runs, frozen or not."""
        return self.server.pid() is not None

    def start(self) -> None:
        """Start it again; it recovers from whatever ended it. Nothing if it runs."""
        self.server = ensure_server(self.home)

    def configure(self, **settings: str) -> None:
        """Set what the whole server is started with, and start it again."""
        with self.databases.connect("postgres", autocommit=True) as connection:
            for name, value in settings.items():
                statement = sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                connection.execute(statement)
        with self.away():
            pass

    def stop(self, mode: StopMode = "immediate") -> None:
        """Stop it: `immediate` is as a reset of the machine, and its start recovers; `fast` is as for an upgrade."""
        self.server.stop(mode)

    def kill(self) -> None:
        """Kill the postmaster alone, as the kernel does when memory runs out; its children notice by themselves."""
        pid = self.server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.server.release()

    @contextmanager
    def away(self, mode: StopMode = "fast") -> Iterator[None]:
        """The server is stopped within the block, and all its connections are ended."""
        self.stop(mode)
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Every process of the server stands still within the block: connections stay open and nobody answers."""
        postmaster = self.server.pid()
        assert postmaster is not None
        with standing_still(postmaster):
            yield

    @contextmanager
    def market_database(self) -> Iterator[str]:
        """Yield the URL of a fresh database with the schema."""
        with self.databases.fresh_database() as name:
            with self.databases.connect(name) as connection:
                ensure_schema(connection)
            yield self.databases.url(name)


@contextmanager
def standing_still(postmaster: int) -> Iterator[None]:
    """A server stands still within the block, with all of its processes, by that of its postmaster."""
    with stopped_still([postmaster]):
        # First, and until it does: a child that it made meanwhile would go on, and answer whoever has just connected.
        until(lambda: _listed("-p", postmaster)[postmaster].startswith("T"))
        with stopped_still(_listed("--ppid", postmaster)):
            yield


def _listed(option: str, pid: int) -> dict[int, str]:
    """The state of each process that `ps` finds so."""
    told = subprocess.run(["ps", "-o", "pid=,stat=", option, str(pid)], capture_output=True, text=True, check=True)
    return {int(found): state for found, state in map(str.split, told.stdout.splitlines())}


@contextmanager
def stopped_still(pids: Iterable[int]) -> Iterator[None]:
    """These processes stand still within the block, wherever they are."""
    known = list(pids)
    try:
        for pid in known:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in reversed(known):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def open_own_server(home: Path | None = None) -> Iterator[OwnServer]:
    """Yield a server, in a folder that is removed with it or in one that is given; it is gone at the end."""
    with nullcontext(home) if home else temporary_home() as place:
        server = OwnServer(place)
        try:
            yield server
        finally:
            server.server.stop("immediate")
