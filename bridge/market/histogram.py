"""How long things took, as counts below bounds.

Rule of this file: one addition and one bisection an observation; what Prometheus wants is made of it when it asks. (The
client library's own histogram costs ten times as much with labels, for it finds them by their names each time.)
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final


class Histogram:
    """Counts of seconds. For one thread, or under a lock."""

    __slots__ = ("bounds_s", "counts", "total_s")

    def __init__(self, bounds_s: Sequence[float]) -> None:
        """Count below each of these bounds, which rise, and above the last."""
        assert list(bounds_s) == sorted(set(bounds_s)), bounds_s
        self.bounds_s: Final = tuple(bounds_s)
        self.counts: Final = [0] * (len(bounds_s) + 1)
        self.total_s = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Count `times` things that took `seconds` each."""
        self.counts[bisect_left(self.bounds_s, seconds)] += times
        self.total_s += seconds * times

    def buckets(self) -> list[tuple[str, float]]:
        """The counts for each bound, cumulative, as Prometheus wants them."""
        so_far, buckets = 0, []
        for bound, count in zip((*map(str, self.bounds_s), "+Inf"), self.counts, strict=True):
            so_far += count
            buckets.append((bound, float(so_far)))
        return buckets
