"""The standby's side: a thread that follows the journal with an engine of its own, and leads when nobody else does.

Rule of this file: it may be wrong about who is alive, and only costs that one its place. It leads from the journal's
very end, under an epoch of its own, or not at all; and never with an engine that a row did not come out of as written.
Nor from a journal that lacks what was acknowledged: it says so, keeps the rows that it has, and waits for an operator.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg

from persistence.connections import connect
from persistence.errors import Corrupt, Fenced, PersistenceError, RowsLost, Unavailable
from persistence.high_water import HighWater, lost_since
from persistence.journal import Position, went_back
from persistence.leadership import market_time, register
from persistence.leadership.heartbeat import Heartbeat
from persistence.leadership.market_time import Watch
from persistence.leadership.register import Leader
from persistence.leadership.vacancy import POLL_S, Doubt
from persistence.line import Line
from persistence.lost_rows import Recent, save
from persistence.postgres import PostgresJournal
from persistence.recovery import Recovered, Replica, Report, check_arrival, rehearse, still_mine
from persistence.snapshots.store import SnapshotStore

logger: Final = logging.getLogger(__name__)

_PUBLISHED_EVERY_S: Final = 1.0
# Between attempts while the database is away.
_RETRY_S: Final = 0.25


@dataclass(frozen=True)
class Succession:
    """What a standby has when it leads: the heartbeat that runs, and the engine at the journal's end."""

    heartbeat: Heartbeat
    recovered: Recovered


