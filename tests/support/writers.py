"""Background writers for tests, and what ends most of them: is everything there, once and in order."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg

from callmarket.engine.codec import SealedRow
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.verify import verify
from callmarket.persistence.writer.limits import Limits
from callmarket.persistence.writer.write_behind import WriteBehind
from tests.support.following import level


def open_writer(url: str, limits: Limits, claim_url: str = "") -> WriteBehind:
    """Claim the shard, perhaps by another way, and return a writer that goes on where the journal ends."""
    with PostgresJournal(claim_url or url, 0) as journal:
        epoch = journal.claim()
        position = journal.position()
    return WriteBehind(lambda: PostgresJournal(url, 0, epoch), position, limits)


def feed(writer: WriteBehind, rows: Iterable[SealedRow]) -> None:
    """Enqueue rows for which there is room."""
    for row in rows:
        writer.enqueue(row)


def stored(url: str) -> list[SealedRow]:
    """Return the journal."""
    with PostgresJournal(url, 0) as journal:
        return list(journal.read())


def assert_whole(url: str, rows: Sequence[SealedRow]) -> None:
    """Each row is there once, in order, and the tables are what they must be."""
    assert stored(url) == rows
    level(url)
    report = verify(url, 0)
    assert report.ok, report


@contextmanager
def held_in_mid_batch(url: str) -> Iterator[psycopg.Connection]:
    """Let every batch hang after its fence, until what is yielded is rolled back."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NULL; END $$;
            CREATE TRIGGER hanging AFTER INSERT ON journal EXECUTE FUNCTION hang()
            """
        )
    with psycopg.connect(url) as blocker:
        blocker.execute("SELECT pg_advisory_xact_lock(77)")
        yield blocker
