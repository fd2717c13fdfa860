"""One slot of a worker: offer it, look for its award, work that, settle, again.

Rule of this file: the order of things. An award comes before everything; the budget only where there is none and the
auction cannot be used. Nothing here waits without a bound, or goes on where only a person can help.
"""

import logging
import time
import uuid
from collections.abc import Callable
from typing import Final

from callmarket.bridge.api.errors import Refused, Unavailable, UnknownOutcome
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.awards import AwardRow
from callmarket.bridge.fleet.agent.awards import AwardPoller, end
from callmarket.bridge.fleet.agent.backoff import Backoff, StopSignal
from callmarket.bridge.fleet.agent.services import Fallback
from callmarket.bridge.fleet.agent.settings import WorkerSettings
from callmarket.bridge.fleet.agent.status import SlotStatus, StatusBoard
from callmarket.bridge.fleet.agent.task import TaskRunner
from callmarket.bridge.fleet.tasks.model import Completion
from callmarket.bridge.fleet.tasks.source import TaskSource
from callmarket.engine.reject import Reject

logger: Final = logging.getLogger(__name__)

# A slot that was withdrawn by somebody, or whose award has lapsed unseen, is on sale again after this long.
OFFER_AGAIN_S: Final = 60.0


class SlotLoop:
    """One slot, for one thread. `run` it, or `step` it from a test."""

    def __init__(
        self,
        market: Market,
        source: TaskSource,
        settings: WorkerSettings,
        slot_id: str,
        *,
        runner: TaskRunner,
        ending: StopSignal,
        board: StatusBoard,
        fallback: Callable[[], Fallback | None],
    ) -> None:
        """`fallback` gives what to fall back on at this moment: None while the auction is usable."""
        self._market: Final = market
        self._source: Final = source
        self._settings: Final = settings
        self._slot_id: Final = slot_id
        self._runner: Final = runner
        self._stop: Final = ending
        self._board: Final = board
        self._fallback: Final = fallback
        self._poller: Final = AwardPoller(market, settings, slot_id)
        self._away: Final = Backoff()
        self._taken: Final = Backoff()
        # An award whose work has ended, and of which the market has not been told.
        self._unended: tuple[AwardRow, Completion | None] | None = None
        self._offer_id = ""
        self._offer_at_s = 0.0

    def run(self) -> None:
        """Until the worker ends; then the slot is off sale. Raises what only a person can mend."""
        while not self._stop.asked:
            self._board.show(self._slot_id, SlotStatus("waiting"))
            self._stop.wait(self.step())
        self._leave()
        self._board.show(self._slot_id, SlotStatus("ended"))

    def step(self) -> float:
        """Do what there is to do; returns how many seconds to wait before the next step."""
        fallback = self._fallback()
        try:
            if self._unended is not None:
                self._end(*self._unended)
            award = self._poller.find()
            self._away.reset()
            if self._stop.asked:
                # A task that is not claimed yet is not begun.
                return 0.0
            if award is not None:
                return 0.0 if self._take(award) else self._settings.poll_s
        except (Unavailable, UnknownOutcome) as error:
            # Also where an award could not be ended: how its work ended is written down, so others may be worked.
            if fallback is not None and not self._stop.asked and self._work_by_budget(fallback):
                return 0.0
            return self._away.next_s(error.retry_after_s if isinstance(error, Unavailable) else None)
        if not self._on_offer:
            self._offer()
        if fallback is not None:
            return 0.0 if self._work_by_budget(fallback) else self._settings.poll_s
        return self._wait_for_award()

    def _wait_for_award(self) -> float:
        """Let the market say when there is one, if it can; returns how long to wait besides."""
        try:
            if self._on_offer and self._poller.wait():
                return 0.0
        except Unavailable as error:
            return self._away.next_s(error.retry_after_s)
        return min(self._settings.poll_s, max(0.0, self._offer_at_s - time.monotonic()))

    # --- by award --------------------------------------------------------------------------------------------------

    def _take(self, award: AwardRow) -> bool:
        """Work an award and end it; False if another worker works it."""
        completion = self._completion(award)
        if completion is None:
            claim = self._stop.retry(
                lambda: self._source.claim(award.task_id, self._settings.worker_id, "auction", award.award_id)
            )
            if claim is not None:
                self._board.show(self._slot_id, SlotStatus("working", award.task_id, award.award_id))
                completion = self._runner.do(claim, award)
                self._count(completion)
            elif self._is_worked(award):
                return False
            else:
                # It may have been completed by a worker that shares this slot, between the first look and the claim.
                completion = self._completion(award)
                if completion is None:
                    logger.warning("task %s is not to be had: award %d is voided", award.task_id, award.award_id)
                    self._board.count("turned_away")
        self._end(award, completion)
        return True

    def _completion(self, award: AwardRow) -> Completion | None:
        return self._stop.retry(lambda: self._source.completion(award.task_id, "auction", award.award_id))

    def _is_worked(self, award: AwardRow) -> bool:
        """Whether a worker has the task by this very award."""
        holder = self._stop.retry(lambda: self._source.holder(award.task_id))
        return holder is not None and holder.award_id == award.award_id

    def _end(self, award: AwardRow, completion: Completion | None) -> None:
        self._unended = award, completion
        how = end(self._market, award, completion)
        self._unended = None
        self._poller.forget(award.award_id)
        self._board.count(how)
        logger.info("award %d of slot %s, task %s: %s", award.award_id, self._slot_id, award.task_id, how)
        # It can be sold again, at once, unless its award has yet to lapse.
        self._offer_at_s = 0.0

    def _count(self, completion: Completion | None) -> None:
        if completion is not None:
            self._board.count("done" if completion.succeeded else "failed")

    # --- by budget -------------------------------------------------------------------------------------------------

    def _work_by_budget(self, fallback: Fallback) -> bool:
        """Work one task that the daily budget pays for; False if there is none."""
        worker_id = self._settings.worker_id
        try:
            task_id = fallback.services.next_task(worker_id)
            task = None if task_id is None else self._source.tasks([task_id]).get(task_id)
            reservation_id = None if task is None else fallback.budget.reserve(task, worker_id)
        except Unavailable as error:
            logger.warning("the budget cannot be asked: %s", error)
            return False
        if task_id is None or reservation_id is None:
            return False
        claim = self._stop.retry(
            lambda: self._source.claim(task_id, worker_id, "budget", reservation_id=reservation_id)
        )
        completion = None
        if claim is None:
            self._board.count("turned_away")
        else:
            self._board.show(self._slot_id, SlotStatus("working", task_id))
            completion = self._runner.do(claim, None)
            self._count(completion)
        cost_tokens = 0 if completion is None else completion.cost_tokens
        self._stop.retry(lambda: fallback.budget.spend(reservation_id, cost_tokens))
        return claim is not None

    # --- on sale ---------------------------------------------------------------------------------------------------

    @property
    def _on_offer(self) -> bool:
        """Whether the slot is on sale, as far as is known."""
        return time.monotonic() < self._offer_at_s

    def _offer(self) -> None:
        """Put the slot on sale; where it is already, look again later."""
        self._offer_id = self._offer_id or f"offer:{uuid.uuid4().hex}"
        try:
            made = self._market.offer_slot(
                self._settings.market_id,
                self._slot_id,
                reserve_price_tokens=self._settings.reserve_price_tokens,
                provider_id=self._settings.provider_id,
                lease=self._settings.lease,
                command_id=self._offer_id,
            )
        except Refused as refused:
            self._offer_id = ""
            if refused.reason not in (Reject.SLOT_EXISTS, Reject.SLOTS_PER_PROVIDER_FULL, Reject.SLOTS_FULL):
                raise
            # Awarded: an award that is not durable yet, or whose lease is over and that no sweep has ended.
            in_s = OFFER_AGAIN_S if refused.bound == "offered" else self._taken.next_s(self._settings.poll_s)
        except (Unavailable, UnknownOutcome) as error:
            # The next try carries the same id, which resolves an unknown outcome.
            in_s = self._away.next_s(error.retry_after_s if isinstance(error, Unavailable) else None)
        else:
            self._offer_id = ""
            self._taken.reset()
            # Done before, under an id whose reply was lost: the slot may have been sold and used since.
            in_s = 0.0 if made.repeated else OFFER_AGAIN_S
        self._offer_at_s = time.monotonic() + in_s

    def _leave(self) -> None:
        """End unended awards, take the slot off sale, and decline an award that has come meanwhile."""
        try:
            if self._unended is not None:
                unended = self._unended
                self._stop.retry(lambda: self._end(*unended))
                return
            provider_id = self._settings.provider_id
            self._stop.retry(lambda: self._market.withdraw_slot(self._slot_id, provider_id=provider_id))
        except Refused as refused:
            if refused.reason is Reject.SLOT_AWARDED:
                self._decline()
        except (Unavailable, UnknownOutcome) as error:
            logger.warning("slot %s is left as it is: %s", self._slot_id, error)

    def _decline(self) -> None:
        """End an award that this worker will not begin, unless another works it."""
        try:
            award = self._stop.retry(self._poller.find)
            if award is not None and not self._is_worked(award):
                completion = self._completion(award)
                self._stop.retry(lambda: self._end(award, completion))
        except (Unavailable, UnknownOutcome) as error:
            logger.warning("an award of slot %s is left alone: %s", self._slot_id, error)