class Standby:
    """Follows one shard until it leads, fails, or is closed."""

    def __init__(
        self,
        url: str,
        shard_id: int,
        snapshots: SnapshotStore,
        *,
        address: str,
        lease_s: float,
        high_water: HighWater,
        watch: Watch | None = None,
        on_lead: Callable[[Succession], None],
        on_failed: Callable[[PersistenceError], None],
    ) -> None:
        """Start following. Both calls come from its thread, one of them, once.

        With `watch`, it leads only while that has no objection to its time. `high_water` is read before it leads, and
        told how far it has come; it is the leader's afterwards, and closed by nobody here.
        """
        self._url: Final = url
        self._shard_id: Final = shard_id
        self._snapshots: Final = snapshots
        self._address: Final = address
        self._lease_s: Final = lease_s
        self._watch: Final = watch
        self._clock_fault = ""
        self._on_lead: Final = on_lead
        self._on_failed: Final = on_failed
        self._high_water: Final = high_water
        self._journal: Final = PostgresJournal(url, shard_id, reader=True)
        self._line: Final = Line(lambda: connect(url, f"callmarket standby {shard_id}", answer_s_max=lease_s))
        self._doubt: Final = Doubt()
        self._replica: Replica | None = None
        self._recent = Recent()
        self._loss = ""
        self._others_said = ""
        self._leader: Leader | None = None
        self._published_s = float("-inf")
        self._closed: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name=f"standby {shard_id}", daemon=True)
        self._thread.start()

    @property
    def applied_seq(self) -> int:
        """The journal row up to which its engine has come."""
        return 0 if self._replica is None else self._replica.chain.seq

    @property
    def leader(self) -> str:
        """The address of who leads, empty while nobody is known to."""
        leader = self._leader
        return leader.address if leader is not None and leader.sign == "alive" else ""

    @property
    def loss(self) -> str:
        """Which acknowledged rows the journal lacks, and where they are; empty if nothing is lost."""
        return self._loss

    def close(self) -> None:
        """Stop following. Again: nothing. Never raises; waits for a replay or a connection that is under way."""
        self._closed.set()
        if threading.current_thread() is not self._thread:
            self._journal.interrupt()
            self._line.interrupt()
            self._thread.join()

    # --- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            succession = self._follow_until_leading()
            if succession is not None:
                self._lead(succession)
        except PersistenceError as error:
            logger.error("the standby of shard %d has stopped: %s", self._shard_id, error)  # noqa: TRY400 -- no bug
            self._on_failed(error)
        except BaseException as error:
            logger.exception("the standby of shard %d met a bug", self._shard_id)
            self._on_failed(PersistenceError(f"The standby met a bug and stopped: {error!r}"))
        finally:
            self._journal.close()
            self._snapshots.close()
            self._line.close()

    def _lead(self, succession: Succession) -> None:
        try:
            self._on_lead(succession)
        except BaseException:
            succession.heartbeat.close()
            raise

    def _follow_until_leading(self) -> Succession | None:
        """None if it was closed before. Raises what no waiting can mend."""
        while not self._closed.is_set():
            try:
                self._follow()
                with self._line.use() as connection:
                    self._compare_clocks(connection)
                    self._publish(connection)
                    leader = self._leader = register.look(connection, self._shard_id)
                gone = self._doubt.is_gone(leader, time.monotonic())
                if gone and not self._clock_fault and not self._loss and not self._others_know():
                    succession = self._succeed(leader)
                    if succession is not None:
                        return succession
                wait_s = POLL_S
            except Unavailable as error:
                logger.warning("the standby of shard %d waits for the database: %s", self._shard_id, error)
                if self._watch is not None:
                    self._watch.silent()
                self._doubt.forget()
                wait_s = _RETRY_S
            self._closed.wait(wait_s)
        self._say_goodbye()
        return None

    def _follow(self) -> None:
        """Come to the journal's end, if it has what was acknowledged; else say what it lacks, and wait."""
        try:
            if self._replica is None:
                self._begin()
            else:
                self._go_on(self._replica)
            if self._loss:
                logger.warning("shard %d: its journal lacks nothing any more that was not accepted", self._shard_id)
                self._loss = ""
        except RowsLost as error:
            self._lose(error)

    def _others_know(self) -> bool:
        """Whether another that stands by says that rows are lost: this process may have no mark of them."""
        with self._line.use() as connection:
            told = register.loss_told(connection, self._shard_id, self._address)
        if told and told != self._others_said:
            logger.warning("shard %d is not led from here: %s", self._shard_id, told)
        self._others_said = told
        return bool(told)

    def _begin(self) -> None:
        market_id = self._journal.market_id()
        if market_id and (loss := lost_since(self._journal, self._high_water.highest(market_id))):
            raise loss
        # The first replay may be long: who asks meanwhile is told who leads.
        with self._line.use() as connection:
            self._leader = register.look(connection, self._shard_id)
        self._recent = Recent()
        replica = self._replica = rehearse(self._journal, self._snapshots, applied=self._recent.add)[1]
        self._keep(replica)

    def _go_on(self, replica: Replica) -> None:
        """Apply what is new. Raises `RowsLost` where the journal lacks what was applied, or has it otherwise."""
        assert replica.chain.digest is not None, "a replica knows the digest of its last row"
        before = Position(replica.chain.epoch, replica.chain.seq, replica.chain.digest)
        position = self._journal.position()
        if loss := went_back(before, position.last_seq, position.last_digest):
            raise loss
        try:
            replica.follow(self._journal)
        except Corrupt:
            row = self._journal.row_at(before.last_seq) if before.last_seq else None
            if before.last_seq == 0 or (row is not None and row.digest == before.last_digest):
                raise
            # What comes now continues another row than the one that was applied.
            raise RowsLost(position.last_seq, before.last_seq, other=True) from None
        if replica.chain.seq > before.last_seq:
            self._keep(replica)

    def _keep(self, replica: Replica) -> None:
        """Remember outside the database how far it has come."""
        digest = replica.chain.digest
        assert digest is not None, "a replica knows the digest of its last row"
        # A shard that nobody has claimed yet is no market; whoever leads it first begins.
        if not self._high_water.begun and (market_id := self._journal.market_id()):
            self._high_water.begin(market_id, replica.chain.seq, digest)
        self._high_water.keep(replica.chain.seq, digest)

    def _lose(self, error: RowsLost) -> None:
        """Keep the rows that the journal lacks, where this process has them, and begin anew once that is settled."""
        kept = ""
        if self._replica is not None:
            after_seq = min(self._recent.last_common(self._journal), error.last_seq)
            rows = self._recent.after(after_seq)
            kept = save(self._high_water.folder, self._high_water.market_id, self._shard_id, rows)
            # Only now: a database that was away in the middle of this is asked once more.
            self._replica = None
        words = f"{error}{kept}"
        if self._loss == "":
            logger.error("the standby of shard %d: %s", self._shard_id, words)
            self._loss = words

    def _compare_clocks(self, connection: psycopg.Connection) -> None:
        """A machine whose time may be wrong has to wait: what it stamped could never be taken back."""
        if self._watch is not None:
            asked_us = self._watch.asking()
            self._clock_fault = self._watch.objection(asked_us, market_time.look(connection, self._shard_id))

    def _publish(self, connection: psycopg.Connection) -> None:
        now_s = time.monotonic()
        if now_s - self._published_s >= _PUBLISHED_EVERY_S:
            register.stand_by(
                connection, self._shard_id, self._address, self.applied_seq, self._clock_fault, self._loss
            )
            self._published_s = now_s

    def _succeed(self, leader: Leader | None) -> Succession | None:
        """Raise the epoch and come to the very end. None if another was faster."""
        began = time.perf_counter()
        after_epoch = self._journal.position().epoch if leader is None else leader.epoch
        heartbeat = Heartbeat(
            self._url, self._shard_id, address=self._address, lease_s=self._lease_s, watch=self._watch
        )
        if heartbeat.take(after_epoch) is None:
            self._doubt.forget()
            return None
        try:
            recovered = self._arrive(began, heartbeat.epoch)
            with self._line.use() as connection:
                register.stand_down(connection, self._shard_id, self._address)
        except Fenced as error:
            heartbeat.close()
            logger.warning("shard %d: %s", self._shard_id, error)
            return None
        except RowsLost as error:
            heartbeat.close()
            self._lose(error)
            return None
        except BaseException:
            # Whoever comes next need not wait for our lease to run out.
            heartbeat.close()
            raise
        before = "nobody" if leader is None else f"{leader} ({leader.sign})"
        logger.warning(
            "shard %d: this process leads from row %d on, after %s", self._shard_id, self.applied_seq, before
        )
        return Succession(heartbeat, recovered)

    def _arrive(self, began: float, epoch: int) -> Recovered:
        """Follow to where the last writer ended. Every row came out as written, so the state is not checked again."""
        replica = self._replica
        assert replica is not None, "it follows before it leads"
        before = replica.rows
        with still_mine(self._journal, epoch):
            position = self._journal.position()
            # The database may have gone back since it was looked at.
            self._go_on(replica)
            check_arrival(replica.chain, position)
            self._keep(replica)
        rows, seconds = replica.rows - before, time.perf_counter() - began
        report = Report(rows, 0, seconds, from_seq=position.last_seq - rows, tail_seconds=seconds)
        return Recovered(replica.engine, position, report)

    def _say_goodbye(self) -> None:
        try:
            with self._line.use() as connection:
                register.stand_down(connection, self._shard_id, self._address)
        except Unavailable as error:
            logger.debug("the standby of shard %d could not say goodbye: %s", self._shard_id, error)
