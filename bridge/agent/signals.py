"""A worker that ends by signals, as services do.

Rule of this file: handlers only hand on; the old ones are back when the block ends.
"""

import queue
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
    # Handlers interrupt the main thread anywhere, also where it holds the very locks that stopping takes, or starting a
    # thread. A queue of this kind may be filled all the same; what is heard is done by a thread.
    heard: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def obey() -> None:
        told = 0
        while heard.get():
            told += 1
            worker.stop(at_once=told > 1)

    obeying = threading.Thread(target=obey, name="signals")
    obeying.start()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: heard.put(True)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        heard.put(False)
        obeying.join()
