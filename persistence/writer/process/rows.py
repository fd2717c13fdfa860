"""A journal that another process writes, as `write_behind` sees it, and tables; and how those processes are started.

Rule of this file: it passes on what it is asked, and what it is answered. A process that has ended, for whatever
reason, is `Unavailable`: what became of a batch that was under way is not known, as after a lost connection.
"""

import contextlib
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import Unavailable
from callmarket.persistence.journal.protocol import Position, RowWriter
from callmarket.persistence.tables.table_writer import Progress, TableWriter
from callmarket.persistence.writer.process import wire

# From where `python -m` finds this package, also where nothing is installed.
_ROOT: Final = Path(__file__).parents[3]
# It has nothing to finish.
_END_S_MAX: Final = 5.0


class Child:
    """One such process, and the line to it."""

    def __init__(self) -> None:
        """Start it. Raises `Unavailable`."""
        self.line, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 -- this Python, and a number
                    [sys.executable, "-m", "callmarket.persistence.writer.process", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    cwd=_ROOT,
                )
        except OSError as error:
            self.line.close()
            raise Unavailable(f"The process of the journal's writer cannot be started: {error}") from error

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def kill(self) -> None:
        """Kill it, and its session with the database. Never raises, never waits."""
        self._process.kill()

    def end(self) -> int | None:
        """Hang up, and return its exit code; None if it does not even end when it is killed. Never raises."""
        self.line.close()
        for _ in range(2):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(_END_S_MAX)
            self.kill()
        return None


class _Line:
    """What both ways to such a process share: it is asked, answers, and is ended. `what` it does, for errors."""

    what: str

    def __init__(self, child: Child, opening: wire.Open | wire.OpenTables) -> None:
        """Tell this process what it is for, once it has started (0.3 s). Raises `Unavailable`."""
        self._child: Final = child
        self._ask(opening)

    def interrupt(self) -> None:
        """See `RowWriter.interrupt`."""
        self._child.kill()

    def close(self) -> None:
        """See `RowWriter.close`."""
        self._child.end()

    def _ask(self, request: wire.Request) -> wire.Done:
        try:
            wire.send(self._child.line, request)
            answer = wire.receive_answer(self._child.line)
        except (EOFError, OSError) as error:
            raise Unavailable(f"The process of the {self.what} has ended (exit code {self._child.end()}).") from error
        for line in answer.log:
            logging.getLogger(line.logger).log(line.level, "%s", line.text)
        if isinstance(answer, wire.Failed):
            raise wire.error_of(answer)
        return answer


class ProcessRows(_Line, RowWriter):
    """Writes the rows of one shard with the epoch that was claimed."""

    what = "journal's writer"

    def __init__(self, child: Child, url: str, shard_id: int, epoch: int) -> None:
        """Tell this process which journal it writes. Raises `Unavailable`."""
        super().__init__(child, wire.Open(url, shard_id, epoch))
        self._epoch: Final = epoch

    def append(self, rows: Sequence[SealedRow]) -> None:
        """See `RowWriter.append`."""
        self._ask(wire.append_request(rows, self._epoch))

    def position(self) -> Position:
        """See `RowWriter.position`."""
        position = self._ask(wire.Look()).position
        assert position is not None
        return position


class ProcessTables(_Line, TableWriter):
    """Brings the tables of one shard along, in the name of the epoch that was claimed."""

    what = "SQL tables"

    def __init__(self, child: Child, url: str, shard_id: int, epoch: int) -> None:
        """Tell this process whose tables those are. Raises `Unavailable`."""
        super().__init__(child, wire.OpenTables(url, shard_id, epoch))

    def project(self) -> Progress:
        """See `TableWriter.project`."""
        progress = self._ask(wire.Project()).progress
        assert progress is not None
        return progress


class WriterProcesses:
    """Starts them, one ahead: a new leader finds one waiting, and a takeover takes no longer. For any thread."""

    def __init__(self) -> None:
        """Start the first. Raises `Unavailable`."""
        self._lock: Final = threading.Lock()
        self._waiting: Child | None = Child()

    def open(self, url: str, shard_id: int, epoch: int) -> ProcessRows:
        """A way to the journal of a shard. Raises `Unavailable`."""
        with self._lock:
            child, self._waiting = self._waiting, None
        return ProcessRows(child or Child(), url, shard_id, epoch)

    def open_tables(self, url: str, shard_id: int, epoch: int) -> ProcessTables:
        """A way to its tables, by a process of its own that is started now: nobody waits for it.

        Raises `Unavailable`.
        """
        return ProcessTables(Child(), url, shard_id, epoch)

    def close(self) -> None:
        """End the one that waits, if there is one; those that were opened are their users'."""
        with self._lock:
            child, self._waiting = self._waiting, None
        if child is not None:
            child.end()

    def __enter__(self) -> Self:
        """Use it as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
