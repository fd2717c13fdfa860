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

from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.single_use import SingleUseConnection
from callmarket.persistence.errors import Fenced, PersistenceError, RowsLost, Unavailable
from callmarket.persistence.journal import lease
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.leadership import market_time, register
from callmarket.persistence.leadership.failure_detection import POLL_S, LivenessTracker
from callmarket.persistence.leadership.heartbeat import Heartbeat
from callmarket.persistence.leadership.market_time import ClockWatch
from callmarket.persistence.leadership.register import Leader
from callmarket.persistence.leadership.takeover import follow, take_over
from callmarket.persistence.loss.high_water import HighWater
from callmarket.persistence.loss.lost_rows import Recent, save
from callmarket.persistence.recovery import Recovered, Replica, Report, rehearse
from callmarket.persistence.snapshots.store import SnapshotStore

logger: Final = logging.getLogger(__name__)

_PUBLISHED_EVERY_S: Final = 1.0
# Between attempts while the database is unavailable.
_RETRY_S: Final = 0.25


@dataclass(frozen=True)
class Takeover:
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
        watch: ClockWatch | None = None,
        on_lead: Callable[[Takeover], None],
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
        self._connection: Final = SingleUseConnection(
            lambda: connect(url, f"callmarket standby {shard_id}", answer_s_max=lease_s)
        )
        self._liveness: Final = LivenessTracker()
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
        """The leader's address, empty while none is known."""
        leader = self._leader
        return leader.address if leader is not None and leader.sign == "alive" else ""

    @property
    def loss(self) -> str:
        """Which acknowledged rows the journal lacks, and where they are; empty if nothing is lost."""
        return self._loss

    def close(self) -> None:
        """Stop following. Idempotent. Never raises; waits for a replay or a connection that is under way."""
        self._closed.set()
        if threading.current_thread() is not self._thread:
            self._journal.interrupt()
            self._connection.interrupt()
            self._thread.join()

    # --- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            takeover = self._follow_until_leading()
            if takeover is not None:
                self._lead(takeover)
        except PersistenceError as error:
            logger.error("the standby of shard %d has stopped: %s", self._shard_id, error)  # noqa: TRY400 -- no bug
            self._on_failed(error)
        except BaseException as error:
            logger.exception("the standby of shard %d met a bug", self._shard_id)
            self._on_failed(PersistenceError(f"The standby met a bug and stopped: {error!r}"))
        finally:
            self._journal.close()
            self._snapshots.close()
            self._connection.close()

    def _lead(self, takeover: Takeover) -> None:
        try:
            self._on_lead(takeover)
        except BaseException:
            takeover.heartbeat.close()
            raise

    def _follow_until_leading(self) -> Takeover | None:
        """None if it was closed before. Raises what no waiting can mend."""
        while not self._closed.is_set():
            try:
                self._follow()
                with self._connection.use() as connection:
                    self._compare_clocks(connection)
                    self._publish(connection)
                    leader = self._leader = register.look(connection, self._shard_id)
                gone = self._liveness.is_gone(leader, time.monotonic())
                if gone and not self._clock_fault and not self._loss and not self._others_know():
                    takeover = self._take_over(leader)
                    if takeover is not None:
                        return takeover
                wait_s = POLL_S
            except Unavailable as error:
                logger.warning("the standby of shard %d waits for the database: %s", self._shard_id, error)
                if self._watch is not None:
                    self._watch.on_no_answer()
                self._liveness.forget()
                wait_s = _RETRY_S
            self._closed.wait(wait_s)
        self._deregister()
        return None

    def _follow(self) -> None:
        """Come to the journal's end, if it has what was acknowledged; else say what it lacks, and wait."""
        try:
            if self._replica is None:
                self._begin()
            else:
                before_seq = self._replica.chain.seq
                follow(self._journal, self._replica)
                if self._replica.chain.seq > before_seq:
                    self._keep(self._replica)
            if self._loss:
                logger.warning("shard %d: its journal lacks nothing any more that was not accepted", self._shard_id)
                self._loss = ""
        except RowsLost as error:
            self._lose(error)

    def _others_know(self) -> bool:
        """Whether another that stands by says that rows are lost: this process may have no mark of them."""
        with self._connection.use() as connection:
            told = register.reported_loss(connection, self._shard_id, self._address)
        if told and told != self._others_said:
            logger.warning("shard %d is not led from here: %s", self._shard_id, told)
        self._others_said = told
        return bool(told)

    def _begin(self) -> None:
        self._high_water.insist_on(self._journal, self._journal.market_id())
        # The first replay may be long: callers meanwhile are told who leads.
        with self._connection.use() as connection:
            self._leader = register.look(connection, self._shard_id)
        self._recent = Recent()
        replica = self._replica = rehearse(self._journal, self._snapshots, applied=self._recent.add)[1]
        self._keep(replica)

    def _keep(self, replica: Replica) -> None:
        """Remember outside the database how far it has come."""
        digest = replica.chain.digest
        assert digest is not None, "a replica knows the digest of its last row"
        # A shard that nobody has claimed yet is no market; its first leader begins.
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
            # Only now: a database that was unavailable in the middle of this is asked once more.
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

    def _take_over(self, leader: Leader | None) -> Takeover | None:
        """Raise the epoch and come to the very end. None if another was faster."""
        began_s = time.perf_counter()
        seen_epoch = self._seen_epoch(leader)
        replica = self._replica
        if seen_epoch is None or replica is None:
            return None
        before = replica.rows
        heartbeat = Heartbeat(
            self._url, self._shard_id, address=self._address, lease_s=self._lease_s, watch=self._watch
        )
        try:
            position = take_over(self._journal, replica, seen_epoch, heartbeat.take)
            if position is None:
                self._liveness.forget()
                return None
            # Now that nobody writes: one that died beside this process may have told of more than it has seen.
            self._high_water.insist_on(self._journal, self._journal.market_id())
            self._keep(replica)
            with self._connection.use() as connection:
                register.stand_down(connection, self._shard_id, self._address)
        except Fenced as error:
            heartbeat.close()
            self._replica = None
            logger.warning("shard %d: %s", self._shard_id, error)
            return None
        except RowsLost as error:
            heartbeat.close()
            self._lose(error)
            return None
        except BaseException:
            # The next leader need not wait for our lease to run out.
            heartbeat.close()
            raise
        logger.warning(
            "shard %d: this process leads from row %d on, after %s",
            self._shard_id,
            position.last_seq,
            "nobody" if leader is None else f"{leader} ({leader.sign})",
        )
        rows, seconds = replica.rows - before, time.perf_counter() - began_s
        report = Report(rows, 0, seconds, from_seq=position.last_seq - rows, tail_seconds=seconds)
        return Takeover(heartbeat, Recovered(replica.engine, position, report))

    def _seen_epoch(self, leader: Leader | None) -> int | None:
        """The epoch of the moment at which nobody was seen to lead. None if somebody does by now."""
        if leader is not None:
            return leader.epoch
        # The register does not tell it of a shard that nobody ever led. In this order: a process that claims such a
        # shard after the epoch was read is seen, or has raised it.
        with self._connection.use() as connection:
            epoch = lease.epoch_of(connection, self._shard_id)
            return epoch if register.look(connection, self._shard_id) is None else None

    def _deregister(self) -> None:
        try:
            # Not on the connection that is in use: a caller that closes this has just interrupted that one.
            with connect(self._url, f"callmarket standby {self._shard_id}", answer_s_max=self._lease_s) as connection:
                register.stand_down(connection, self._shard_id, self._address)
        except (PersistenceError, psycopg.Error) as error:
            logger.debug("the standby of shard %d could not say goodbye: %s", self._shard_id, error)
