"""The process: `python -m callmarket.persistence.writer.process DESCRIPTOR`, which is its end of the pair of sockets.

Rule of this file: it answers until nobody asks any more. It ends with its parent, however that ends, because the socket
does. Signals to the whole group are the parent's business, which has something to finish first.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from callmarket.persistence.errors import PersistenceError
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.table_writer import PostgresTables
from callmarket.persistence.writer.process import wire

# Told with the next answer. A connection that is opened again and again says the same each time.
_LINES_MAX: Final = 100
# Of a process that lets the tables follow, beside those that somebody waits for.
_NICE: Final = 5


class LogForwarder(logging.Handler):
    """Keeps log records for the parent, whose log they belong to."""

    def __init__(self) -> None:
        """Keep warnings and errors."""
        super().__init__(logging.WARNING)
        self._lines: list[wire.LogLine] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one, if there is room."""
        if len(self._lines) < _LINES_MAX:
            self._lines.append(wire.LogLine(record.name, record.levelno, self.format(record)))

    def take(self) -> list[wire.LogLine]:
        """Return the kept records, and keep none."""
        lines, self._lines = self._lines, []
        return lines


def main(descriptor: int) -> None:
    """Answer every request, in order, until the other end is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = LogForwarder()
    logging.basicConfig(level=logging.WARNING, handlers=[told])
    with socket.socket(fileno=descriptor) as line:
        try:
            opened = wire.receive_request(line)
            assert isinstance(opened, wire.Open | wire.OpenTables), opened
            do = _work_of(opened)
            wire.send(line, wire.Done())
            while True:
                wire.send(line, answer(do, wire.receive_request(line), told))
        except (EOFError, ConnectionError):
            # The next leader finds in the journal what the parent was not told.
            return


Work = Callable[[wire.Request], wire.Done]


def _work_of(opened: wire.Open | wire.OpenTables) -> Work:
    """What this process is for: to write a journal, or to let its tables follow."""
    if isinstance(opened, wire.OpenTables):
        # A caller that waits for a reply comes first.
        os.nice(_NICE)
        return partial(_project, PostgresTables(opened.url, opened.shard_id, opened.epoch))
    return partial(_write, PostgresJournal(opened.url, opened.shard_id, opened.epoch))


def _write(journal: PostgresJournal, request: wire.Request) -> wire.Done:
    match request:
        case wire.Append(rows, after_seq, digest_before):
            journal.append_stored(rows, after_seq, digest_before)
            return wire.Done()
        case wire.Look():
            return wire.Done(journal.position())
        case _:
            raise PersistenceError("This process writes one journal.")


def _project(tables: PostgresTables, request: wire.Request) -> wire.Done:
    if not isinstance(request, wire.Project):
        raise PersistenceError("This process brings the tables of one journal along.")
    return wire.Done(progress=tables.project())


def answer(do: Work, request: wire.Request, told: LogForwarder) -> wire.Answer:
    """Carry out the request, and report the result."""
    try:
        done = do(request)
        return msgspec.structs.replace(done, log=told.take())
    except PersistenceError as error:
        return wire.failed(error, told.take())
    except Exception as error:
        # A broken invariant: to try again would break it again, so it must not look like an outage.
        logging.getLogger(__name__).exception("a process that writes for the leader met a bug")
        return wire.failed(PersistenceError(f"A process that writes for the leader met a bug: {error!r}"), told.take())


if __name__ == "__main__":
    main(int(sys.argv[1]))
