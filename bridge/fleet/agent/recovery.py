"""Claims of workers that are gone, which have no completion.

Rule of this file: work that was begun and not completed is never begun again under the same award. Its claim fails, its
award is voided while that is possible, and the task is open for another.
"""

import logging
from datetime import datetime
from typing import Final

from callmarket.bridge.api.errors import ExchangeError
from callmarket.bridge.api.market import Market
from callmarket.bridge.fleet.agent.awards import award_of, end
from callmarket.bridge.fleet.agent.backoff import StopSignal
from callmarket.bridge.fleet.agent.task import TaskRunner
from callmarket.bridge.fleet.tasks.model import Claim, Completion
from callmarket.bridge.fleet.tasks.source import TaskSource
from callmarket.engine.ids import AwardId

logger: Final = logging.getLogger(__name__)


def take_stock(
    market: Market, source: TaskSource, ending: StopSignal, runner: TaskRunner, worker_id: str
) -> list[Claim]:
    """After a restart: fail what this worker had in hand when it died, and void the awards. Returns those claims.

    An unavailable market keeps no worker from starting: the award of a slot is found, and voided, when it is back.
    """
    left = list(ending.retry(lambda: source.claims(worker_id)))
    for claim in left:
        logger.warning("task %s was in work when this worker ended, and is not worked again", claim.task_id)
        completion = runner.give_up(claim, "its worker ended in the middle of it")
        if claim.award_id is not None:
            _void(market, claim.award_id, completion)
    return left


def _void(market: Market, award_id: AwardId, completion: Completion | None) -> None:
    """End an award whose work is lost, if that can be done now."""
    try:
        award = award_of(market, award_id)
        if award is not None and award.status == "awarded":
            end(market, award, completion)
    except ExchangeError as error:
        logger.warning("award %d is left alone: %s", award_id, error)


def release_abandoned(market: Market, source: TaskSource, runner: TaskRunner, budget_claims_before: datetime) -> int:
    """Set tasks free whose award has ended without them, and whose budget claim is older than this; returns how many.

    It may run anywhere and at any time: work for an award that has ended is not paid, and a completion is written
    before its award is settled. An award that somebody else has settled means that the work is done. O(claims).
    Raises `Unavailable`.
    """
    return sum(_released(market, source, runner, claim, budget_claims_before) for claim in source.claims())


def _released(
    market: Market, source: TaskSource, runner: TaskRunner, claim: Claim, budget_claims_before: datetime
) -> bool:
    if claim.award_id is None:
        if claim.claimed_at >= budget_claims_before:
            return False
        reason = "its worker has not been heard of for too long"
    else:
        award = award_of(market, claim.award_id)
        if award is None or award.status == "awarded":
            return False
        if award.status == "settled":
            source.complete(claim, award.actual_cost_tokens or 0, award.actual_impact or 0.0)
            return True
        reason = f"its award has {award.status} before it was completed"
    logger.warning("task %s is taken from worker %s: %s", claim.task_id, claim.worker_id, reason)
    return runner.give_up(claim, reason) is not None
