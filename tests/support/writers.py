"""Background writers for tests, and what ends most of them: is everything there, once and in order."""

from collections.abc import Iterable, Sequence

from engine.codec import Sealed
from persistence.postgres import PostgresJournal
from persistence.verify import verify
from persistence.write_behind import WriteBehind
from persistence.write_limits import Limits


def open_writer(url: str, limits: Limits, claim_url: str = "") -> WriteBehind:
    """Claim the shard, perhaps by another way, and return a writer that goes on where the journal ends."""
    with PostgresJournal(claim_url or url, 0) as journal:
        epoch = journal.claim()
        position = journal.position()
    return WriteBehind(lambda: PostgresJournal(url, 0, epoch), position, limits)


def feed(writer: WriteBehind, rows: Iterable[Sealed]) -> None:
    """Enqueue rows for which there is room."""
    for row in rows:
        writer.enqueue(row)


def stored(url: str) -> list[Sealed]:
    """Return the journal."""
    with PostgresJournal(url, 0) as journal:
        return list(journal.read())


def assert_whole(url: str, rows: Sequence[Sealed]) -> None:
    """Each row is there once, in order, and the tables are what they must be."""
    assert stored(url) == rows
    report = verify(url, 0)
    assert report.ok, report
