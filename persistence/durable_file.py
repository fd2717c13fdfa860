"""Files that are under their name with all of their bytes on the disk, or are not there.

Rule of this file: a file is written under another name, flushed, renamed, and then the folder is flushed. A writer
holds a lock on it until it has its name, so a process that can take the lock knows that its writer is dead.
"""

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from io import BufferedRandom
from pathlib import Path
from typing import Final

_UNFINISHED: Final = ".unfinished"


@contextlib.contextmanager
def appearing(path: Path, mode: int = 0o666) -> Iterator[BufferedRandom]:
    """Give a file to write and to read back; at the end of the block it takes the place of `path`. Raises `OSError`.

    Where the block or the writing fails nothing of it is left. It has at most the permissions of `mode` from its first
    moment, under either name.
    """
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_UNFINISHED}")
    try:
        with open(unfinished, "x+b", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            os.fsync(file.fileno())
            unfinished.rename(path)
    except BaseException:
        # Its bytes are of no use to anybody, and it may be they that the disk is full of.
        unfinished.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def is_full(error: OSError) -> bool:
    """Whether there was no room: on the file system, or within the quota of the process."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def remove_unfinished(folder: Path, prefix: str) -> None:
    """Remove what processes left that were killed while they wrote. Raises `OSError`."""
    for path in folder.glob(f"{prefix}*{_UNFINISHED}"):
        with contextlib.suppress(BlockingIOError, FileNotFoundError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def flush_folder(folder: Path) -> None:
    """Make new names durable. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
