"""The ring of the latest rows: its bounds, and that it is what a plain list would be."""

import random

from callmarket.bridge.feed.encoded import FeedRow
from callmarket.bridge.feed.recent_rows import RecentRows
from tests.support.sealed import bids


def rows_of(count: int, rng: random.Random, size_max: int) -> list[FeedRow]:
    return [FeedRow(row.entry, row.events, rng.randint(1, size_max)) for row in bids(count)]


def test_the_latest_rows_are_kept_within_the_bounds_of_rows_and_bytes(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(20):
        rows = rows_of(60, rng, 30)
        rows_max, bytes_max = rng.randint(1, 20), rng.randint(10, 200)
        start = rng.randint(0, 10)
        recent_rows, added = RecentRows(start, rows_max, bytes_max), start
        while added < len(rows):
            some = rows[added : added + rng.randint(1, 8)]
            recent_rows.extend(some)
            added += len(some)
            recent_rows.check()
            assert recent_rows.last_seq == added
            assert recent_rows.last_seq - recent_rows.first_seq < rows_max
            kept = rows[recent_rows.first_seq - 1 : added]
            # It lets go of no row that has room.
            if recent_rows.first_seq - 1 > start and len(kept) < rows_max:
                assert sum(row.size for row in kept) + rows[recent_rows.first_seq - 2].size > bytes_max
            for seq in range(start, added + 1):
                found = recent_rows.after(seq, 5)
                assert found == (None if seq < recent_rows.first_seq - 1 else rows[seq : min(seq + 5, added)])
                assert recent_rows.latest_after(seq) == rows[max(seq, recent_rows.first_seq - 1) : added]


def test_before_the_first_row_it_has_nothing_and_misses_nothing() -> None:
    recent_rows = RecentRows(7, 4, 100)
    assert recent_rows.after(7, 5) == []
    assert recent_rows.after(6, 5) is None
    assert recent_rows.latest_after(0) == []
