"""The machine that the figures are of, and what others did on it.

Rule of this file: measured while we do nothing. Without Linux's /proc a figure is missing, and nothing fails.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

LOOK_S: Final = 1.0
FLUSHES: Final = 50


class Load(Struct, frozen=True):
    """How busy the machine is: the load of the last minute, processors that others use now, one flush of its disk."""

    load_1min: float
    busy_processors: float | None
    flush_us: float

    def __str__(self) -> str:
        busy = "" if self.busy_processors is None else f", others use {self.busy_processors:.1f} processors"
        return f"a load of {self.load_1min:.1f}{busy}, one flush of 8 kB takes {self.flush_us:,.0f} us"


def look() -> Load:
    """A second's look."""
    before, began_s = _busy_s(), time.monotonic()
    time.sleep(LOOK_S)
    after, took_s = _busy_s(), time.monotonic() - began_s
    busy = None if before is None or after is None else round((after - before) / took_s, 2)
    return Load(round(os.getloadavg()[0], 2), busy, _flush_us())


def named() -> str:
    """Its processors."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{os.cpu_count()} processors"
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} processors ({models[0] if models else 'unknown'})"


def _busy_s() -> float | None:
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq = map(int, words[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _flush_us() -> float:
    took_s = []
    with tempfile.TemporaryFile() as file:
        for _ in range(FLUSHES):
            began_s = time.perf_counter()
            file.write(bytes(8_192))
            file.flush()
            os.fdatasync(file.fileno())
            took_s.append(time.perf_counter() - began_s)
    return round(statistics.median(took_s) * 1e6, 1)
