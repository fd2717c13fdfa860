"""The journal as the rest of the program sees it, whatever keeps it.

Rule of this file: a journal takes whole batches in order or refuses them, and gives back exactly those bytes. There are
two: `postgres.PostgresJournal`, and `memory.MemoryJournal` for tests and benchmarks; one suite of tests runs on both.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol, Self

import msgspec

from callmarket.engine.codec import GENESIS_DIGEST, SealedRow, chain, decode_command, decode_events, decode_proved
from callmarket.engine.commands import Entry
from callmarket.engine.events import Events
from callmarket.engine.limits import HISTORY_ROWS
from callmarket.persistence.errors import Corrupt, RowsLost


class Position(NamedTuple):
    """Where a shard's journal ends, and whose it is. Seq 0 and `GENESIS_DIGEST` before the first row."""

    epoch: int
    last_seq: int
    last_digest: bytes


class Archive(NamedTuple):
    """A range of rows that are in a file and no longer in the table, as the database records it.

    `epoch` and `at_us` are those of its last row.
    """

    first_seq: int
    last_seq: int
    epoch: int
    at_us: int
    digest_before: bytes
    digest_after: bytes
    file_name: str
    file_bytes: int
    sha256: bytes


class StoredRow(NamedTuple):
    """A journal row as it lies there: bytes that nobody has decoded yet."""

    seq: int
    epoch: int
    at_us: int
    actor: str
    command_id: str
    rules: int
    command_json: bytes
    events_json: bytes
    digest: bytes

    @classmethod
    def of(cls, row: SealedRow, epoch: int) -> Self:
        """A row as it will lie there, written with this epoch."""
        entry = row.entry
        return cls(
            entry.seq,
            epoch,
            entry.at_us,
            entry.actor,
            entry.command_id,
            row.rules,
            row.command_json,
            row.events_json,
            row.digest,
        )

    def entry(self, *, proved: bool = False) -> Entry:
        """Decode the command, and check its shape unless a digest has proved its bytes. Raises `Corrupt`."""
        try:
            command = decode_proved(self.command_json) if proved else decode_command(self.command_json)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Corrupt(f"Row {self.seq}: the command cannot be decoded: {error}", self.seq) from error
        return Entry(self.seq, self.at_us, self.actor, command, self.command_id)

    def events(self) -> Events:
        """Decode the events. Raises `Corrupt`."""
        try:
            return decode_events(self.events_json)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Corrupt(f"Row {self.seq}: the events cannot be decoded: {error}", self.seq) from error


class Chain:
    """Takes rows one after the other: no gap, no step back, each digest that of its bytes and of the row before."""

    __slots__ = ("at_us", "checks_shapes", "digest", "epoch", "seq")

    def __init__(
        self,
        seq: int = 0,
        digest: bytes | None = GENESIS_DIGEST,
        epoch: int = 0,
        at_us: int = 0,
        *,
        checks_shapes: bool = False,
    ) -> None:
        """Begin after row `seq`, which was so; digest None trusts the first row, for a reader from the middle.

        What a digest proves was checked before it was written, and is not checked again unless `checks_shapes`.
        """
        self.checks_shapes = checks_shapes
        self.seq = seq
        self.digest = digest
        self.epoch = epoch
        self.at_us = at_us

    def follow(self, row: StoredRow) -> Entry:
        """Check the next row and return its entry. Raises `Corrupt`. About 2 us."""
        seq = row.seq
        if seq != self.seq + 1:
            check_follows(row, self.seq)
        if row.epoch < self.epoch or row.at_us < self.at_us:
            where = f"epoch {self.epoch} at {self.at_us} us"
            raise Corrupt(f"Row {seq} steps back, to epoch {row.epoch} at {row.at_us} us after {where}", seq)
        before, digest = self.digest, row.digest
        if before is not None and chain(before, row, row.rules, row.command_json, row.events_json) != digest:
            raise Corrupt(f"Row {seq} does not have the digest of its bytes and of the row before it", seq)
        entry = row.entry(proved=before is not None and not self.checks_shapes)
        self.seq = seq
        self.digest = digest
        self.epoch = row.epoch
        self.at_us = row.at_us
        return entry


def check_follows(row: StoredRow, seq: int) -> None:
    """Check that a row is the one after row `seq`: its neighbour, or one that says so (HST-1). Raises `Corrupt`."""
    if row.seq == seq + 1 and row.seq % HISTORY_ROWS:
        return
    # Of a row in its place only the command can be wrong; one out of place may say that history goes on there.
    if row.seq > seq and row.seq % HISTORY_ROWS == 0 and row.entry().after_seq == seq:
        return
    raise Corrupt(f"Row {seq + 1} is missing: row {seq} is followed by row {row.seq}", seq + 1)


