"""A peer in a process of its own: nobody else's memory, interpreter lock or garbage is in its figures.

Rule of this file: one question, one answer, in turn; while one worker is asked, the others wait.
"""

import gc
import multiprocessing
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.table.catalogue import Entry
from benchmarks.table.driver import Driver, Kind, Turn
from benchmarks.table.peer import Called

ANSWER_S_MAX: Final = 900.0
END_S_MAX: Final = 60.0


class Filled(NamedTuple):
    """What the first bids take up, in all: here or in the peer's server, and on its disk. None where there is none."""

    memory_bytes: int | None
    disk_bytes: int | None


class Failed(Exception):
    """What a worker was asked went wrong; its own account of it is in the message."""


class Worker:
    """The near end: who asks."""

    def __init__(self, entry: Entry, where: str, seed: int, price_step_tokens: int = 1) -> None:
        """Start the process; the first question waits until the peer is there."""
        self.entry: Final = entry
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._process: Final = context.Process(target=serve, args=(far_end, entry, where, seed, price_step_tokens))
        self._process.start()
        far_end.close()

    def fill(self, size: int) -> Filled:
        """Let so many bids rest."""
        return Filled(*self._ask("fill", size))

    def level(self) -> list[Called]:
        """See `Driver`."""
        return [Called(*one) for one in self._ask("level")]

    def turn(self, kind: Kind, size: int, times: int) -> Turn:
        """See `Driver`."""
        took_ns, called = self._ask("turn", kind, size, times)
        return Turn(took_ns, called)

    def check(self) -> None:
        """See `Driver`."""
        self._ask("check")

    def dismiss(self) -> None:
        """Ask nothing more: the process ends in its own time."""
        self._pipe.close()

    def close(self) -> None:
        """End the peer and its process."""
        self.dismiss()
        self._process.join(END_S_MAX)
        self._process.kill()
        self._process.join()

    def _ask(self, name: str, *arguments: Any) -> Any:
        self._pipe.send((name, arguments))
        assert self._pipe.poll(ANSWER_S_MAX), f"{self.entry.name} does not answer"
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise Failed(f"{self.entry.name}: its process ended") from None
        if isinstance(answer, str):
            raise Failed(f"{self.entry.name}: {answer}")
        return answer


def serve(pipe: Connection, entry: Entry, where: str, seed: int, price_step_tokens: int) -> None:
    """The far end: answer until nobody asks any more. An error is answered as text, and is the last answer."""
    try:
        peer = entry.open(where)
        try:
            driver = Driver(peer, seed, price_step_tokens)
            while True:
                name, arguments = pipe.recv()
                if name == "fill":
                    before_bytes = resident_bytes()
                    driver.fill(*arguments)
                    grown_bytes = resident_bytes() - before_bytes
                    sizes = peer.sizes()
                    pipe.send((grown_bytes if sizes.here else sizes.server_bytes, sizes.disk_bytes))
                    gc.freeze()
                else:
                    pipe.send(getattr(driver, name)(*arguments))
        finally:
            peer.close()
    except EOFError:
        return
    except Exception:  # noqa: BLE001  (the near end raises it)
        pipe.send(traceback.format_exc())


def resident_bytes() -> int:
    """Resident memory of this process, from Linux's /proc."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
