"""`callmarket serve` as a process of its own, which a test may end and kill.

Rule of this file: the command that a user runs, with its output and its key file; every process is gone at the end.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.small_market import WAIT_S_MAX

ROOT = Path(__file__).resolve().parents[2]


class ServiceProcess:
    """One process. It leads, or stands by where another one leads."""

    def __init__(self, database_url: str, home: Path, *, port: int = 0, **settings: str) -> None:
        """Start it and wait until it listens."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLMARKET_")}
        environment |= {"CALLMARKET_HOME": str(home), "CALLMARKET_SNAPSHOT_EVERY_S": "0"}
        if database_url:
            environment["CALLMARKET_DATABASE_URL"] = database_url
        environment |= {f"CALLMARKET_{name.upper()}": value for name, value in settings.items()}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "serve", "--json", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        try:
            said = json.loads(lines.get(timeout=WAIT_S_MAX) or "null")
        except queue.Empty:
            self.kill()
            raise
        assert said, f"the service has ended with {self._process.wait(WAIT_S_MAX)}"
        self.url: str = said["url"]
        self.key = Path(said["admin_key_path"]).read_text(encoding="ascii").strip()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def end(self) -> int:
        """Tell it to end (SIGTERM), and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(WAIT_S_MAX)

    def kill(self) -> None:
        """Kill it (SIGKILL). Again: nothing."""
        self._process.kill()
        self._process.wait(WAIT_S_MAX)

    def _read(self, lines: "queue.Queue[str]") -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            # One line may have line ends in it, as JSON for people.
            text = ""
            for line in output:
                text += line
                try:
                    json.loads(text)
                except ValueError:
                    continue
                lines.put(text)
                text = ""
        lines.put("")


@contextmanager
def service_process(database_url: str, home: Path, *, port: int = 0, **settings: str) -> Iterator[ServiceProcess]:
    """A service within the block."""
    service = ServiceProcess(database_url, home, port=port, **settings)
    try:
        yield service
    finally:
        service.kill()
