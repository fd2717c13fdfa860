"""What belongs to the process that made it: sockets and threads do not go over a fork together.

Rule of this file: the child of `os.fork` has its parent's sockets and none of its threads. If it used them, each would
read the other's answers, and what it applied would never be written. So it is refused, in words, and touches nothing.
"""

import os
from typing import Final

from callmarket.bridge.api.errors import Invalid


class OneProcess:
    """The process that makes this. To ask costs a tenth of a microsecond."""

    def __init__(self, what: str) -> None:
        """`what` is used in words: "exchange"."""
        self._what: Final = what
        self._pid: Final = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether it is still this one, and not a child that it was copied into."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """Refuse the child of a fork. Raises `Invalid`: nothing was done, and nothing will be by asking again."""
        pid = os.getpid()
        if pid != self._pid:
            raise Invalid(
                "process", pid, f"{self._pid}, which has opened this {self._what}: after a fork, open another"
            )
