"""Where questions to the tables are asked: by threads at once, by asyncio through a few threads of its own.

Rule of this file: a database that is slow or away keeps nobody waiting for long, the loop never, and so many at the
most: whoever comes then is told to come back. What an answer is, is not known here.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Final, TypeVar

import psycopg

import persistence.errors
from bridge.errors import Unavailable
from bridge.failures import failure_of
from bridge.questions import Durable
from persistence.reader_pool import CONNECTIONS_MAX, WAITING_MAX, ReaderPool

T = TypeVar("T")

# Whoever has waited for a thread for so long is told so: what is before it does not end.
QUEUED_S_MAX: Final = 5.0
RETRY_AFTER_S: Final = 1.0


class Desk:
    """For many threads and loops. Its connections and threads are made by the first questions."""

    def __init__(self, url: str, shard_id: int, now: Callable[[], datetime]) -> None:
        """Nothing is opened yet."""
        self._now: Final = now
        self._pool: Final = ReaderPool(url, shard_id)
        self._threads: Final = ThreadPoolExecutor(CONNECTIONS_MAX, thread_name_prefix="tables")
        self._lock: Final = threading.Lock()
        self._asked = 0

    def ask(self, question: Durable[T]) -> T:
        """The answer. Raises what the question raises, `AccessDenied`, or `Unavailable` if no answer comes in time."""
        try:
            with self._pool.snapshot() as snapshot:
                return question.answer(snapshot, self._now())
        except (persistence.errors.Unavailable, persistence.errors.AccessDenied) as error:
            raise failure_of(error, retry_after_s=RETRY_AFTER_S) from error
        except psycopg.DatabaseError as error:
            raise Unavailable(f"the database has failed a question: {error}") from error

    async def ask_async(self, question: Durable[T]) -> T:
        """The answer, awaited. Raises as `ask`, at once where too many wait already."""
        with self._lock:
            if self._asked >= WAITING_MAX:
                raise Unavailable(f"{self._asked} questions wait for the database already", RETRY_AFTER_S)
            self._asked += 1
        try:
            future = self._threads.submit(self._ask_queued, question, time.monotonic() + QUEUED_S_MAX)
        except BaseException as error:
            self._answered(None)
            if isinstance(error, RuntimeError):
                # Closed between the two.
                raise Unavailable("the exchange is closed") from error
            raise
        future.add_done_callback(self._answered)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Take no more questions; those under way end by themselves, in bounded time. Again: nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.close()

    def _ask_queued(self, question: Durable[T], deadline_s: float) -> T:
        if time.monotonic() > deadline_s:
            raise Unavailable(f"the questions before it took longer than {QUEUED_S_MAX:g} s", RETRY_AFTER_S)
        return self.ask(question)

    def _answered(self, _: Future[T] | None) -> None:
        with self._lock:
            self._asked -= 1
