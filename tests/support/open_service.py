"""`callmarket serve` as a process of its own that lets anybody fail at its door as often as they like.

Rule of this file: all but that one bound is what a user starts. Checkers of HTTP services fail hundreds of times a
second from one address, and want to be told 401 each time; the bound itself has tests of its own.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[2]
END_S_MAX = 30

_START = """\
import bridge.access.door
bridge.access.door.FAILURES_BURST = bridge.access.door.FAILURES_PER_S = 1_000_000
from bridge.cli.commands import main
main()
"""


class OpenService:
    """A running service, and the first key of it."""

    def __init__(self, url: str, admin_key: str, log: Path) -> None:
        self.url = url
        self.admin_key = admin_key
        self._log = log

    @property
    def log(self) -> str:
        """What it has written to its log so far."""
        return self._log.read_text(encoding="utf-8")

    def client(self) -> httpx2.Client:
        """A client of the admin's."""
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.admin_key}"}, timeout=30)


@contextmanager
def open_service(database_url: str) -> Iterator[OpenService]:
    """A service on this database; the process has ended when the block has."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        settings = {
            "CALLMARKET_DATABASE_URL": database_url,
            "CALLMARKET_HOME": str(Path(folder) / "home"),
            "CALLMARKET_SNAPSHOT_EVERY_S": "0",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CALLMARKET_")}
        with log.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, "serve", "--port", "0", "--json"],
                cwd=ROOT,
                env=inherited | settings,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            assert process.stdout is not None
            told = ""
            while not told.endswith("}\n"):
                line = process.stdout.readline()
                assert line, log.read_text(encoding="utf-8")
                told += line
            ready = json.loads(told)
            key = Path(ready["admin_key_path"]).read_text(encoding="utf-8").strip()
            yield OpenService(ready["url"], key, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_S_MAX)
            finally:
                process.kill()
                process.communicate()
