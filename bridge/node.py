"""A running market: one engine, one journal, and what it takes to answer when something is durable.

Rule of this file: a reply leaves only as its caller asked: when durable, or at once and marked as not durable. Threads
and asyncio wait differently and get the same answers.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, TypeVar

import psycopg

import persistence.errors
from bridge.clock import Clock
from bridge.errors import Unavailable, UnknownOutcome
from bridge.messages import Ack, Reply, Request, check_ack
from bridge.sequencer import Applied, Sequencer
from bridge.units import datetime_of
from engine.state import State
from persistence.connections import connect
from persistence.errors import PersistenceError
from persistence.recovery import Report
from persistence.write_behind import WriteBehind

T = TypeVar("T")


class Node:
    """What `Exchange` and `AsyncExchange` share. Made by `app.open_node`, and closed once."""

    def __init__(
        self,
        sequencer: Sequencer,
        write_behind: WriteBehind,
        *,
        url: str,
        shard_id: int,
        recovery: Report,
        clock: Clock,
        ack_timeout_s: float,
        release: Callable[[], None],
    ) -> None:
        self.url: Final = url
        self.shard_id: Final = shard_id
        self.recovery: Final = recovery
        self._sequencer = sequencer
        self._write_behind = write_behind
        self._clock = clock
        self._ack_timeout_s = ack_timeout_s
        self._release = release
        self._closed = False

    @property
    def durable_seq(self) -> int:
        """Everything up to here is in the journal."""
        return self._write_behind.durable_seq

    def read(self, query: Callable[[State], T]) -> T:
        """The answer of a read-only query on the live state. Raises `Unavailable` once that can never be durable."""
        self._refuse_if_closed()
        failure = self._write_behind.failure
        if failure is not None:
            raise Unavailable(f"the journal has stopped: {failure}") from failure
        return self._sequencer.read(query)

    def submit(self, requests: Sequence[Request], ack: Ack) -> list[Reply]:
        """Apply some requests in one go and wait as `ack` says. Refusals are events in the replies."""
        check_ack(ack)
        applied = self._apply(requests)
        if ack == "durable":
            try:
                self._write_behind.wait(applied[-1].journal_seq, self._ack_timeout_s)
            except PersistenceError as error:
                raise self._unknown(applied, error) from error
        return self._replies(applied)

    async def submit_async(self, requests: Sequence[Request], ack: Ack) -> list[Reply]:
        """`submit` for asyncio: applying takes microseconds in the loop, waiting does not block it."""
        check_ack(ack)
        applied = self._apply(requests)
        if ack == "durable":
            loop = asyncio.get_running_loop()
            durable = loop.create_future()

            def settle(error: BaseException | None) -> None:
                if not durable.done():
                    durable.set_result(error)

            def on_durable(error: BaseException | None) -> None:
                loop.call_soon_threadsafe(settle, error)

            self._write_behind.on_durable(applied[-1].journal_seq, on_durable)
            try:
                error = await asyncio.wait_for(durable, self._ack_timeout_s)
            except TimeoutError as timeout:
                error = timeout
            if error is not None:
                raise self._unknown(applied, error) from error
        return self._replies(applied)

    def now(self) -> datetime:
        """The exchange's time."""
        return datetime_of(self._clock())

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """A connection of its own for a question to the tables. It ends with the question: none is left idle."""
        self._refuse_if_closed()
        try:
            with connect(self.url, "callmarket reader") as connection:
                yield connection
        except (psycopg.OperationalError, persistence.errors.Unavailable) as error:
            raise Unavailable(f"the database does not answer: {error}", retry_after_s=1.0) from error

    def close(self) -> None:
        """Write what is queued, stop the writer, and let go of the server. Again: nothing.

        Raises `Unavailable` if something was left that could not be written; none of it was acknowledged.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._write_behind.close(self._ack_timeout_s)
        except PersistenceError as error:
            raise Unavailable(str(error)) from error
        finally:
            self._release()

    def _apply(self, requests: Sequence[Request]) -> list[Applied]:
        self._refuse_if_closed()
        try:
            return self._sequencer.submit(requests)
        except PersistenceError as error:
            raise Unavailable(str(error)) from error

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise Unavailable("the exchange is closed")

    def _replies(self, applied: Sequence[Applied]) -> list[Reply]:
        durable_seq = self._write_behind.durable_seq
        return [Reply(one.seq, one.at_us, one.events, durable_seq, one.repeated) for one in applied]

    def _unknown(self, applied: Sequence[Applied], error: BaseException) -> UnknownOutcome:
        seqs = range(applied[0].journal_seq, applied[-1].journal_seq + 1)
        reason = str(error) or f"no confirmation within {self._ack_timeout_s} s"
        return UnknownOutcome(f"applied as seq {seqs[0]} to {seqs[-1]}, not known to be durable: {reason}", seqs)
