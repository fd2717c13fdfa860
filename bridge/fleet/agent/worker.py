"""A worker: its slots, each in a thread, from its start to its end.

Rule of this file: it joins, starts and ends; what happens in a slot is in `slot`. A slot whose thread ends with an
error ends all of them, and the error is raised where the worker was run.
"""

import logging
import threading
from typing import Final

from callmarket.bridge.api.clock import Clock, EvenClock
from callmarket.bridge.api.errors import ExchangeError, Unavailable, UnknownOutcome
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.fleet.agent.backoff import StopSignal
from callmarket.bridge.fleet.agent.recovery import release_abandoned, take_stock
from callmarket.bridge.fleet.agent.services import Fallback, Work
from callmarket.bridge.fleet.agent.settings import WorkerSettings
from callmarket.bridge.fleet.agent.slot import SlotLoop
from callmarket.bridge.fleet.agent.status import StatusBoard, WorkerStatus
from callmarket.bridge.fleet.agent.task import TaskRunner
from callmarket.bridge.fleet.tasks.model import Payer
from callmarket.bridge.fleet.tasks.source import TaskSource

logger: Final = logging.getLogger(__name__)

# How often a worker looks for what others have left behind.
RELEASE_EVERY_S: Final = 60.0


class Worker:
    """Sells slots in a market, works the tasks that win them, and settles. `run` it in its own thread or process.

    Several workers may share a slot, a market and a source of tasks: of those that see an award one works it. A market
    that is unavailable, an outcome that is unknown, a lease that has run out: it goes on. Without `fallback` it waits
    while the auction is not usable.
    """

    def __init__(
        self,
        market: Market,
        source: TaskSource,
        work: Work,
        settings: WorkerSettings,
        *,
        fallback: Fallback | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is done yet. Raises `Invalid` for wrong settings."""
        settings.check()
        self._market: Final = market
        self._source: Final = source
        self._settings: Final = settings
        self._given_fallback: Final = fallback
        # By a clock that leaps, others would be taken for gone, and what they work on be worked twice.
        self._clock: Final = clock or EvenClock()
        self._stop: Final = StopSignal()
        self._board: Final = StatusBoard(settings.slot_ids)
        self._runner: Final = TaskRunner(source, work, self._stop, settings.attempts_max)
        self._lock: Final = threading.Lock()
        self._active: Payer = "auction"
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Work until `stop`. Once. Raises what only a person can mend, when all slots have ended."""
        try:
            self._recover()
        except (Unavailable, UnknownOutcome):
            if not self._stop.asked:
                raise
            # Told to end before anybody answered: nothing was begun.
            return
        threads = [
            threading.Thread(target=self._run_slot, args=(slot_id,), name=f"slot {slot_id}")
            for slot_id in self._settings.slot_ids
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._stop.wait(RELEASE_EVERY_S):
                self._release()
        finally:
            self.stop()
            for thread in threads:
                thread.join()
        if self._failure is not None:
            raise self._failure

    def stop(self, *, at_once: bool = False) -> None:
        """End after the work in hand; or at once: it fails, and its award is voided. Returns without waiting."""
        self._stop.ask(at_once=at_once)

    @property
    def active(self) -> Payer:
        """The present payer: the auction, or the budget while that is not usable."""
        return self._active

    def status(self) -> WorkerStatus:
        """What it does, and what it has done since it started."""
        return self._board.snapshot(self._active)

    def slot(self, slot_id: str) -> SlotLoop:
        """The loop of one slot, to be run in one thread."""
        return SlotLoop(
            self._market,
            self._source,
            self._settings,
            slot_id,
            runner=self._runner,
            ending=self._stop,
            board=self._board,
            fallback=self._fallback,
        )

    def _run_slot(self, slot_id: str) -> None:
        try:
            self.slot(slot_id).run()
        except BaseException as error:
            if self._stop.asked and isinstance(error, Unavailable | UnknownOutcome):
                # It has given up asking, because it ends: the next start finds the rest.
                logger.warning("slot %s ends with work that is not settled: %s", slot_id, error)
                return
            logger.exception("slot %s has failed, so the worker ends", slot_id)
            with self._lock:
                self._failure = self._failure or error
            self.stop()

    def _recover(self) -> None:
        """End what this worker had in hand when it last ended."""
        left = take_stock(self._market, self._source, self._stop, self._runner, self._settings.worker_id)
        for claim in left:
            if claim.reservation_id is not None and self._given_fallback is not None:
                self._give_back(self._given_fallback, claim.reservation_id)

    def _give_back(self, fallback: Fallback, reservation_id: int) -> None:
        self._stop.retry(lambda: fallback.budget.spend(reservation_id, 0))

    def _fallback(self) -> Fallback | None:
        """What to fall back on now; says so when that changes."""
        fallback = self._given_fallback
        active: Payer = "auction" if fallback is None or fallback.health.usable() else "budget"
        with self._lock:
            changed, self._active = active != self._active, active
        if changed:
            logger.warning("worker %s is paid by the %s from now on", self._settings.worker_id, active)
        return fallback if active == "budget" else None

    def _release(self) -> None:
        before = datetime_of(self._clock()) - self._settings.budget_claim_max
        try:
            release_abandoned(self._market, self._source, self._runner, before)
        except ExchangeError as error:
            logger.warning("what others have left cannot be looked for now: %s", error)
