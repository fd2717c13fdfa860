"""What was measured, as values that JSON keeps.

Rule of this file: microseconds of the clock, each with how often it was measured; nothing is rounded away that the
table shows.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.table.driver import Kind
from benchmarks.table.machine import Load


class Figure(Struct, frozen=True):
    """How long a step of a peer took with so many bids resting. A batch's share of a bid, where it is one."""

    peer: str
    kind: Kind
    size: int
    resting: int
    times: int
    p50_us: float
    p99_us: float
    worst_us: float


class Footprint(Struct, frozen=True):
    """What a bid of a peer takes up, of so many; None where it has no such place."""

    peer: str
    resting: int
    memory_bytes_per_bid: int | None
    disk_bytes_per_bid: int | None


class Results(Struct):
    """One run. `lacks` says what each peer does not do, `absent` why others were not measured."""

    machine: str
    python: str
    postgres: str
    seed: int
    before: Load
    after: Load
    took_s: float
    calls_compared: int
    lacks: dict[str, str]
    absent: dict[str, str]
    figures: list[Figure]
    footprints: list[Footprint]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")


def load(path: Path) -> Results:
    """Read what `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def figure(peer: str, kind: Kind, size: int, resting: int, took_ns: Sequence[int]) -> Figure:
    """The quantiles of what was measured, by nearest rank: of fewer than a hundred the p99 is the worst."""
    share = size if kind == "batch" else 1
    ordered = sorted(took_ns)
    p50_us, p99_us, worst_us = (ordered[rank(len(ordered), part)] / share / 1_000 for part in (50, 99, 100))
    return Figure(peer, kind, size, resting, len(ordered), p50_us, p99_us, worst_us)


def rank(count: int, percent: int) -> int:
    """The index, from 0, of the smallest value that so many percent do not exceed."""
    return max(0, -(-count * percent // 100) - 1)
