"""A machine's clock that a test sets, under a real process; and a database's.

Rule of this file: the product has no hook for it. `python -m tests.support.faked_clock serve ...` is the command line,
started with a `time` module that adds what a file says to what the kernel says. libfaketime would do the same to all
clocks at once, also to that by which the process waits; a leap is of one clock alone. The database's clock is a
function that stands before the system's in the search path of the connections.
"""

import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

from tests.support.service_process import ROOT, clean

VARIABLE: Final = "CALLMARKET_TEST_CLOCK_FILE"
START: Final = ("-m", "tests.support.faked_clock")
SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US
_SHAPE: Final = struct.Struct("=qq")


class FakedClock:
    """What is added to the clocks of the processes that are started with its environment, in microseconds."""

    def __init__(self, path: Path) -> None:
        self.environment = {VARIABLE: str(path)}
        self._map = _mapped(path)

    def leap(self, wall_us: int, steady_us: int = 0) -> None:
        """Set how far the machine's clock is from the right time, and the steady clock from its own."""
        _SHAPE.pack_into(self._map, 0, wall_us, steady_us)

    def clocks(self) -> tuple[int, int]:
        """What the two say, in this process: for parts that are given clocks."""
        wall_us, steady_us = _SHAPE.unpack_from(self._map)
        return time.time_ns() // 1_000 + wall_us, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000 + steady_us


def command(clock: FakedClock, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line on the machine of this clock."""
    return subprocess.run(
        [sys.executable, *START, *arguments],
        cwd=ROOT,
        env=clean() | clock.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def faked_clock() -> Iterator[FakedClock]:
    """A clock that is right until it is set."""
    with tempfile.NamedTemporaryFile(suffix=".clock") as file:
        file.write(_SHAPE.pack(0, 0))
        file.flush()
        yield FakedClock(Path(file.name))


class FakedDatabase:
    """A database whose clock is set; `url` is the way to it for whom it shall be wrong."""

    def __init__(self, url: str) -> None:
        self._plain_url = url
        self.url = make_conninfo(url, options="-c search_path=leapt,public,pg_catalog")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA leapt")
            connection.execute("CREATE TABLE leapt.by (us bigint NOT NULL)")
            connection.execute("INSERT INTO leapt.by VALUES (0)")
            connection.execute(
                """
                CREATE FUNCTION leapt.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
                    SELECT pg_catalog.clock_timestamp() + us * interval '1 microsecond' FROM leapt.by
                $$
                """
            )

    def leap(self, us: int) -> None:
        """Set how far its clock is from the right time."""
        with psycopg.connect(self._plain_url, autocommit=True) as connection:
            connection.execute("UPDATE leapt.by SET us = %s", (us,))


def _mapped(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), _SHAPE.size)


def main() -> None:
    """The command line of callmarket, with that clock."""
    added = _mapped(Path(os.environ[VARIABLE]))
    time_ns, clock_gettime_ns = time.time_ns, time.clock_gettime_ns

    def faked_time_ns() -> int:
        return time_ns() + _SHAPE.unpack_from(added)[0] * 1_000

    def faked_clock_gettime_ns(clock_id: int) -> int:
        return clock_gettime_ns(clock_id) + _SHAPE.unpack_from(added)[1] * 1_000

    time.time_ns = faked_time_ns
    time.clock_gettime_ns = faked_clock_gettime_ns
    # Only now, so that nothing of the market has read a clock.
    from callmarket.bridge.cli.commands import main as command_line

    command_line()


if __name__ == "__main__":
    sys.exit(main())
