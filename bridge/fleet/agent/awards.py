"""Awards of a worker's slots: found, looked up, settled, voided.

Rule of this file: only durable awards count (they are read from the tables). An award is ended by its id, under a
command id that follows from it: a retry is once, and a stale worker is refused.
"""

import inspect
import logging
from datetime import datetime
from typing import Any, Final, Literal

from callmarket.bridge.api.checks import ROWS_FEW
from callmarket.bridge.api.contract.pages import cursor
from callmarket.bridge.api.contract.paging import all_rows
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Refused
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.awards import AwardRow
from callmarket.bridge.fleet.agent.settings import WorkerSettings
from callmarket.bridge.fleet.tasks.model import Completion
from callmarket.engine.ids import AwardId
from callmarket.engine.reject import Reject

logger: Final = logging.getLogger(__name__)

End = Literal["settled", "voided", "lost"]
"""How an award ended for this worker; `lost`: somebody or something else has ended it."""

# How the market refuses an award that has ended, or that is another's now.
_OVER: Final = {
    Reject.AWARD_STALE,
    Reject.LEASE_EXPIRED,
    Reject.SLOT_UNKNOWN,
    Reject.SLOT_NOT_AWARDED,
    Reject.SLOT_SETTLED,
    Reject.SLOT_VOIDED,
    Reject.SLOT_LAPSED,
    Reject.SLOT_WITHDRAWN,
}


class AwardPoller:
    """Finds the live award of one slot. For one thread."""

    def __init__(self, market: Market, settings: WorkerSettings, slot_id: str) -> None:
        self._market: Final = market
        self._settings: Final = settings
        self._slot_id: Final = slot_id
        # All that was granted before this time is known to be none of this slot's.
        self._since: datetime | None = None
        self._over_id = 0
        self._waits: Final = settings.bidder_id is not None and "wait_s" in inspect.signature(market.awards).parameters

    def find(self) -> AwardRow | None:
        """The award, None if there is none.

        The first time it costs the live awards of the market, later those that were granted since.
        """
        since = self._since
        for award in all_rows(lambda after, limit: self._ask(None, since, after, limit)):
            if self._is_mine(award):
                return award
            self._since = award.slot_started_at
        return None

    def forget(self, award_id: AwardId) -> None:
        """This award of the slot, and those before it, are over for this worker, also where the tables say `awarded`.

        So they say of one whose lease has run out, until a sweep ends it.
        """
        self._over_id = award_id

    def wait(self) -> bool:
        """Wait until there may be one, where the market offers that; whether it pays to look again at once."""
        if not self._waits:
            return False
        page = self._ask(self._settings.bidder_id, self._since, None, ROWS_FEW, wait_s=self._settings.wait_s)
        # Awards of other slots are no reason to hurry, and would not be waited for the next time either.
        return not page.items or any(map(self._is_mine, page.items))

    def _ask(
        self, bidder_id: str | None, since: datetime | None, after: str | None, limit: int, **wait: Any
    ) -> Page[AwardRow]:
        return self._market.awards(
            self._settings.market_id,
            bidder_id,
            "awarded",
            since=since,
            limit=limit,
            after=after,
            order="oldest",
            **wait,
        )

    def _is_mine(self, award: AwardRow) -> bool:
        mine = award.slot_id == self._slot_id and award.provider_id == self._settings.provider_id
        return mine and award.award_id > self._over_id


def award_of(market: Market, award_id: AwardId) -> AwardRow | None:
    """One award by its id, whatever its status; None if there is none."""
    # As the first of the page that begins right behind it, counted from the newest.
    page = market.awards(limit=1, after=cursor("awards-newest", award_id + 1))
    return page.items[0] if page.items and page.items[0].award_id == award_id else None


def end(market: Market, award: AwardRow, completion: Completion | None) -> End:
    """Settle an award whose work is done, void one whose work failed or never began. It may be called again.

    Raises `Unavailable` and `UnknownOutcome`, and what only a person can mend: `Refused` for another reason than that
    it has ended, `Forbidden`, `Invalid`.
    """
    try:
        if completion is not None and completion.succeeded:
            market.settle(
                award.slot_id,
                completion.cost_tokens,
                completion.impact,
                provider_id=award.provider_id,
                award_id=award.award_id,
                command_id=f"settle:{award.award_id}",
            )
            return "settled"
        market.void(
            award.slot_id,
            provider_id=award.provider_id,
            award_id=award.award_id,
            command_id=f"void:{award.award_id}",
        )
    except Refused as refused:
        return _over(award, completion, refused)
    return "voided"


def _over(award: AwardRow, completion: Completion | None, refused: Refused) -> End:
    if refused.reason not in _OVER:
        raise refused
    # Under another command id, as by a worker that shares the slot, or after the id was forgotten.
    if refused.reason is Reject.SLOT_SETTLED and completion is not None and completion.succeeded:
        return "settled"
    if refused.reason is Reject.SLOT_VOIDED and not (completion is not None and completion.succeeded):
        return "voided"
    logger.warning("award %d of slot %s is over: %s", award.award_id, award.slot_id, refused)
    return "lost"
