"""The process: `python -m persistence.writer_process DESCRIPTOR`, which is its end of the pair of sockets.

Rule of this file: it answers until nobody asks any more. It ends with its parent, however that ends, because the socket
does. Signals to the whole group are the parent's business, which has something to finish first.
"""

import logging
import signal
import socket
import sys
from typing import Final

from persistence.errors import PersistenceError
from persistence.postgres import PostgresJournal
from persistence.writer_process import wire

# Told with the next answer. A connection that is opened again and again says the same each time.
_LINES_MAX: Final = 100


class Told(logging.Handler):
    """Keeps what is logged for the parent, whose log it belongs to."""

    def __init__(self) -> None:
        """Keep warnings and what is worse."""
        super().__init__(logging.WARNING)
        self._lines: list[wire.LogLine] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one, if there is room."""
        if len(self._lines) < _LINES_MAX:
            self._lines.append(wire.LogLine(record.name, record.levelno, self.format(record)))

    def take(self) -> list[wire.LogLine]:
        """Hand over what was kept."""
        lines, self._lines = self._lines, []
        return lines


def main(descriptor: int) -> None:
    """Answer every request, in order, until the other end is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = Told()
    logging.basicConfig(level=logging.WARNING, handlers=[told])
    with socket.socket(fileno=descriptor) as line:
        try:
            opened = wire.receive_request(line)
            assert isinstance(opened, wire.Open), opened
            with PostgresJournal(opened.url, opened.shard_id, opened.epoch) as journal:
                wire.send(line, wire.Done())
                while True:
                    wire.send(line, answer(journal, wire.receive_request(line), told))
        except (EOFError, ConnectionError):
            # Whoever leads next finds in the journal what the parent was not told.
            return


def answer(journal: PostgresJournal, request: wire.Request, told: Told) -> wire.Answer:
    """Do what is asked, and tell how it went."""
    try:
        match request:
            case wire.Append(rows):
                journal.append([wire.sealed(row) for row in rows])
                return wire.Done(None, told.take())
            case wire.Look():
                return wire.Done(journal.position(), told.take())
            case wire.Open():
                return wire.failed(PersistenceError("A process writes one journal."), told.take())
    except PersistenceError as error:
        return wire.failed(error, told.take())
    except Exception as error:
        # A broken invariant: to try again would break it again, so it must not look like an outage.
        logging.getLogger(__name__).exception("the process of the journal's writer met a bug")
        return wire.failed(PersistenceError(f"The journal's writer met a bug: {error!r}"), told.take())


if __name__ == "__main__":
    main(int(sys.argv[1]))
