"""The home folder of one embedded server: where everything lies, and its permissions.

Rule of this file: the home is the whole state, and every path follows from the home's alone, never from what a file
says; so a copy of a home is another server, and a home that was moved is the same one.

In it: `data` (PostgreSQL's, mode 0700), `socket` (0700), `postgresql.conf` (ours, written anew at each start),
`console.log`, two lock files and, only where needed, `binaries`.
"""

import os
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from psycopg import pq

from callmarket.persistence.embedded.account import Account
from callmarket.persistence.errors import Unavailable

SUPERUSER = "postgres"
PORT = 5432  # only a part of the socket's name
SOCKET_NAME = f".s.PGSQL.{PORT}"

# The address of a Unix socket holds 104 bytes on macOS and 108 on Linux, the closing zero included.
SOCKET_PATH_BYTES_MAX = 103


# Of libpq's options: those that the URL names itself, those that the caller does, and those that mean nothing here.
_NAMED_ELSEWHERE = ("user", "dbname", "host", "port", "service", "connect_timeout", "application_name")

# Where libpq takes nothing for no value.
_NEVER_EMPTY = {"sslcertmode": "allow", "min_protocol_version": "3.0", "max_protocol_version": "3.0"}


def _defaults() -> dict[str, str]:
    """The defaults of what the environment sets: by variables of its own, or by a service, which may set all."""
    variables = os.environ
    return {
        option.keyword.decode(): (option.compiled or b"").decode() or _NEVER_EMPTY.get(option.keyword.decode(), "")
        for option in pq.Conninfo.get_defaults()
        if option.envvar is not None
        and option.keyword.decode() not in _NAMED_ELSEWHERE
        and ("PGSERVICE" in variables or option.envvar.decode() in variables)
    }


@dataclass(frozen=True)
class Home:
    """One home, by its resolved path."""

    path: Path

    @property
    def data(self) -> Path:
        """The folder of PostgreSQL's data."""
        return self.path / "data"

    @property
    def pid_file(self) -> Path:
        """The file in which a running server identifies itself."""
        return self.data / "postmaster.pid"

    @property
    def configuration(self) -> Path:
        """The file of the server's settings."""
        return self.path / "postgresql.conf"

    @property
    def console(self) -> Path:
        """The file that takes what the server prints before its own log is open."""
        return self.path / "console.log"

    @property
    def socket_folder(self) -> Path:
        """The folder of the socket: in the home, or a short one in /tmp if that path would not do."""
        folder = self.path / "socket"
        text = str(folder / SOCKET_NAME)
        # A comma separates folders in PostgreSQL's setting and hosts in libpq's; a quote would have to be escaped.
        if len(os.fsencode(text)) <= SOCKET_PATH_BYTES_MAX and not any(character in text for character in ",\"'\\"):
            return folder
        # Not the TMPDIR of this process: that may be long, or closed to the account, or another one next time.
        digest = sha256(os.fsencode(self.path)).hexdigest()[:24]
        return Path("/tmp") / f"callmarket-{digest}"  # noqa: S108  (owner and mode are checked where it is made)

    def url(self, database: str) -> str:
        """Return the libpq URL of a database of this home's server.

        What the shell says of other servers (`PGCHANNELBINDING`, `PGHOSTADDR`, ...) is not for this one: whatever
        libpq would take from the environment of this process is named, with its default.
        """
        named = {"host": str(self.socket_folder), "port": str(PORT), **_defaults()}
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?" + "&".join(
            f"{keyword}={quote(value, safe='')}" for keyword, value in named.items()
        )

    def make(self) -> None:
        """Make the home, or check the one that is there; the mode of an existing folder is its owner's business."""
        if not self.path.exists():
            # As root another account passes through it to its data; passing is not listing.
            mode = 0o711 if os.geteuid() == 0 else 0o700
            self.path.mkdir(mode, parents=True, exist_ok=True)
            self.path.chmod(mode)  # whatever the umask took away
        found = self.path.stat()
        if found.st_mode & stat.S_IWOTH:
            raise Unavailable(
                f"{self.path} can be written by everybody, so the data in it could be exchanged: choose another home."
            )
        if found.st_uid != os.geteuid():
            # For root too: files of root in it would lock the owner out.
            raise Unavailable(
                f"{self.path} belongs to uid {found.st_uid}, and this process runs as uid {os.geteuid()}. "
                "Run as that user, or set CALLMARKET_HOME to another folder."
            )

    def make_socket_folder(self, account: Account) -> None:
        """Make the socket's folder, or check the one that is there."""
        folder = self.socket_folder
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            found = folder.lstat()
            mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            given = found.st_mode == stat.S_IFDIR | 0o700 and found.st_uid == account.uid
            if given and not mine:
                return  # and is not touched: as root we change nothing that another account can exchange
            if not mine:
                raise Unavailable(
                    f"{folder} is not a private folder of ours: somebody else made it; remove it."
                ) from None
        account.take(folder)

    def write_configuration(self, text: str) -> None:
        """Write the server's settings, readable by the account; a rename makes the file whole."""
        new = self.configuration.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.chmod(0o644)
        new.replace(self.configuration)

    def sync(self) -> None:
        """Make a rename in the home survive a power loss."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
