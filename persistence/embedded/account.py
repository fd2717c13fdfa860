"""The operating-system account that PostgreSQL runs as. PostgreSQL refuses to run as root.

Rule of this file: no account is created and nobody else's folder is changed. As root we borrow an account that exists;
as anyone else PostgreSQL runs as the caller.
"""

import os
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from callmarket.persistence.errors import Unavailable

# In order of preference: the account made for PostgreSQL (Linux, macOS), then the one that owns nothing.
BORROWED_NAMES = ("postgres", "_postgres", "nobody")

# initdb takes 0.5 s on a fast disk, a minute on a very slow one; nothing else run here takes a second.
COMMAND_S_MAX = 180

# Nothing of the caller's environment reaches the server: PGDATA, PGPORT or LD_LIBRARY_PATH would change its meaning.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True)
class Account:
    """Whom PostgreSQL runs as. `borrowed` means that we are root and have to become this account first."""

    name: str
    uid: int
    gid: int
    borrowed: bool

    @classmethod
    def choose(cls, data: Path) -> "Account":
        """Return the account for this data folder: its owner if it exists, otherwise the one that fits the caller."""
        if os.geteuid() != 0:
            return cls._current(data)
        if data.exists() and (owner := data.stat()).st_uid != 0:
            # The account chosen at the first start stays, even if a better one was installed since.
            return cls(f"uid {owner.st_uid}", owner.st_uid, owner.st_gid, borrowed=True)
        import pwd  # noqa: PLC0415  (Windows has none, and this module must import there to explain itself)

        for name in BORROWED_NAMES:
            try:
                found = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(name, found.pw_uid, found.pw_gid, borrowed=True)
        raise Unavailable(
            f"PostgreSQL refuses to run as root, and none of the accounts {', '.join(BORROWED_NAMES)} exists. "
            "Run as another user, or set CALLMARKET_DATABASE_URL to a server of your own."
        )

    @classmethod
    def _current(cls, data: Path) -> "Account":
        uid, gid = os.geteuid(), os.getegid()
        if data.exists() and data.stat().st_uid != uid:
            raise Unavailable(
                f"{data} belongs to uid {data.stat().st_uid}, and this process runs as uid {uid}. "
                "Run as that user (or root), or set CALLMARKET_HOME to another folder."
            )
        return cls(f"uid {uid}", uid, gid, borrowed=False)

    def insist_on_name(self) -> None:
        """Refuse, in words, what initdb would refuse in riddles: it asks the system for the name of its account."""
        import pwd  # noqa: PLC0415  (as above)

        try:
            pwd.getpwuid(self.uid)
        except KeyError:
            raise Unavailable(
                f"Uid {self.uid} has no name on this system (no entry in /etc/passwd), without which PostgreSQL does "
                "not make its data folder: give it one, run as another user, or set CALLMARKET_DATABASE_URL to a "
                "server of your own."
            ) from None

    def run(
        self, command: Sequence[str | Path], *, environment: dict[str, str] | None = None, errors_to: int | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command as this account, in its own session; return its result, whatever the exit code.

        `errors_to` is an open file for the error stream; without it the errors are in the result's `stdout`.
        """
        try:
            return subprocess.run(  # noqa: S603  (no shell expands it; the program is PostgreSQL's or /bin/sh)
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if errors_to is None else errors_to,
                text=True,
                errors="replace",
                env=ENVIRONMENT | (environment or {}),
                cwd="/",  # the caller's folder may be closed to the account
                timeout=COMMAND_S_MAX,
                check=False,
                start_new_session=True,  # Ctrl-C in the terminal is not for PostgreSQL
                umask=0o077,
                user=self.uid if self.borrowed else None,
                group=self.gid if self.borrowed else None,
                extra_groups=[] if self.borrowed else None,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{command[0]} did not finish within {COMMAND_S_MAX} s") from error

    def take(self, folder: Path) -> None:
        """Make a folder of ours private to the account."""
        folder.chmod(0o700)
        if self.borrowed:
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)

    def can_run(self, program: Path) -> bool:
        """Say whether the account can start a program of PostgreSQL, libraries included."""
        try:
            return self.run([program, "--version"]).returncode == 0
        except OSError:
            return False

    def can_enter(self, folder: Path) -> bool:
        """Say whether the account can reach a folder, by trying (access control lists count, mode bits lie)."""
        return self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder]).returncode == 0

    def closed_folder(self, folder: Path) -> Path:
        """Return the topmost folder on the way to `folder` whose mode keeps the account out."""
        for step in [*reversed(folder.parents), folder]:
            found = step.stat()
            if found.st_uid == self.uid:
                needed = stat.S_IXUSR
            else:
                needed = stat.S_IXGRP if found.st_gid == self.gid else stat.S_IXOTH
            if not found.st_mode & needed:
                return step
        return folder
