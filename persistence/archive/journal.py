"""The journal with the rows that have left it: first those of the files, then those of the table.

Rule of this file: its reader need not know where a row lies. It writes nothing of its own.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from callmarket.engine.codec import SealedRow
from callmarket.persistence.archive.files import read_archive
from callmarket.persistence.errors import Archived
from callmarket.persistence.journal.protocol import Archive, Journal, Position, StoredRow


class ArchivedJournal(Journal):
    """The journal of one shard and the folder of its archives. It owns the journal that it is given."""

    def __init__(self, journal: Journal, folder: Path, shard_id: int) -> None:
        """Read these; nothing is opened yet."""
        self.folder = folder
        self.shard_id = shard_id
        self._journal = journal

    def scan(self, after_seq: int = 0) -> Generator[Sequence[StoredRow], None, None]:
        """See `Journal.scan`. Raises `Corrupt` too, where a file is missing or wrong."""
        while True:
            for archive in self.archived():
                for rows in self._rows(archive, after_seq):
                    yield rows
                    after_seq = rows[-1].seq
            try:
                with closing(self._journal.scan(after_seq)) as chunks:
                    for rows in chunks:
                        yield rows
                        after_seq = rows[-1].seq
                return
            except Archived:
                # They left the table while it was read; each time round there are more files.
                continue

    def row_at(self, seq: int) -> StoredRow | None:
        """See `Journal.row_at`. One that is archived costs the reading of its file, and raises `Corrupt` too."""
        try:
            return self._journal.row_at(seq)
        except Archived:
            archive = next(archive for archive in self.archived() if seq <= archive.last_seq)
            row = next(rows[0] for rows in self._rows(archive, seq - 1))
            return row if row.seq == seq else None

    def archived(self) -> Sequence[Archive]:
        """See `Journal.archived`."""
        return self._journal.archived()

    def position(self) -> Position:
        """See `Journal.position`."""
        return self._journal.position()

    def projected_seq(self) -> int:
        """See `Journal.projected_seq`."""
        return self._journal.projected_seq()

    def claim(self) -> int:
        """See `Journal.claim`."""
        return self._journal.claim()

    def append(self, rows: Sequence[SealedRow]) -> None:
        """See `Journal.append`."""
        self._journal.append(rows)

    def interrupt(self) -> None:
        """See `Journal.interrupt`."""
        self._journal.interrupt()

    def close(self) -> None:
        """See `Journal.close`."""
        self._journal.close()

    def _rows(self, archive: Archive, after_seq: int) -> Iterator[Sequence[StoredRow]]:
        """The rows of one file after a seq."""
        if archive.last_seq <= after_seq:
            return
        with closing(read_archive(self.folder, self.shard_id, archive)) as chunks:
            for rows in chunks:
                left = rows[max(0, after_seq + 1 - rows[0].seq) :]
                if left:
                    yield left
