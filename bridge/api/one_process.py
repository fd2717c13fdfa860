"""Objects with sockets and threads belong to the process that made them, and not to a fork of it.

Rule of this file: the child of `os.fork` shares its parent's sockets but has none of its threads. If it used them,
parent and child would read each other's answers, and commands that the child applied would never be written. So the
child gets an error before anything is touched.
"""

import os
from typing import Final

from callmarket.bridge.api.errors import Invalid


class OneProcess:
    """Remembers the process that made it. A check costs a tenth of a microsecond."""

    def __init__(self, what: str) -> None:
        """`what` names the object in the error message, for example "exchange"."""
        self._what: Final = what
        self._pid: Final = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is the process that made it, and not a fork of it."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """Raise `Invalid` in a fork. Nothing was done, and a retry does not help."""
        pid = os.getpid()
        if pid != self._pid:
            raise Invalid(
                "process", pid, f"{self._pid}, which has opened this {self._what}: after a fork, open another"
            )
