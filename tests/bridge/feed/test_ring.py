"""The ring of the latest rows: its bounds, and that it is what a plain list would be."""

import random

from callmarket.bridge.feed.frames import Row
from callmarket.bridge.feed.ring import Ring
from tests.support.sealed import bids


def rows_of(count: int, rng: random.Random, size_max: int) -> list[Row]:
    return [Row(row.entry, row.events, rng.randint(1, size_max)) for row in bids(count)]


def test_the_latest_rows_are_kept_within_the_bounds_of_rows_and_bytes(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(20):
        rows = rows_of(60, rng, 30)
        rows_max, bytes_max = rng.randint(1, 20), rng.randint(10, 200)
        start = rng.randint(0, 10)
        ring, added = Ring(start, rows_max, bytes_max), start
        while added < len(rows):
            some = rows[added : added + rng.randint(1, 8)]
            ring.extend(some)
            added += len(some)
            ring.check()
            assert ring.last_seq == added
            assert ring.last_seq - ring.first_seq < rows_max
            kept = rows[ring.first_seq - 1 : added]
            # It lets go of no row that has room.
            if ring.first_seq - 1 > start and len(kept) < rows_max:
                assert sum(row.size for row in kept) + rows[ring.first_seq - 2].size > bytes_max
            for seq in range(start, added + 1):
                found = ring.after(seq, 5)
                assert found == (None if seq < ring.first_seq - 1 else rows[seq : min(seq + 5, added)])
                assert ring.latest_after(seq) == rows[max(seq, ring.first_seq - 1) : added]


def test_before_the_first_row_it_has_nothing_and_misses_nothing() -> None:
    ring = Ring(7, 4, 100)
    assert ring.after(7, 5) == []
    assert ring.after(6, 5) is None
    assert ring.latest_after(0) == []
