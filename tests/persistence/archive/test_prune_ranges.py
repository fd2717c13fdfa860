"""Which rows may leave the journal, and in which files: also where histories went on after losses (HST-1).

Method: a journal of few rows with great leaps between them, held against a list of its rows.
"""

import pytest

from callmarket.engine.codec import GENESIS_DIGEST, seal
from callmarket.engine.commands import ADMIN, BeginHistory, Entry
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence.archive import prune
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.protocol import StoredRow

# The second history follows row 30, the fourth the eighth row of the second.
LEAPS = {HISTORY_ROWS: 30, 3 * HISTORY_ROWS: HISTORY_ROWS + 7}
ROWS = [
    *range(1, 31), *range(HISTORY_ROWS, HISTORY_ROWS + 8), *range(3 * HISTORY_ROWS, 3 * HISTORY_ROWS + 5)
]  # fmt: skip


class Leaping(MemoryJournal):
    """A journal that says where its histories begin."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase())

    def row_at(self, seq: int) -> StoredRow | None:
        if seq not in LEAPS:
            return None
        return StoredRow.of(seal(GENESIS_DIGEST, Entry(seq, 5, ADMIN, BeginHistory(LEAPS[seq], seq - 1)), ()), 1)


@pytest.mark.parametrize("begins", [1, 11, 30, HISTORY_ROWS, HISTORY_ROWS + 5, 3 * HISTORY_ROWS])
@pytest.mark.parametrize("last", [30, HISTORY_ROWS + 7, 3 * HISTORY_ROWS, 3 * HISTORY_ROWS + 4])
def test_exactly_so_many_rows_stay_wherever_histories_leap(begins: int, last: int) -> None:
    there = [seq for seq in ROWS if begins <= seq <= last]
    for kept in range(len(there) + 3):
        until = prune._back(Leaping(), begins, last, kept)
        assert until == there[-kept - 1] if kept < len(there) else until < begins, kept


def test_a_file_has_no_more_rows_than_it_may_and_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "FILE_ROWS", 7)
    for ranges in ([(1, 7)], [(1, 8)], [(3, 30), (40, 40), (50, 63)], []):
        files = list(prune._of_files(ranges))
        assert [seq for first, last in files for seq in range(first, last + 1)] == [
            seq for first, last in ranges for seq in range(first, last + 1)
        ]
        assert all(last - first < 7 for first, last in files)
        assert len(files) == sum((last - first) // 7 + 1 for first, last in ranges), "as few as can be"
