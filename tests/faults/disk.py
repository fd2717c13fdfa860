"""A full disk: data and WAL lie on a small file system of their own, and a ballast file takes what is left.

Rule of this file: the file system is real (a tmpfs, which only root can mount), and unmounted at the end.
"""

import errno
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from callmarket.persistence.errors import Unavailable
from tests.faults.fault import Fault
from tests.faults.stage import Stage
from tests.support.databases import HOME_PREFIX

# Room for a new server (60 MB), its WAL below, and ten rounds of load, each of some 25,000 rows with their tables.
DISK_BYTES = 1_200 * 2**20
# As small as PostgreSQL allows, so that the disk is full of what the load writes.
WAL_BYTES_MAX = 48 * 2**20
SETTINGS = {"min_wal_size": "32MB", "max_wal_size": f"{WAL_BYTES_MAX // 2**20}MB"}
BLOCK_BYTES = 2**20
SILENCE_S = 0.5
FULL_S_MAX = 20.0


class NoSmallDisk(Exception):
    """No file system can be mounted here; the message says why."""


@contextmanager
def small_disk(size_bytes: int = DISK_BYTES) -> Iterator[Path]:
    """Yield an empty folder on a file system of this size. Raises `NoSmallDisk`."""
    folder = Path(tempfile.mkdtemp(prefix=HOME_PREFIX))
    folder.chmod(0o711)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0711", "tmpfs", str(folder)]
    try:
        try:
            mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise NoSmallDisk(str(error)) from error
        if mounted.returncode != 0:
            raise NoSmallDisk(mounted.stderr.strip())
        try:
            yield folder
        finally:
            # A process that was killed a moment ago may still hold a file.
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()


@contextmanager
def fill_disk(stage: Stage, rng: random.Random) -> Iterator[None]:
    """Filled to the last byte, and again while something is freed, until nobody is answered any more."""
    deadline_s = time.monotonic() + FULL_S_MAX
    with ballast(stage) as descriptor:
        while stage.silence_s() < SILENCE_S:
            assert time.monotonic() < deadline_s, "the disk does not fill"
            fill(descriptor)
            time.sleep(0.01)
        see_to_server(stage)
        yield


@contextmanager
def fill_wal(stage: Stage, rng: random.Random) -> Iterator[None]:
    """The same, while a foreign session writes so much that PostgreSQL needs a new file for its WAL, and gets none."""
    # As much as the files that are there can take, and more.
    messages = 2 * WAL_BYTES_MAX // BLOCK_BYTES
    with ballast(stage) as descriptor:
        try:
            with stage.connect() as connection:
                connection.autocommit = True
                for _ in range(messages):
                    fill(descriptor)
                    connection.execute(
                        "SELECT pg_logical_emit_message(false, 'ballast', repeat('x', %s))", (BLOCK_BYTES,)
                    )
            raise AssertionError("the WAL does not fill")
        except psycopg.OperationalError as error:
            stage.note(f"the foreign session: {' '.join(str(error).split())[:90]}")
        deadline_s = time.monotonic() + FULL_S_MAX
        while stage.server.alive and stage.silence_s() < SILENCE_S:
            assert time.monotonic() < deadline_s, "the market does not notice"
            fill(descriptor)
            time.sleep(0.01)
        see_to_server(stage)
        yield


@contextmanager
def ballast(stage: Stage) -> Iterator[int]:
    """A file on the same file system, to be filled; gone at the end of the block."""
    path = stage.server.home.parent / "ballast"
    try:
        with path.open("ab", buffering=0) as file:
            yield file.fileno()
    finally:
        path.unlink()


def see_to_server(stage: Stage) -> None:
    """As a service manager would: start the server if it has ended, and see that it is of no use yet."""
    # What panics goes down in steps.
    time.sleep(SILENCE_S)
    if stage.server.alive:
        stage.note("the postmaster stayed up")
        return
    try:
        stage.server.start()
        stage.note("the postmaster ended, and was started again on the full disk")
    except Unavailable as error:
        stage.note(f"the postmaster ended; not started on the full disk: {str(error).strip().splitlines()[-1].strip()}")


def fill(descriptor: int) -> None:
    """Append until there is no room, in ever smaller blocks."""
    block = bytes(BLOCK_BYTES)
    while block:
        try:
            os.write(descriptor, block)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            block = block[: len(block) // 2]


FAULTS = (
    Fault(
        "disk full",
        "the file system of data and WAL is filled to the last byte, then freed",
        fill_disk,
        (0.2, 1.5),
        ends=frozenset({"server"}),
        place="small disk",
    ),
    Fault(
        "disk full, WAL too",
        "the same, while a foreign session writes more than the files of the WAL can take",
        fill_wal,
        (0.2, 1.5),
        ends=frozenset({"server"}),
        place="small disk",
    ),
)
