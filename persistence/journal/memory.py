"""The journal in memory, for tests and benchmarks.

Rule of this file: it refuses exactly what the database refuses. It keeps the encoded bytes and no objects, so what is
read back has been through the same decoding.
"""

from bisect import bisect_right
from collections.abc import Generator, Sequence
from threading import Lock

from callmarket.engine.codec import GENESIS_DIGEST, SealedRow
from callmarket.persistence.errors import Corrupt, Fenced, Gap
from callmarket.persistence.journal.protocol import Journal, Position, StoredRow

SCAN_ROWS = 1_000


class MemoryDatabase:
    """What all journals of one shard share: the rows and the fence. Lives as long as somebody holds it."""

    def __init__(self) -> None:
        """Begin empty."""
        self.lock = Lock()
        self.rows: list[StoredRow] = []
        self.position = Position(0, 0, GENESIS_DIGEST)


class MemoryJournal(Journal):
    """The journal of one shard in a `MemoryDatabase`. `epoch` as in `PostgresJournal`."""

    def __init__(self, database: MemoryDatabase, epoch: int = 0) -> None:
        """Write to this database."""
        self.database = database
        self.epoch = epoch

    def claim(self) -> int:
        """See `Journal.claim`."""
        database = self.database
        with database.lock:
            self.epoch = database.position.epoch + 1
            database.position = database.position._replace(epoch=self.epoch)
        return self.epoch

    def append(self, rows: Sequence[SealedRow]) -> None:
        """See `Journal.append`."""
        first, last = rows[0], rows[-1]
        seqs = [row.entry.seq for row in rows]
        assert seqs == list(range(first.entry.seq, last.entry.seq + 1)), "rows are not contiguous"
        database = self.database
        with database.lock:
            self._pass_fence(database.position, first)
            database.rows.extend(StoredRow.of(row, self.epoch) for row in rows)
            database.position = Position(self.epoch, last.entry.seq, last.digest)

    def scan(self, after_seq: int = 0) -> Generator[Sequence[StoredRow], None, None]:
        """See `Journal.scan`."""
        rows = self.database.rows
        for start in range(_place_after(rows, after_seq), len(rows), SCAN_ROWS):
            yield rows[start : start + SCAN_ROWS]

    def row_at(self, seq: int) -> StoredRow | None:
        """See `Journal.row_at`."""
        rows = self.database.rows
        place = _place_after(rows, seq) - 1
        return rows[place] if place >= 0 and rows[place].seq == seq else None

    def position(self) -> Position:
        """See `Journal.position`."""
        return self.database.position

    def interrupt(self) -> None:
        """See `Journal.interrupt`. Nothing here waits."""

    def close(self) -> None:
        """See `Journal.close`."""

    def _pass_fence(self, position: Position, first: SealedRow) -> None:
        seq = first.entry.seq
        if 0 < position.epoch < self.epoch:
            raise Gap(f"The shard is written by epoch {position.epoch}, before mine, {self.epoch}: it went back.")
        if position.epoch != self.epoch or self.epoch == 0:
            raise Fenced(f"The shard is written by epoch {position.epoch}, mine is {self.epoch}. Nothing was written.")
        if position.last_seq != first.entry.after_seq:
            raise Gap(f"The shard ends at seq {position.last_seq}, this batch begins at {seq}. Nothing was written.")
        if position.last_digest != first.digest_before:
            raise Corrupt(f"Row {seq} does not continue the stored digest. Nothing was written.", seq)


def _place_after(rows: Sequence[StoredRow], seq: int) -> int:
    """Where the rows after a seq begin. Their places follow from their seqs, but for rows that were lost."""
    return seq if seq <= len(rows) and (seq == 0 or rows[seq - 1].seq == seq) else bisect_right(rows, seq, key=_seq_of)


def _seq_of(row: StoredRow) -> int:
    return row.seq
