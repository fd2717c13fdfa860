"""`callmarket serve` as a process of its own, as a user starts it, and clients for it.

Rule of this file: what a user does, nothing more: a command line, an environment, HTTP and signals.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[2]
BEGIN_S_MAX = 240  # one of several that begin together, on a busy machine
END_S_MAX = 60


# What starts the command line: as a user does.
START = ("-m", "callmarket")


def command(*options: str, port: int = 0, start: Sequence[str] = START) -> list[str]:
    """The command line of a service, by itself on a free port."""
    return [sys.executable, *start, "serve", "--port", str(port), "--json", *options]


def clean() -> dict[str, str]:
    """This environment without settings of the market, and without what would hide how a process behaves by itself.

    Buffers that are flushed at once would hide what it forgets to flush. Who runs the tests side by side sets a width.
    """
    left_out = ("CALLMARKET_", "PYTHONUNBUFFERED", "COLUMNS")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


class ServiceProcess:
    """A running service. `log` is what it wrote to stderr so far."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path, home: Path) -> None:
        self.process = process
        self._log = log
        self.home = home
        self.url = ""
        self.key = ""
        # The last row that any of its clients was told of.
        self._seen = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        """All log lines so far."""
        return self._log.read_text(encoding="utf-8")

    def lines(self, **wanted: Any) -> list[dict[str, Any]]:
        """The log lines, as objects, that have these fields."""
        found = [json.loads(line) for line in self.log.splitlines()]
        return [line for line in found if all(line.get(name) == value for name, value in wanted.items())]

    def client(self, **headers: str) -> httpx2.Client:
        """A client with the admin key, which asks for no less than what it and the others were told of."""
        headers = {"Authorization": f"Bearer {self.key}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        hooks: dict[str, Any] = {"request": [self._ask_for_what_was_seen], "response": [self._see]}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60, event_hooks=hooks)

    def _ask_for_what_was_seen(self, request: httpx2.Request) -> None:
        if request.method in {"GET", "HEAD"}:
            request.headers.setdefault("Callmarket-Min-Seq", str(self._seen))

    def _see(self, response: httpx2.Response) -> None:
        self._seen = max(self._seen, int(response.headers.get("Callmarket-Seq", 0)))

    def make(self, *asked: tuple[str, dict[str, Any]]) -> None:
        """Make what a test needs, as a client does: told to come back, it comes back under the same id."""
        with self.client() as client:
            for number, (path, body) in enumerate(asked):
                end_s = time.monotonic() + 60
                once = {"Idempotency-Key": f"made-for-a-test-{number}"}
                while (told := client.post(f"/api/v1{path}", json=body, headers=once)).status_code == 503:
                    assert time.monotonic() < end_s, (told.text, self.log)
                    time.sleep(float(told.headers["Retry-After"]))
                assert told.is_success, (told.status_code, told.text, self.log)

    def ready(self) -> httpx2.Response:
        """What `/readyz` says."""
        return httpx2.get(self.url + "/readyz", timeout=60)

    def until(self, met: Any, within_s: float = 60.0) -> httpx2.Response:
        """What `/readyz` says, once it is so."""
        end_s = time.monotonic() + within_s
        while True:
            told = self.ready()
            if met(told):
                return told
            assert time.monotonic() < end_s, (told.status_code, told.text, self.log)
            time.sleep(0.02)

    def children(self, module: str) -> list[int]:
        """Its child processes that run this module and live."""
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,stat=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
        return [int(pid) for pid, state, arguments in rows if module in arguments and not state.startswith("Z")]

    def tell(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(END_S_MAX)

    def end(self) -> int:
        """Tell it to end (SIGTERM), and return its exit code."""
        self.tell(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        self.process.kill()
        self.process.wait(END_S_MAX)

    def _begin(self) -> None:
        told, end_s = "", time.monotonic() + BEGIN_S_MAX
        assert self.process.stdout is not None
        while not told.endswith("}\n"):
            line = self.process.stdout.readline()
            assert line and time.monotonic() < end_s, self.log
            told += line
        ready = json.loads(told)
        self.url = ready["url"]
        self.key = next(iter(self.home.glob("admin-*.key"))).read_text(encoding="utf-8").strip()


@contextmanager
def served(
    database_url: str,
    home: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    port: int = 0,
    start: Sequence[str] = START,
) -> Iterator[ServiceProcess]:
    """A service on a database; it has ended when the block has. Several with one `home` share the admin key."""
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(suffix=".log") as log:
        place = home or Path(folder) / "home"
        process = subprocess.Popen(
            command(port=port, start=start),
            cwd=ROOT,
            env=clean()
            | {"CALLMARKET_DATABASE_URL": database_url, "CALLMARKET_HOME": str(place)}
            | {"CALLMARKET_SNAPSHOT_EVERY_S": "0"}
            | dict(environment or {}),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        service = ServiceProcess(process, Path(log.name), place)
        try:
            service._begin()
            yield service
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.communicate()
