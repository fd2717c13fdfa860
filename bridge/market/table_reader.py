"""Questions to the tables: asked by threads at once, by asyncio through a few threads of its own.

Rule of this file: a slow or unavailable database keeps no caller waiting for long and the loop never, and the number of
waiting questions is bounded: one more is refused at once. An answer has all rows that its caller has seen: tables that
lack some are waited for, in nobody's way, and then the question fails; others' rows are waited for a moment only. What
the answers are is not known here.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Final, Generic, NamedTuple, TypeVar

import psycopg

from callmarket.bridge.api.contract.queries import TableQuery, Tables
from callmarket.bridge.api.errors import Unavailable
from callmarket.bridge.api.failures import failure_of
from callmarket.bridge.api.seen import Seen
from callmarket.persistence import errors as persistence_errors
from callmarket.persistence.database.reader_pool import CONNECTIONS_MAX, WAITING_MAX, ReaderPool
from callmarket.persistence.tables.projector import Projector

T = TypeVar("T")

# A question that has waited for a thread for this long fails: those before it do not end.
QUEUED_S_MAX: Final = 5.0
# So does one that has waited this long for the tables: as a rule they follow within milliseconds. HTTP clients retry.
TABLES_S_MAX: Final = 5.0
# What others have done is waited for no longer than this, and not at all where the tables are further behind than that.
MOMENT_S: Final = 1.0
_NEAR_S: Final = 2.0
# Between two looks at tables that another process brings along.
_LOOK_S: Final = 0.02
RETRY_AFTER_S: Final = 1.0


class _Answer(NamedTuple, Generic[T]):
    value: T


class TableReader:
    """For many threads and loops. Its connections and threads are made by the first questions."""

    def __init__(
        self,
        url: str,
        shard_id: int,
        now: Callable[[], datetime],
        projector: Callable[[], Projector | None],
        tables_s_max: float = TABLES_S_MAX,
        llm_tokens_per_token: int = 1,
    ) -> None:
        """Nothing is opened yet. `projector` gives what brings the tables along, where this process does.

        No question waits longer than `tables_s_max` for tables to have the rows that its caller has seen.
        """
        self._tables_s_max: Final = tables_s_max
        self._now: Final = now
        self._llm_tokens_per_token: Final = llm_tokens_per_token
        self._projector: Final = projector
        self._pool: Final = ReaderPool(url, shard_id)
        self._threads: Final = ThreadPoolExecutor(CONNECTIONS_MAX, thread_name_prefix="tables")
        self._lock: Final = threading.Lock()
        self._asked = 0

    def ask(self, question: TableQuery[T], seen: Seen | None = None) -> T:
        """The answer, from tables that have what was seen; what it tells of is seen then.

        What is durable by now is waited for too, for a moment: as a rule the answer has all of it. Without `seen`
        no tables are waited for: the question is one to the journal. Raises what the question raises, `AccessDenied`,
        or `Unavailable` if no answer comes in time.
        """
        # Rows that others who share `seen` are told of meanwhile are not waited for.
        seq, deadline_s = 0 if seen is None else seen.seq, self._deadline_s()
        if seen is not None:
            self._wait_a_moment()
            self._catch_up(seq)
        while (answer := self._answer(question, seq, seen)) is None:
            _insist_on_time(seq, deadline_s)
            time.sleep(_LOOK_S)
        return answer.value

    async def ask_async(self, question: TableQuery[T], seen: Seen | None = None, *, caught_up: bool = False) -> T:
        """The answer, awaited; `caught_up` where the tables have been waited for. Raises as `ask`.

        At once where too many wait already.
        """
        seq, deadline_s = 0 if seen is None else seen.seq, self._deadline_s()
        if seen is not None and not caught_up:
            await self.catch_up_async(seq, self._tables_s_max)
        while (answer := await self._answer_async(question, seq, seen)) is None:
            _insist_on_time(seq, deadline_s)
            await asyncio.sleep(_LOOK_S)
        return answer.value

    async def catch_up_async(self, seq: int, within_s: float) -> None:
        """Wait, before the tables are asked for what a row did, as long as that helps. Raises `Unavailable`."""
        await self._wait_a_moment_async()
        projector = self._following(seq)
        if projector is not None:
            await projected_async(projector, seq, within_s)

    def _wait_a_moment(self) -> None:
        projector = self._projector()
        if projector is not None:
            with contextlib.suppress(persistence_errors.Unavailable):
                projector.wait(projector.soon(_NEAR_S), MOMENT_S)

    async def _wait_a_moment_async(self) -> None:
        projector = self._projector()
        if projector is not None and projector.seq < (seq := projector.soon(_NEAR_S)):
            with contextlib.suppress(Unavailable):
                await projected_async(projector, seq, MOMENT_S)

    def _catch_up(self, seq: int) -> None:
        projector = self._following(seq)
        if projector is not None:
            try:
                projector.wait(seq, self._tables_s_max)
            except persistence_errors.Unavailable as error:
                raise Unavailable(str(error), RETRY_AFTER_S) from error

    def _deadline_s(self) -> float:
        """How long tables are looked at again that another process brings along. Here it is known when to look."""
        return time.monotonic() + (TABLES_S_MAX if self._projector() is None else 0.0)

    def _following(self, seq: int) -> Projector | None:
        """What can be waited for until the tables have a row; None where they have it, or it is to be looked for there.

        Raises `Unavailable` where they stand still until somebody mends them.
        """
        projector = self._projector()
        if projector is None or projector.seq >= seq or projector.state == "retrying":
            return None
        if projector.state == "stopped":
            raise Unavailable(str(projector.behind(seq)), RETRY_AFTER_S)
        return projector

    def close(self) -> None:
        """Take no more questions; those under way end by themselves, in bounded time. Idempotent."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.close()

    def _answer(self, question: TableQuery[T], seq: int, seen: Seen | None) -> _Answer[T] | None:
        """The answer; None where the tables do not have row `seq` yet."""
        try:
            with self._pool.snapshot() as snapshot:
                if snapshot.seq < seq:
                    return None
                value = question.answer(
                    Tables(
                        snapshot.connection,
                        snapshot.shard_id,
                        snapshot.seq,
                        snapshot.durable_seq,
                        self._now(),
                        self._llm_tokens_per_token,
                    )
                )
                if seen is not None:
                    seen.note(snapshot.seq)
                return _Answer(value)
        except (persistence_errors.Unavailable, persistence_errors.AccessDenied) as error:
            raise failure_of(error, retry_after_s=RETRY_AFTER_S) from error
        except psycopg.DatabaseError as error:
            raise Unavailable(f"the database has failed a question: {error}") from error

    async def _answer_async(self, question: TableQuery[T], seq: int, seen: Seen | None) -> _Answer[T] | None:
        with self._lock:
            if self._asked >= WAITING_MAX:
                raise Unavailable(f"{self._asked} questions wait for the database already", RETRY_AFTER_S)
            self._asked += 1
        try:
            future = self._threads.submit(self._answer_queued, question, seq, seen, time.monotonic() + QUEUED_S_MAX)
        except BaseException as error:
            self._answered(None)
            if isinstance(error, RuntimeError):
                # Closed between the two.
                raise Unavailable("the exchange is closed") from error
            raise
        future.add_done_callback(self._answered)
        return await asyncio.wrap_future(future)

    def _answer_queued(
        self, question: TableQuery[T], seq: int, seen: Seen | None, deadline_s: float
    ) -> _Answer[T] | None:
        if time.monotonic() > deadline_s:
            raise Unavailable(f"the questions before it took longer than {QUEUED_S_MAX:g} s", RETRY_AFTER_S)
        return self._answer(question, seq, seen)

    def _answered(self, _: Future[_Answer[T] | None] | None) -> None:
        with self._lock:
            self._asked -= 1


async def projected_async(projector: Projector, seq: int, within_s: float) -> None:
    """Wait until the tables have a row. Raises `Unavailable` after a while."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Exception | None] = loop.create_future()

    def tell(failure: Exception | None) -> None:
        if not outcome.done():
            outcome.set_result(failure)

    try:
        forget = projector.on_projected(seq, lambda failure: _in_loop(loop, tell, failure))
    except persistence_errors.Unavailable as error:
        raise Unavailable(str(error), RETRY_AFTER_S) from error
    try:
        async with asyncio.timeout(within_s):
            failure = await outcome
    except TimeoutError:
        failure = projector.behind(seq)
    finally:
        forget()
    if failure is not None:
        raise Unavailable(str(failure), RETRY_AFTER_S) from failure


def _in_loop(
    loop: asyncio.AbstractEventLoop, tell: Callable[[Exception | None], None], failure: Exception | None
) -> None:
    # A loop that has ended has no waiters.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell, failure)


def _insist_on_time(seq: int, deadline_s: float) -> None:
    if time.monotonic() > deadline_s:
        raise Unavailable(
            f"the SQL tables do not have row {seq} yet: the leader brings them along. Ask again",
            RETRY_AFTER_S,
        )
