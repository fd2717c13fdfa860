"""What one would do in PostgreSQL without a market: the auction in SQL, and a table of jobs.

Rule of this file: one client, prepared statements, autocommit. The job queue is that of the usual libraries: a claim is
one statement with `FOR UPDATE SKIP LOCKED` over an index of what waits.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg

from benchmarks.sql_way import SqlBid, SqlWay, only
from benchmarks.table.peer import Bid, Call, Called, Sizes, Step

JOBS: Final = """
CREATE TABLE jobs (id bigserial PRIMARY KEY, bidder integer NOT NULL, priority bigint NOT NULL,
  status text NOT NULL DEFAULT 'queued', claimed_at timestamptz);
CREATE INDEX jobs_queued ON jobs (priority DESC, id) WHERE status = 'queued';
"""
ENQUEUE: Final = "INSERT INTO jobs (bidder, priority) VALUES (%s, %s) RETURNING id"
CLAIM: Final = """
WITH best AS (SELECT id FROM jobs WHERE status = 'queued' ORDER BY priority DESC, id LIMIT %s
    FOR UPDATE SKIP LOCKED)
UPDATE jobs SET status = 'claimed', claimed_at = now() FROM best WHERE jobs.id = best.id
RETURNING jobs.priority, jobs.id
"""
ABANDON: Final = "UPDATE jobs SET status = 'abandoned' WHERE id = %s AND status = 'queued' RETURNING id"


class Auction:
    """`sql_way`: holds, the price, awards."""

    def __init__(self, where: str) -> None:
        self._url: Final = where
        self._way: SqlWay | None = None

    def fill(self, bids: Iterable[Bid]) -> None:
        """By COPY."""
        self._way = SqlWay(self._url, map(as_sql, bids))

    def place(self, bid: Bid) -> Step:
        """One statement."""
        return confirmed(self.way.place(as_sql(bid)), bid.number + 1)

    def place_all(self, bids: Sequence[Bid]) -> Step:
        """One transaction, through a pipeline."""
        return confirmed(self.way.place_all([as_sql(bid) for bid in bids]), [bid.number + 1 for bid in bids])

    def cancel(self, number: int) -> Step:
        """One statement."""
        return confirmed(self.way.cancel(number + 1), 1)

    def call(self, k: int) -> Call:
        """One statement."""
        return Call(self.way.call(k), told_by_clears)

    def tidy(self) -> None:
        """Nothing follows."""

    def resting(self) -> int:
        """Open bids."""
        return only(self.way.connection.execute("SELECT count(*) FROM bids WHERE status = 'open'"))

    def sizes(self) -> Sizes:
        """The table of bids and its indexes."""
        return Sizes(here=False, disk_bytes=only(self.way.connection.execute("SELECT pg_total_relation_size('bids')")))

    def close(self) -> None:
        """Close the connection."""
        if self._way is not None:
            self._way.connection.close()

    @property
    def way(self) -> SqlWay:
        """Once it is filled."""
        assert self._way is not None
        return self._way


class JobQueue:
    """Jobs by priority, claimed and not sold."""

    def __init__(self, where: str) -> None:
        self._connection: Final = psycopg.connect(where, autocommit=True, prepare_threshold=0)
        self._connection.execute(JOBS, prepare=False)

    def fill(self, bids: Iterable[Bid]) -> None:
        """By COPY."""
        with self._connection.cursor() as cursor, cursor.copy("COPY jobs (bidder, priority) FROM STDIN") as copy:
            for bid in bids:
                copy.write_row((bid.bidder, bid.price_tokens))
        self._connection.execute("VACUUM ANALYZE", prepare=False)

    def place(self, bid: Bid) -> Step:
        """One statement."""
        parameters = (bid.bidder, bid.price_tokens)
        return confirmed(lambda: only(self._connection.execute(ENQUEUE, parameters)), bid.number + 1)

    def place_all(self, bids: Sequence[Bid]) -> Step:
        """One transaction, through a pipeline."""
        many = [(bid.bidder, bid.price_tokens) for bid in bids]

        def place() -> list[int]:
            with self._connection.pipeline(), self._connection.transaction():
                cursors = [self._connection.execute(ENQUEUE, parameters) for parameters in many]
                return [only(cursor) for cursor in cursors]

        return confirmed(place, [bid.number + 1 for bid in bids])

    def cancel(self, number: int) -> Step:
        """One statement."""
        return confirmed(lambda: only(self._connection.execute(ABANDON, (number + 1,))), number + 1)

    def call(self, k: int) -> Call:
        """One statement."""
        return Call(lambda: self._connection.execute(CLAIM, (k,)).fetchall(), told_by_claims)

    def tidy(self) -> None:
        """Nothing follows."""

    def resting(self) -> int:
        """Jobs that wait."""
        return only(self._connection.execute("SELECT count(*) FROM jobs WHERE status = 'queued'"))

    def sizes(self) -> Sizes:
        """The table and its indexes."""
        return Sizes(here=False, disk_bytes=only(self._connection.execute("SELECT pg_total_relation_size('jobs')")))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def as_sql(bid: Bid) -> SqlBid:
    """The bid as the SQL way names it."""
    return SqlBid(f"agent-{bid.bidder}", f"task-{bid.number}", bid.price_tokens)


def confirmed(step: Step, expected: object) -> Step:
    """The step, which has to answer this."""

    def run() -> None:
        answer = step()
        assert answer == expected, (answer, expected)

    return run


def told_by_clears(rows: list[tuple[int, int]]) -> Called:
    """Each award has the price."""
    return Called(tuple(bid_id - 1 for bid_id, _ in rows), rows[0][1] if rows else None)


def told_by_claims(rows: list[tuple[Any, ...]]) -> Called:
    """A claim returns jobs in any order, and no price."""
    best_first = sorted(rows, key=lambda row: (-row[0], row[1]))
    return Called(tuple(job_id - 1 for _, job_id in best_first), None)
