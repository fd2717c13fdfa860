"""Changes of plain tables: made by threads at once, by asyncio through a few threads of its own.

Rule of this file: as `table_reader`. Changes wait for each other's rows; so they are made by threads that are used for
nothing else, and reading the journal or revoking a key is not behind them.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

import psycopg

from callmarket.bridge.api.contract.change import Change, WriteContext
from callmarket.bridge.api.errors import Unavailable, UnknownOutcome
from callmarket.bridge.api.failures import failure_of
from callmarket.persistence import errors as persistence_errors
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.reader_pool import positions
from callmarket.persistence.journal.postgres import read_position, wait_for_tables

T = TypeVar("T")

# A change is a few short statements; one that waits longer for another on the same row fails.
CHANGE_S_MAX: Final = 20.0
# At a time, for asyncio. Each has a connection of its own.
CHANGES_MAX: Final = 4
# As a rule the tables follow within some milliseconds.
TABLES_S_MAX: Final = 5.0


class TableChanger:
    """Makes changes of plain tables. For many threads and loops."""

    def __init__(self, url: str, shard_id: int) -> None:
        """Nothing is opened yet."""
        self._url: Final = url
        self._shard_id: Final = shard_id
        self._threads: Final = ThreadPoolExecutor(CHANGES_MAX, thread_name_prefix="changes")

    def make(self, change: Change[T], by: str) -> T:
        """Make a change, on a connection of its own, in the name of `by`.

        Raises what the change raises, `Unavailable` where the database is not there, `AccessDenied` where it gives no
        right, and `UnknownOutcome` where it broke off in the middle: made again, the change tells how it ended.
        """
        try:
            connection = connect(self._url, "callmarket changes", answer_s_max=CHANGE_S_MAX)
        except persistence_errors.Unavailable as error:
            raise Unavailable(str(error), retry_after_s=1.0) from error
        try:
            with connection:
                if change.decides_by_tables:
                    self._insist_on_tables(connection)
                where = partial(positions, connection, self._shard_id)
                return change.make(WriteContext(connection, self._shard_id, by, where))
        except (persistence_errors.ReadOnly, persistence_errors.AccessDenied) as error:
            raise failure_of(error, retry_after_s=1.0) from error
        except psycopg.OperationalError as error:
            raise UnknownOutcome(f"the database broke off in the middle of a change: {error}", range(0)) from error

    async def make_async(self, change: Change[T], by: str) -> T:
        """`make`, awaited."""
        try:
            made = self._threads.submit(self.make, change, by)
        except RuntimeError as error:
            raise Unavailable("the exchange is closed") from error
        return await asyncio.wrap_future(made)

    def _insist_on_tables(self, connection: psycopg.Connection) -> None:
        """Wait until the tables have all that is durable now. Raises `Unavailable`; nothing is done then."""
        last_seq = read_position(connection, self._shard_id).last_seq
        mark = wait_for_tables(connection, self._shard_id, last_seq, TABLES_S_MAX)
        if mark < last_seq:
            raise Unavailable(
                f"the SQL tables stand at row {mark} and do not have row {last_seq} yet, by which this is decided",
                retry_after_s=1.0,
            )

    def close(self) -> None:
        """Make no more; those under way end by themselves, in bounded time. Idempotent."""
        self._threads.shutdown(wait=False, cancel_futures=True)
