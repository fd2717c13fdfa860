"""The latest durable rows, in memory: a ring buffer.

Rule of this file: bounded in rows and bytes; rows come in order and leave in order. One thread adds, any may read.
"""

import threading
from collections.abc import Sequence
from typing import Final

from callmarket.bridge.feed.encoded import FeedRow


class RecentRows:
    """Rows `first_seq` to `last_seq`; none at first, when `last_seq` is `first_seq - 1`."""

    def __init__(self, after_seq: int, rows_max: int, bytes_max: int) -> None:
        """The next row is the one after `after_seq`. Of a single row that is too large nothing is kept."""
        self._rows_max: Final = rows_max
        self._bytes_max: Final = bytes_max
        self._lock: Final = threading.Lock()
        self._rows: Final[list[FeedRow | None]] = [None] * rows_max
        self._bytes = 0
        self.first_seq = after_seq + 1
        self.last_seq = after_seq

    def extend(self, rows: Sequence[FeedRow]) -> None:
        """Add the next rows; drop the oldest beyond the bounds. O(rows)."""
        with self._lock:
            for row in rows:
                self._add(row)

    def after(self, seq: int, rows_max: int) -> list[FeedRow] | None:
        """The next rows after a seq, up to `rows_max`; None if they have left. O(rows)."""
        with self._lock:
            if seq < self.first_seq - 1:
                return None
            last_seq = min(self.last_seq, seq + rows_max)
            found = [self._rows[at % self._rows_max] for at in range(seq + 1, last_seq + 1)]
            return [row for row in found if row is not None]

    def latest_after(self, seq: int) -> list[FeedRow]:
        """Those of the rows after a seq that are here, up to the last. O(rows)."""
        with self._lock:
            kept = range(max(seq + 1, self.first_seq), self.last_seq + 1)
            return [row for at in kept if (row := self._rows[at % self._rows_max]) is not None]

    def _add(self, row: FeedRow) -> None:
        seq = row.seq
        assert seq == self.last_seq + 1, (seq, self.last_seq)
        while self.first_seq < seq and (
            seq - self.first_seq >= self._rows_max or self._bytes + row.size > self._bytes_max
        ):
            self._drop_first()
        self._rows[seq % self._rows_max] = row
        self._bytes += row.size
        self.last_seq = seq
        if self._bytes > self._bytes_max:
            self._drop_first()

    def _drop_first(self) -> None:
        row = self._rows[self.first_seq % self._rows_max]
        assert row is not None and row.seq == self.first_seq, (row, self.first_seq)
        self._rows[self.first_seq % self._rows_max] = None
        self._bytes -= row.size
        self.first_seq += 1

    def check(self) -> None:
        """Assert every property of the ring. O(rows kept)."""
        with self._lock:
            kept = [row for row in self._rows if row is not None]
            # It holds just what it says, each at its place, within the bounds.
            assert sorted(row.seq for row in kept) == list(range(self.first_seq, self.last_seq + 1))
            assert sum(row.size for row in kept) == self._bytes <= self._bytes_max, self._bytes
