"""File locks between processes. Rule of this file: the kernel holds them, so a killed process never leaves one behind.

Two locks per home. The *gate* is exclusive and short: it surrounds every look at, start or stop of the server. The
*use* lock is shared and long: each user of the server holds it, so the user that gets it exclusively is the last one.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callmarket.persistence.embedded.home import Home
from callmarket.persistence.errors import Unavailable

POLL_S = 0.02

# Longer than the longest thing done behind the gate: making a database, or a start with recovery after a crash.
GATE_WAIT_S_MAX = 400


@contextmanager
def gate(home: Home) -> Iterator[None]:
    """Hold the gate of this home; wait for other processes that hold it."""
    import fcntl  # noqa: PLC0415  (Windows has none, and this module must import there to explain itself)

    path = home.path / "gate.lock"
    descriptor = _open(path)
    try:
        deadline_s = time.monotonic() + GATE_WAIT_S_MAX
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline_s:
                    raise Unavailable(f"Another process has held {path} for {GATE_WAIT_S_MAX} s") from error
                time.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


class UseLock:
    """The lock that says "I am using this server". Take it and ask about it behind the gate only."""

    def __init__(self, home: Home) -> None:
        """Take the lock, shared with other users; behind the gate nobody holds it exclusively, so there is no wait."""
        import fcntl  # noqa: PLC0415  (as above)

        self._descriptor: int | None = _open(home.path / "use.lock")
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def close_and_say_if_last(self) -> bool:
        """Give up the lock; return True if no other process or handle held it. A second call returns False."""
        import fcntl  # noqa: PLC0415  (as above)

        if self._descriptor is None:
            return False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(self._descriptor)
            self._descriptor = None


def _open(path: Path) -> int:
    # Python opens files close-on-exec, so PostgreSQL, our child, does not inherit the lock.
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
