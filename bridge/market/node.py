"""A process of a market: leading it, or standing by; and what it takes to answer when something is durable.

Rule of this file: a reply leaves only as its caller asked: when durable, or at once and marked as not durable; and only
from the process that leads. Threads and asyncio wait differently and get the same answers.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Final, TypeVar

import psycopg

from callmarket.bridge.api.clock import TimeSource
from callmarket.bridge.api.contract.change import Change, check_change
from callmarket.bridge.api.contract.queries import SUBSIDY_TOKENS_MAX, Moment, StateQuery, TableQuery, check_table_query
from callmarket.bridge.api.errors import RETRY_AFTER_S, ExchangeError, NotLeader, Unavailable, UnknownOutcome
from callmarket.bridge.api.failures import failure_of, not_projected
from callmarket.bridge.api.messages import Ack, Reply, Request, check_ack
from callmarket.bridge.api.one_process import OneProcess
from callmarket.bridge.api.seen import Seen
from callmarket.bridge.api.status import NodeStatus, Readiness, Role
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.config import LLM_TOKENS_PER_TOKEN
from callmarket.bridge.feed.source import Feed
from callmarket.bridge.market import recall, standing
from callmarket.bridge.market.counters import CommandCounters
from callmarket.bridge.market.leadership import LeaderSession
from callmarket.bridge.market.sequencer import Applied, last_row, rows_of
from callmarket.bridge.market.table_changes import TableChanger
from callmarket.bridge.market.table_reader import TABLES_S_MAX, TableReader, projected_async
from callmarket.engine.state import State
from callmarket.persistence import errors as persistence_errors
from callmarket.persistence.database.connections import connect
from callmarket.persistence.errors import PersistenceError, RowsLost
from callmarket.persistence.leadership.standby import Standby
from callmarket.persistence.recovery import Report
from callmarket.persistence.snapshots.store import SnapshotStore
from callmarket.persistence.tables.projector import Projector

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")


class Node:
    """What `Exchange` and `AsyncExchange` share. Made by `app.open_node`, and closed once."""

    def __init__(
        self,
        *,
        url: str,
        shard_id: int,
        open_snapshots: Callable[[], SnapshotStore],
        time: TimeSource,
        ack_timeout_s: float,
        counters: CommandCounters,
        llm_tokens_per_token: int = LLM_TOKENS_PER_TOKEN,
        subsidy_tokens_max: int = SUBSIDY_TOKENS_MAX,
    ) -> None:
        """Neither leading nor standing by yet: then one of `lead` and `stand_by` is called."""
        self.url: Final = url
        self.shard_id: Final = shard_id
        self.open_snapshots: Final = open_snapshots
        self.time: Final = time
        self._ack_timeout_s = ack_timeout_s
        self._subsidy_tokens_max: Final = subsidy_tokens_max
        self.counters: Final = counters
        self._resources = ExitStack()
        self._standby: Standby | None = None
        self._session: LeaderSession | None = None
        self._failure: PersistenceError | None = None
        # Set when it is known whether this process will ever lead.
        self._decided = threading.Event()
        self._closed = False
        self._process: Final = OneProcess("exchange")
        self._tables: Final = TableReader(url, shard_id, self.now, self._projector, ack_timeout_s, llm_tokens_per_token)
        self._changes: Final = TableChanger(url, shard_id)

    def lead(self, session: LeaderSession) -> None:
        """Begin to serve, with this session."""
        self._session = session
        self._decided.set()

    def stand_by(self, standby: Standby) -> None:
        """Refuse everything, naming the leader, until `lead` or `fail` is called."""
        self._standby = standby

    def fail(self, error: PersistenceError) -> None:
        """It will never lead: `error` says why."""
        self._failure = error
        self._decided.set()

    def release_with(self, resources: ExitStack) -> None:
        """Close these when it is closed."""
        self._resources = resources

    @property
    def role(self) -> Role:
        """What this process is to the market at this moment."""
        session = self._session
        has_ended = session is not None and bool(session.end)
        if has_ended or self._closed or not self._process.is_here or self._failure is not None:
            return "ended"
        return "standby" if session is None else "leader"

    @property
    def lost(self) -> bool:
        """Whether it has led, leads no longer, and may stand by again: others lead, or the journal went back."""
        return self._session is not None and (self._session.lost or bool(self._session.loss))

    @property
    def sees_loss(self) -> bool:
        """Whether it stands by and may not lead, as the journal lacks rows that were acknowledged."""
        return self._standby is not None and bool(self._standby.loss)

    def readiness(self) -> Readiness:
        """What a client needs to know to send requests here, or elsewhere. Never waits."""
        role, session = self.role, self._session
        if session is not None:
            return standing.readiness_of(session, role, self.time.fault)
        leader = "" if self._standby is None else self._standby.leader
        loss = "" if self._standby is None else self._standby.loss
        reason = loss or self.time.fault or f"it stands by, and {leader or 'nobody at this moment'} leads"
        if role == "ended":
            reason = "it will never lead: its log says why"
        return Readiness(False, role, leader, 0, 0, 0.0, reason)

    def status(self) -> NodeStatus:
        """The figures of this process, for monitoring. Never waits for the database."""
        if self._session is not None:
            return standing.status_of(self._session, self.role, self.time.now_us())
        seq = self.applied_seq
        return NodeStatus(self.role, 0, seq, seq, 0, 0, 0.0, 0.0)

    def wait_until_leading(self, timeout_s: float | None) -> bool:
        """Whether this process leads, within `timeout_s`. Raises `Unavailable` or `AccessDenied` if it never will."""
        self._process.check()
        self._decided.wait(timeout_s)
        if self._failure is not None:
            raise failure_of(self._failure)
        return self.role == "leader"

    def wait_until_over(self, timeout_s: float | None) -> str:
        """Why this process leads no longer; empty if it still does when the time has passed. It has to lead first."""
        session = self._leading()
        session.over.wait(timeout_s)
        return session.end

    @property
    def applied_seq(self) -> int:
        """The last row of this process's engine, leading or not."""
        if self._session is not None:
            return self._session.sequencer.read(lambda state: state.seq)
        return 0 if self._standby is None else self._standby.applied_seq

    @property
    def recovery(self) -> Report:
        """What it took to lead. Raises `NotLeader` before."""
        return self._leading().recovery

    @property
    def durable_seq(self) -> int:
        """Everything up to here is in the journal."""
        return self._leading().write_behind.durable_seq

    def _projector(self) -> Projector | None:
        return None if self._session is None else self._session.projector

    @property
    def projected_seq(self) -> int:
        """Everything up to here is in the SQL tables; 0 where that is not known yet."""
        return self._leading().projector.seq

    @property
    def feed(self) -> Feed:
        """What becomes durable, as a live stream. Raises as `read`."""
        return self._require_leader().feed

    def end_streams(self) -> None:
        """End all live streams and long polls, so that their server can end. Idempotent."""
        if self._session is not None:
            self._session.feed.end("the service ends: go on elsewhere, or here in a moment")

    def read(self, query: Callable[[State], T]) -> T:
        """The answer of a read-only query on the live state. Raises `Unavailable` once that can never be durable."""
        return self._require_leader().sequencer.read(query)

    def ask(self, question: StateQuery[T] | TableQuery[T], seen: Seen | None = None) -> T:
        """The answer of the live state, at one moment, or of the tables, once they have what was seen.

        Raises what the question raises, and `Unavailable` where a live answer can never be durable, and where the
        tables do not answer or follow in time.
        """
        if isinstance(question, StateQuery):
            return self._ask_live(question, seen)
        check_table_query(question)
        self._refuse_if_closed()
        return self._tables.ask(question, seen)

    async def ask_async(
        self, question: StateQuery[T] | TableQuery[T], seen: Seen | None = None, *, caught_up: bool = False
    ) -> T:
        """`ask` for asyncio: a live answer takes microseconds in the loop, and the tables never block it.

        With `caught_up`, which says that `tables_have` was awaited, they are not waited for again.
        """
        if isinstance(question, StateQuery):
            return self._ask_live(question, seen)
        check_table_query(question)
        self._refuse_if_closed()
        return await self._tables.ask_async(question, seen, caught_up=caught_up)

    async def tables_have(self, seq: int) -> None:
        """Wait until the SQL tables have this row, if this process brings them along.

        Raises `Unavailable` after a while.
        """
        await self._tables.catch_up_async(seq, TABLES_S_MAX)

    def submit(self, requests: Sequence[Request], ack: Ack) -> list[Reply]:
        """Apply some requests in one go and wait as `ack` says. Refusals are events in the replies."""
        check_ack(ack)
        began_s = time.perf_counter()
        session, applied = self._apply(requests, waits=ack != "applied")
        known_by_row = recall.known_by_row(applied)
        if ack != "applied" or known_by_row:
            try:
                session.write_behind.wait(last_row(applied), self._ack_timeout_s)
            except PersistenceError as error:
                raise self._unknown(applied, error) from error
            self.counters.acknowledged(len(applied), time.perf_counter() - began_s)
        if ack == "projected":
            try:
                session.projector.wait(last_row(applied), self._ack_timeout_s)
            except PersistenceError as error:
                raise not_projected(rows_of(applied), error) from error
        if known_by_row:
            with recall.in_doubt(known_by_row):
                applied = recall.told_again(requests, applied, self._tables.ask(recall.first_replies(known_by_row)))
        return self._replies(session, applied)

    async def submit_async(self, requests: Sequence[Request], ack: Ack) -> list[Reply]:
        """`submit` for asyncio: applying takes microseconds in the loop, waiting does not block it."""
        check_ack(ack)
        began_s = time.perf_counter()
        session, applied = self._apply(requests)
        known_by_row = recall.known_by_row(applied)
        if ack != "applied" or known_by_row:
            error = await session.waiting.wait(last_row(applied))
            if error is not None:
                raise self._unknown(applied, error) from error
            self.counters.acknowledged(len(applied), time.perf_counter() - began_s)
        if ack == "projected":
            try:
                await projected_async(session.projector, last_row(applied), self._ack_timeout_s)
            except Unavailable as error:
                raise not_projected(rows_of(applied), error) from error
        if known_by_row:
            with recall.in_doubt(known_by_row):
                rows = await self._tables.ask_async(recall.first_replies(known_by_row))
                applied = recall.told_again(requests, applied, rows)
        return self._replies(session, applied)

    def now(self) -> datetime:
        """The exchange's time."""
        return datetime_of(self.time.now_us())

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """A connection of its own for a question to the tables. It ends with the question: none is left idle."""
        self._refuse_if_closed()
        try:
            with connect(self.url, "callmarket reader") as connection:
                yield connection
        except (persistence_errors.Unavailable, persistence_errors.AccessDenied) as error:
            raise failure_of(error, retry_after_s=1.0) from error
        except psycopg.OperationalError as error:
            raise Unavailable(f"the database does not answer: {error}", retry_after_s=1.0) from error

    def change(self, change: Change[T], by: str) -> T:
        """Make a change of plain tables. Raises as `TableChanger.make`."""
        check_change(change)
        self._refuse_if_closed()
        return self._changes.make(change, by)

    async def change_async(self, change: Change[T], by: str) -> T:
        """`change` for asyncio."""
        check_change(change)
        self._refuse_if_closed()
        return await self._changes.make_async(change, by)

    def close(self) -> None:
        """Write queued rows, let others lead, and release the server. Idempotent.

        Raises `Unavailable` if something was left that could not be written; none of it was acknowledged. In the child
        of a fork it leaves all that is its parent's alone.
        """
        if self._closed or not self._process.is_here:
            return
        self._closed = True
        try:
            if self._standby is not None:
                self._standby.close()
            if self._session is not None:
                self._session.close()
        except RowsLost:
            # All waiters were notified; this process has nothing to write, and is well.
            logger.warning("closed: %s", self._session and self._session.end)
        except PersistenceError as error:
            raise Unavailable(str(error)) from error
        finally:
            self._tables.close()
            self._changes.close()
            self._decided.set()
            self._resources.close()

    def _ask_live(self, question: StateQuery[T], seen: Seen | None) -> T:
        session = self._require_leader()

        def answer(state: State) -> T:
            durable_seq = session.write_behind.durable_seq
            if seen is not None:
                seen.note(min(state.seq, durable_seq))
            return question.answer(Moment(state, durable_seq, self.time.now_us(), self._subsidy_tokens_max))

        return session.sequencer.read(answer)

    def _apply(self, requests: Sequence[Request], *, waits: bool = False) -> tuple[LeaderSession, list[Applied]]:
        session = self._require_leader()
        began_s = time.perf_counter()
        if behind := session.projector.congestion():
            self.counters.refused(len(requests))
            raise Unavailable(behind, RETRY_AFTER_S)
        try:
            applied = session.sequencer.submit(requests, waits=waits)
        except PersistenceError as error:
            self.counters.refused(len(requests))
            raise self._over(session, str(error)) from error
        except ExchangeError as error:
            self.counters.refused(len(requests))
            if session.end and isinstance(error, Unavailable):
                raise self._over(session, str(error)) from error
            raise
        self.counters.applied(requests, applied, time.perf_counter() - began_s)
        return session, applied

    def _leading(self) -> LeaderSession:
        """The leader's session, over or not."""
        self._process.check()
        if self._session is None:
            self._refuse_if_closed()
            if self._failure is not None:
                raise failure_of(self._failure)
            leader = "" if self._standby is None else self._standby.leader
            fault = ("" if self._standby is None else self._standby.loss) or self.time.fault
            why = f": {fault}" if fault and not leader else ""
            raise NotLeader(
                f"this process stands by, shard {self.shard_id} is led by {leader or 'nobody at this moment'}{why}",
                leader,
                RETRY_AFTER_S,
            )
        return self._session

    def _require_leader(self) -> LeaderSession:
        """The leader's session, if it is not over."""
        self._refuse_if_closed()
        session = self._leading()
        if session.end:
            raise self._over(session, session.end) from session.write_behind.failure
        return session

    def _over(self, session: LeaderSession, why: str) -> ExchangeError:
        """The error for requests to a process that led once."""
        if not session.lost:
            return Unavailable(why)
        successor = session.successor
        return NotLeader(
            f"this process leads shard {self.shard_id} no longer ({why}): ask {successor or 'again in a moment'}",
            successor,
            RETRY_AFTER_S,
        )

    def _refuse_if_closed(self) -> None:
        self._process.check()
        if self._closed:
            raise Unavailable("the exchange is closed")

    def _replies(self, session: LeaderSession, applied: Sequence[Applied]) -> list[Reply]:
        durable_seq = session.write_behind.durable_seq
        return [Reply(one.seq, one.at_us, one.events, durable_seq, one.repeated) for one in applied]

    def _unknown(self, applied: Sequence[Applied], error: BaseException) -> UnknownOutcome:
        self.counters.unknown(len(applied))
        seqs = rows_of(applied)
        reason = str(error) or f"no confirmation within {self._ack_timeout_s} s"
        return UnknownOutcome(f"applied as seq {seqs[0]} to {seqs[-1]}, not known to be durable: {reason}", seqs)