class RowWriter(Protocol):
    """What takes rows for a journal, for one writer. Not for two threads at once, except `interrupt`."""

    def append(self, rows: Sequence[SealedRow]) -> None:
        """Write a batch, all or nothing; return when it is durable. Raises as `db_writes.execute_journaled`."""

    def position(self) -> Position:
        """Where the journal ends. Epoch 0 and seq 0 for a shard that nobody has claimed. Raises `Unavailable`."""

    def interrupt(self) -> None:
        """Make a call that another thread is waiting in fail with `Unavailable` soon. Never raises."""

    def close(self) -> None:
        """Release connections and other resources. Never raises."""


class Journal(RowWriter, Protocol):
    """The journal of one shard, for one writer or reader. Not for two threads at once, except `interrupt`."""

    def claim(self) -> int:
        """Become the writer: raise the epoch by one and return it. Raises `Unavailable`."""

    def scan(self, after_seq: int = 0) -> Generator[Sequence[StoredRow], None, None]:
        """Yield all rows after a seq, in order, in chunks as they are read, unchecked.

        Raises `Unavailable`; `Archived` where the row that comes next is in the archive.

        Close the generator, or exhaust it, before another method is called.
        """

    def row_at(self, seq: int) -> StoredRow | None:
        """One row, unchecked; None if it is not there. Raises `Unavailable`, or `Archived` if it is in the archive."""

    def archived(self) -> Sequence[Archive]:
        """The ranges of rows that have been archived, in order, from row 1. Raises `Unavailable`."""
        return ()

    def projected_seq(self) -> int:
        """The last row that the SQL tables have; where none follow it, its last one. Raises `Unavailable`."""
        return self.position().last_seq

    def __enter__(self) -> Self:
        """Use it as a context manager: the end of the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def read(self, after_seq: int = 0) -> Generator[SealedRow, None, None]:
        """Yield all rows after a seq, checked and decoded. Raises `Corrupt`, which names the first bad row.

        Close it, or exhaust it, as `scan`. A reader that begins in the middle trusts the digest of its first row.
        """
        links = Chain(after_seq, GENESIS_DIGEST if after_seq == 0 else None)
        with closing(self.scan(after_seq)) as chunks:
            for rows in chunks:
                for row in rows:
                    # Unknown to a reader that begins in the middle.
                    before = links.digest
                    entry = links.follow(row)
                    yield SealedRow(
                        entry, row.events(), row.rules, row.command_json, row.events_json, row.digest, before or b""
                    )


def unbroken(journal: Journal, after_seq: int, last_seq: int) -> list[tuple[int, int]]:
    """The rows after one and up to another, as ranges without a gap: more than one where rows were lost (HST-1).

    One question for each history that is passed. Raises `Unavailable`, or `Archived` where such a row is.
    """
    ranges, first = [], after_seq + 1
    for begun in range((after_seq // HISTORY_ROWS + 1) * HISTORY_ROWS, last_seq + 1, HISTORY_ROWS):
        row = journal.row_at(begun)
        before = begun - 1 if row is None else row.entry().after_seq
        if before != begun - 1:
            ranges.append((first, before))
            first = begun
    ranges.append((first, last_seq))
    return [(one, last) for one, last in ranges if one <= last]


def rows_after(seq: int, last_seq: int) -> int:
    """How many rows follow one; where history went on after a loss between the two, those since then."""
    if seq // HISTORY_ROWS == last_seq // HISTORY_ROWS:
        return max(0, last_seq - seq)
    return last_seq % HISTORY_ROWS + 1


def first_seq(journal: Journal) -> int:
    """The seq of the first row that has not been archived, whether it is there yet or not. Raises `Unavailable`."""
    archives = journal.archived()
    return archives[-1].last_seq + 1 if archives else 1


def went_back(acknowledged: Position, last_seq: int, last_digest: bytes) -> RowsLost | None:
    """What a journal that ends there lacks of what was acknowledged; None if it has all of it, as far as this says."""
    if last_seq < acknowledged.last_seq:
        return RowsLost(last_seq, acknowledged.last_seq)
    if last_seq == acknowledged.last_seq and last_digest != acknowledged.last_digest:
        return RowsLost(last_seq, acknowledged.last_seq, other=True)
    return None
