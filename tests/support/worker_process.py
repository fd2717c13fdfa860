"""A worker as a process of its own, over HTTP and on the tables of work, that a test may kill.

Rule of this file: what a platform writes to run one, nothing more. Each work begun is a line of a log (task and award),
written before anything else; it ends when the file `gate` is there.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callmarket import Client
from callmarket.bridge.fleet.agent import Assignment, Finished, Worker, WorkerSettings, ended_by_signals
from callmarket.bridge.fleet.tasks.tables import WorkTables
from tests.support.service_process import clean

ROOT = Path(__file__).parents[2]
END_S_MAX = 60


def main(database_url: str, folder: Path, said: str) -> None:
    """Work until a signal comes. Where the market is, and the key, come from the environment."""

    def work(assignment: Assignment) -> Finished:
        with (folder / "log").open("a", encoding="utf-8") as log:
            log.write(f"{assignment.task.task_id} {assignment.claim.award_id}\n")
        while not (folder / "gate").exists() and not assignment.ending():
            time.sleep(0.01)
        return Finished(60, 1.5)

    settings = json.loads(said)
    settings["slot_ids"] = tuple(settings["slot_ids"])
    with Client() as market, WorkTables(database_url) as source:
        worker = Worker(market, source, work, WorkerSettings(**settings, poll_s=0.02))
        with ended_by_signals(worker):
            worker.run()


class WorkerProcess:
    """A running worker, with a folder of its own for log and gate."""

    def __init__(self, database_url: str, url: str, key: str, folder: Path, **settings: object) -> None:
        self._folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.worker_process", database_url, str(folder), json.dumps(settings)],
            cwd=ROOT,
            env=clean() | {"CALLMARKET_URL": url, "CALLMARKET_KEY": key},
        )

    @property
    def begun(self) -> list[tuple[str, int]]:
        """The tasks and awards whose work was begun, by this process or one before it in the same folder."""
        path = self._folder / "log"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [(task_id, int(award_id)) for task_id, award_id in map(str.split, lines)]

    def open_gate(self) -> None:
        """Let all work end, from now on."""
        (self._folder / "gate").touch()

    def tell(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(END_S_MAX)

    def kill(self) -> None:
        """SIGKILL. Again, or after its end: nothing."""
        self.process.kill()
        self.process.wait(END_S_MAX)


@contextmanager
def working(database_url: str, url: str, key: str, folder: Path, **settings: object) -> Iterator[WorkerProcess]:
    """A worker process; it is gone when the block has ended."""
    folder.mkdir(exist_ok=True)
    process = WorkerProcess(database_url, url, key, folder, **settings)
    try:
        yield process
    finally:
        process.kill()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
