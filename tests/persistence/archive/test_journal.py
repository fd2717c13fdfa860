"""A journal with its archive answers as the journal alone does, wherever a row lies.

Method: the journal in memory, with what has left it in real files, beside the whole of it.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from callmarket.engine.codec import GENESIS_DIGEST
from callmarket.persistence.archive.files import write_archive
from callmarket.persistence.archive.journal import ArchivedJournal
from callmarket.persistence.errors import Archived, Fenced
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.protocol import Archive, StoredRow
from tests.support.sealed import bids

ROWS = 60


class Cut(MemoryJournal):
    """A journal in memory, of which the first rows have been archived."""

    def __init__(self, database: MemoryDatabase, archives: Sequence[Archive]) -> None:
        super().__init__(database)
        self.archives = archives
        self.closed = self.interrupted = 0

    def scan(self, after_seq: int = 0):
        if self.archives and after_seq < self.archives[-1].last_seq:
            raise Archived("it has left")
        return super().scan(after_seq)

    def row_at(self, seq: int) -> StoredRow | None:
        if self.archives and 1 <= seq <= self.archives[-1].last_seq:
            raise Archived("it has left")
        return super().row_at(seq)

    def archived(self) -> Sequence[Archive]:
        return self.archives

    def projected_seq(self) -> int:
        return 17

    def interrupt(self) -> None:
        self.interrupted += 1

    def close(self) -> None:
        self.closed += 1


def stored(count: int = ROWS) -> list[StoredRow]:
    return [StoredRow.of(row, 1) for row in bids(count - 21)]


def archived(folder: Path, rows: list[StoredRow], ends: list[int]) -> list[Archive]:
    """Write rows to files that end at these seqs."""
    archives, first = [], 1
    for last in ends:
        before = rows[first - 2].digest if first > 1 else GENESIS_DIGEST
        end = rows[last - 1]
        empty = Archive(first, last, end.epoch, end.at_us, before, end.digest, "", 0, b"")
        archives.append(write_archive(folder, 0, [rows[first - 1 : last]], empty))
        first = last + 1
    return archives


@pytest.mark.parametrize("ends", [[], [1], [20], [1, 2, 20], [20, 40], [59], [20, 60]])
def test_each_row_is_found_where_it_lies(tmp_path: Path, ends: list[int]) -> None:
    rows, database = stored(), MemoryDatabase()
    archives = archived(tmp_path, rows, ends)
    database.rows = rows[ends[-1] if ends else 0 :]
    with ArchivedJournal(Cut(database, archives), tmp_path, 0) as journal:
        assert [journal.row_at(seq) for seq in range(1, ROWS + 1)] == rows
        assert journal.row_at(ROWS + 1) is None
        for after in (0, 1, 2, 19, 20, 21, 39, 40, 41, 58, 59, 60):
            assert [row for chunk in journal.scan(after) for row in chunk] == rows[after:], after
            assert all(journal.scan(after)), "no chunk is empty"


def test_rows_that_leave_while_they_are_read_come_once(tmp_path: Path) -> None:
    rows, database = stored(), MemoryDatabase()
    archives = archived(tmp_path, rows, [20, 40])
    database.rows = rows[40:]
    cut = Cut(database, archives)
    whole = cut.archives
    cut.archives = whole[:1]

    def refuse(after_seq: int = 0):
        cut.archives, cut.scan = whole, lambda after=0: MemoryJournal.scan(cut, after)  # type: ignore[method-assign]
        raise Archived("rows 21 to 40 have just left")

    cut.scan = refuse  # type: ignore[method-assign]
    assert [row for chunk in ArchivedJournal(cut, tmp_path, 0).scan() for row in chunk] == rows


def test_everything_else_is_what_the_journal_says(tmp_path: Path) -> None:
    sealed, database = bids(ROWS - 21), MemoryDatabase()
    cut = Cut(database, [])
    with ArchivedJournal(cut, tmp_path, 0) as journal:
        with pytest.raises(Fenced):
            journal.append(sealed)
        assert journal.claim() == cut.epoch == 1
        journal.append(sealed)
        assert journal.position() == cut.position() == (1, ROWS, sealed[-1].digest)
        assert journal.projected_seq() == 17
        assert journal.archived() is cut.archives
        journal.interrupt()
        assert (cut.interrupted, cut.closed) == (1, 0)
    assert (cut.interrupted, cut.closed) == (1, 1)
