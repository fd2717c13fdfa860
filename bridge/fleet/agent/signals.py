"""A worker that ends by signals, as services do.

Rule of this file: signals are only handed on; what was set before is back when the block ends.
"""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from callmarket.bridge.ending_signals import ending_signals

if TYPE_CHECKING:
    from callmarket.bridge.fleet.agent.worker import Worker


@contextmanager
def ended_by_signals(worker: "Worker") -> Iterator[None]:
    """Within the block SIGTERM, SIGINT and SIGHUP end the worker after its work in hand, a second one at once.

    For the main thread: `with ended_by_signals(worker): worker.run()`.
    """
    # Not by a handler: Python runs it in the main thread, which may hold the very locks that stopping takes, and which
    # is not woken by a signal that another thread has caught. A byte for each signal comes through the socket at once.
    numbers = ending_signals()
    receiving, sending = socket.socketpair()
    sending.setblocking(False)

    def obey() -> None:
        told = 0
        while number := receiving.recv(1):
            if ord(number) in numbers:
                told += 1
                worker.stop(at_once=told > 1)

    obeying = threading.Thread(target=obey, name="signals")
    obeying.start()
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    before_fd = signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        sending.close()
        obeying.join()
        receiving.close()
