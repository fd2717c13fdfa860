"""The leader's side: a thread with a session of its own that renews the lease and hears when it is over.

Rule of this file: it never stops the engine by itself. It says what it heard, once; a lease that cannot be renewed is
no news, because a process that cannot reach the database cannot know who leads.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final, Literal

import psycopg

from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.session import what_may_be_lost
from callmarket.persistence.database.single_use import SingleUseConnection
from callmarket.persistence.errors import AccessDenied, Fenced, RowsLost, Unavailable
from callmarket.persistence.journal.postgres import read_position
from callmarket.persistence.journal.protocol import Position, went_back
from callmarket.persistence.leadership import market_time, register
from callmarket.persistence.leadership.market_time import ClockWatch

logger: Final = logging.getLogger(__name__)

# A lease bears four missed renewals. A session that was cut is noticed at the next one, and has to be replaced within
# the grace of `failure_detection`; and a request for a handover waits no longer than this to be heard.
_RENEWALS_PER_LEASE: Final = 5
RENEWAL_S_MAX: Final = 0.2
_RETRY_S: Final = 0.1
# A session that hangs on a frozen server is given up after this long; the thread then sees its connection cut.
_PATIENCE_S: Final = 1.0

News = Fenced | RowsLost | Literal["handover"]
"""What a leader may hear: that another leads by now, that the journal went back, or that it is asked to hand over."""


class Heartbeat:
    """Leads a shard, as others see it. Safe to call from any thread; `take` first and once."""

    def __init__(
        self, url: str, shard_id: int, *, address: str, lease_s: float, watch: ClockWatch | None = None
    ) -> None:
        """Remember our address; nothing is claimed yet. `watch` is told the database's clock at each renewal."""
        self.shard_id: Final = shard_id
        self.address: Final = address
        self.lease_s: Final = lease_s
        self.epoch = 0
        self._pause_s: Final = min(RENEWAL_S_MAX, lease_s / _RENEWALS_PER_LEASE)
        self._connection: Final = SingleUseConnection(
            # A process that waits longer than the lease for an answer leads no more; but a claim may have to wait for
            # the fence.
            lambda: connect(url, register.session_name(shard_id), answer_s_max=lease_s + 2 * register.CLAIM_WAIT_S)
        )
        self._lock: Final = threading.Lock()
        self._listener: Callable[[News], None] | None = None
        self._alive: Callable[[], bool] = lambda: True
        self._acknowledged: Callable[[], Position] | None = None
        self._durability_fault = ""
        self._untold: list[News] = []
        self._asked_to_hand_over = False
        self._watch_time: Final = watch
        self._successor = ""
        self._over: Final = threading.Event()
        self._closed: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name=f"heartbeat {shard_id}", daemon=True)

    def take(self, after_epoch: int | None = None) -> int | None:
        """Become the leader and go on renewing: the epoch. None if `after_epoch` is no longer the shard's.

        Raises `Unavailable`.
        """
        assert not self.epoch, "taken once"
        with self._connection.use() as connection:
            epoch = register.take(
                connection, self.shard_id, address=self.address, lease_s=self.lease_s, after_epoch=after_epoch
            )
        if epoch is None:
            self._connection.close()
            return None
        self.epoch = epoch
        self._thread.start()
        return epoch

    def listen(
        self, listener: Callable[[News], None], alive: Callable[[], bool], acknowledged: Callable[[], Position]
    ) -> None:
        """Say whom to tell, also of what has happened already, and how to see that what leads is still able to.

        Each news comes once; the listener must not block. Where `alive` says no, the lease is let go. `acknowledged` is
        the last row that anybody was told of: a journal that has less has gone back.
        """
        with self._lock:
            self._listener = listener
            self._alive = alive
            self._acknowledged = acknowledged
            untold, self._untold = self._untold, []
        for news in untold:
            listener(news)

    @property
    def successor(self) -> str:
        """The next leader's address, as far as it is known; else empty."""
        return self._successor

    @property
    def durability_fault(self) -> str:
        """Why acknowledged rows might not survive a loss of power, by the server's settings; empty if they do."""
        return self._durability_fault

    def release(self) -> None:
        """Let others lead at once, instead of after the lease. Nothing may be written after it. Never raises.

        From then on it watches for the next leader, until it is closed.
        """
        self._over.set()

    def close(self) -> None:
        """Release, if that has not happened, and stop. Never raises; takes a second if the database does not answer."""
        self._closed.set()
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE_S)
            self._connection.interrupt()
            self._thread.join()
        self._connection.close()

    # --- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Renew until it is over, let go, then watch for a successor."""
        answered = True
        while not self._over.is_set():
            if not self._alive():
                # A heart that beats for a dead engine would keep everybody from taking its place.
                self._over.set()
                break
            answered = self._asked(self._renew)
            self._over.wait(self._pause_s if answered else _RETRY_S)
        # Closing does not wait for a database that is unavailable: then the lease runs out.
        while answered or not self._closed.is_set():
            answered = self._asked(self._release_lease)
            if answered:
                break
            self._closed.wait(_RETRY_S)
        while not self._closed.is_set():
            self._asked(self._watch)
            self._closed.wait(self._pause_s)

    def _asked(self, statement: Callable[[psycopg.Connection], None]) -> bool:
        """Whether the database answered."""
        try:
            with self._connection.use() as connection:
                statement(connection)
        except (Unavailable, AccessDenied) as error:
            # A right that was taken away is no news about the leader either: the journal's writer says what it means.
            logger.debug("the lease of shard %d: %s", self.shard_id, error)
            if self._watch_time is not None:
                self._watch_time.on_no_answer()
            return False
        return True

    def _renew(self, connection: psycopg.Connection) -> None:
        watch = self._watch_time
        asked_us, evidence = (0, None) if watch is None else (watch.asking(), watch.evidence())
        # Before the database is asked: rows acknowledged meanwhile may not be in its answer.
        acknowledged = None if self._acknowledged is None else self._acknowledged()
        renewed = register.renew(connection, self.shard_id, self.epoch, evidence)
        if renewed is None:
            self._over.set()
            self._notify(self._why_over(connection, acknowledged))
            return
        if acknowledged is not None and (loss := went_back(acknowledged, renewed.last_seq, renewed.last_digest)):
            self._over.set()
            self._notify(loss)
            return
        self._look_at_settings(renewed)
        if renewed.handover_requested and not self._asked_to_hand_over:
            self._asked_to_hand_over = True
            self._notify("handover")
        if watch is not None:
            watch.on_database_time(asked_us, renewed.database_us)
            if renewed.word_id > watch.word_id:
                self._hear_word(connection, watch)

    def _why_over(self, connection: psycopg.Connection, acknowledged: Position | None) -> Fenced | RowsLost:
        """The shard is not written by our epoch: another's is newer, or the database is older than ours."""
        position = read_position(connection, self.shard_id)
        loss = None if acknowledged is None else went_back(acknowledged, position.last_seq, position.last_digest)
        if loss is not None:
            return loss
        self._watch(connection)
        if position.epoch < self.epoch:
            return Fenced(
                f"The database went back from epoch {self.epoch} of shard {self.shard_id} to epoch {position.epoch}, "
                "and lacks nothing that was acknowledged. Start this process again."
            )
        by = f" ({self._successor})" if self._successor else ""
        return Fenced(
            f"Epoch {self.epoch} of shard {self.shard_id} is over: another writer has taken over{by}. "
            "Stop this process."
        )

    def _look_at_settings(self, renewed: register.Renewal) -> None:
        """Say so, once, when what the promise needs of the server is switched off, or on again."""
        fault = "; ".join(what_may_be_lost(renewed.fsync, renewed.full_page_writes))
        if fault == self._durability_fault:
            return
        self._durability_fault = fault
        if fault:
            logger.error("while shard %d is led: %s", self.shard_id, fault)
        else:
            logger.warning("shard %d: the server keeps what is acknowledged again", self.shard_id)

    def _hear_word(self, connection: psycopg.Connection, watch: ClockWatch) -> None:
        found = market_time.latest_word(connection, self.shard_id)
        if found is not None:
            watch.on_operator_time(*found)

    def _notify(self, news: News) -> None:
        with self._lock:
            listener = self._listener
            if listener is None:
                self._untold.append(news)
                return
        listener(news)

    def _release_lease(self, connection: psycopg.Connection) -> None:
        register.release(connection, self.shard_id, self.epoch)

    def _watch(self, connection: psycopg.Connection) -> None:
        leader = register.look(connection, self.shard_id)
        if leader is not None and leader.epoch != self.epoch:
            self._successor = leader.address
