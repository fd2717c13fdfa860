"""Work in a forked child of a test, which tells its parent what became of it.

Rule of this file: the child ends there and then: it runs nothing of what the test run has registered for its end.
"""

import os
from collections.abc import Callable


def in_a_child(work: Callable[[], object]) -> str:
    """What this raises in a forked child, as `Type: words`; empty for nothing."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        told = b""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 -- the parent judges
            told = f"{type(error).__name__}: {error}".encode()
        finally:
            os.write(writing, told)
            # Not the end of a test run.
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123 -- a descriptor
        told = pipe.read().decode()
    assert os.waitpid(pid, 0)[1] == 0
    return told
