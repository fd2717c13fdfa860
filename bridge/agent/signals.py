"""A worker that ends by signals, as services do.

Rule of this file: handlers only hand on; the old ones are back when the block ends.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.agent.worker import Worker


@contextmanager
def ended_by_signals(worker: "Worker") -> Iterator[None]:
    """Within the block SIGTERM and SIGINT end the worker after its work in hand, a second one at once.

    For the main thread: `with ended_by_signals(worker): worker.run()`.
    """
    told = 0

    def hear(*_: object) -> None:
        nonlocal told
        told += 1
        # Not here: the interrupted thread may hold the very locks that stopping takes.
        threading.Thread(target=worker.stop, kwargs={"at_once": told > 1}, daemon=True).start()

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
