"""A worker whose market or source fails around it, that dies and starts again, or finds what others have left.

Goal: an award is worked at most once and ends once, whatever reply is lost. Method: replies that are lost before or
after their effect, at each step of an award; and the states that a death between two steps leaves behind.
"""

from datetime import timedelta
from typing import Any, cast

import pytest

from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.errors import Invalid, NotLeader, Refused, Unavailable, UnknownOutcome
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.fleet.agent import Finished, Worker, WorkFailed
from callmarket.bridge.fleet.agent.awards import end
from callmarket.bridge.fleet.agent.backoff import StopSignal
from callmarket.bridge.fleet.agent.recovery import release_abandoned
from callmarket.bridge.fleet.agent.task import TaskRunner
from callmarket.bridge.fleet.tasks.model import Claim
from callmarket.bridge.fleet.tasks.source import Backlog
from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject
from tests.support.small_market import until
from tests.support.work_stage import TOKENS, Between, Labour, Stage, raising, running

AWAY = Unavailable("away", retry_after_s=0.02)
NOT_LEADING = NotLeader("another leads", "", 0.02)
LOST = UnknownOutcome("lost", range(7, 8))


def worker(stage: Stage, labour: Labour, **said: Any) -> Worker:
    return Worker(stage.market, stage.source, labour, stage.settings(**said))


def between_market(stage: Stage) -> Between:
    stage.market = cast(Market, between := Between(stage.market))
    return between


def between_source(stage: Stage) -> Between:
    stage.source = cast(Backlog, between := Between(stage.source))
    return between


@pytest.mark.parametrize(
    ("method", "when", "error"),
    [
        ("awards", "before", AWAY),
        ("offer_slot", "before", AWAY),
        ("offer_slot", "after", LOST),
        ("settle", "before", NOT_LEADING),
        ("settle", "after", AWAY),
        ("settle", "after", LOST),
        ("withdraw_slot", "before", NOT_LEADING),
        ("withdraw_slot", "after", LOST),
    ],
)
def test_a_market_that_answers_badly_at_any_step(stage: Stage, method: str, when: str, error: Exception) -> None:
    """IDM-1: asked again under the same command id, everything is done once."""
    between, labour = between_market(stage), Labour()
    getattr(between, when)[method] = raising(error, 2)
    one = worker(stage, labour)
    with running(one) as raised:
        bid_id = stage.bid(stage.task())
        stage.call_until_won(bid_id)
        until(lambda: stage.owner.bid(bid_id).status == "settled")
        until(lambda: one.status().counts["settled"] == 1)
        until(lambda: stage.slot_status() == "offered")
    assert raised == []
    assert len(labour.begun) == 1
    # Slots of this market have no reserve, and no other bid sets a price.
    assert stage.available_tokens == TOKENS
    assert stage.slot_status() == "withdrawn"


@pytest.mark.parametrize("error", [AWAY, LOST])
def test_a_void_whose_reply_is_lost(stage: Stage, error: Exception) -> None:
    between = between_market(stage)
    between.after["void"] = raising(error, 2)
    award_id = stage.award("never-put")
    one = worker(stage, Labour())
    with running(one) as raised:
        until(lambda: one.status().counts["voided"] == 1)
    assert raised == []
    assert stage.award_row(award_id).status == "voided"


@pytest.mark.parametrize("method", ["claims", "completion", "claim", "tasks", "complete"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_source_that_answers_badly_at_any_step(stage: Stage, method: str, when: str) -> None:
    """A claim whose reply was lost is this worker's all the same, and its work begins once."""
    between, labour, task_id = between_source(stage), Labour(), stage.task()
    award_id = stage.award(task_id)
    getattr(between, when)[method] = raising(AWAY, 2)
    with running(worker(stage, labour)) as raised:
        stage.until_award(award_id, "settled")
    assert raised == []
    assert labour.award_ids == [award_id]
    assert stage.source.tasks([task_id])[task_id].status == "done"
    assert stage.paid_tokens == 50


def test_a_worker_ends_when_told_though_the_market_is_unavailable(stage: Stage) -> None:
    """It gives up after some tries; the next start settles what is left."""
    between, labour, task_id = between_market(stage), Labour(), stage.task()
    award_id = stage.award(task_id)
    between.before["settle"] = between.before["withdraw_slot"] = raising(AWAY, 10**6)
    with running(one := worker(stage, labour)) as raised:
        until(lambda: stage.source.tasks([task_id])[task_id].status == "done")
        one.stop()
    assert raised == []
    assert stage.award_row(award_id).status == "awarded"
    between.before.clear()
    with running(worker(stage, labour)) as raised:
        stage.until_award(award_id, "settled")
    assert raised == []
    assert labour.award_ids == [award_id]


@pytest.mark.parametrize("error", [AWAY, LOST])
def test_a_worker_that_is_told_to_end_before_its_source_has_answered_ends(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It has begun nothing, so there is nothing to raise."""
    monkeypatch.setattr("callmarket.bridge.fleet.agent.backoff._TRIES_ENDING_MAX", 1)
    between, labour = between_source(stage), Labour()
    asked = iter(range(1, 10**6))
    tries = 0

    def away() -> None:
        nonlocal tries
        tries = next(asked)
        raise error

    between.before["claims"] = away
    with running(one := worker(stage, labour)) as raised:
        until(lambda: tries > 1)
        one.stop()
    assert raised == []
    assert labour.begun == []
    assert stage.slot_status() == "", "nothing is offered by who does not know what it had in hand"


@pytest.mark.parametrize("succeeds", [True, False], ids=["done", "failed"])
def test_work_of_a_claim_that_the_source_knows_no_more_is_not_paid(stage: Stage, succeeds: bool) -> None:
    """Its award is voided, and the slot is sold again."""

    def work(_: object) -> Finished:
        if succeeds:
            return Finished(60, 1.5)
        raise WorkFailed("no")

    between = between_source(stage)
    between.before["complete" if succeeds else "fail"] = raising(Invalid("claim", "c", "one that is known"), 1)
    award_id = stage.award(stage.task())
    with running(one := worker(stage, Labour(result=work))) as raised:
        stage.until_award(award_id, "voided")
        until(lambda: stage.slot_status() == "offered")
    assert raised == []
    counts = one.status().counts
    assert (counts["voided"], counts["done"], counts["failed"]) == (1, 0, 0)
    assert stage.available_tokens == TOKENS


@pytest.mark.parametrize(
    ("by_another", "succeeded", "told"),
    [("settle", True, "settled"), ("void", False, "voided"), ("settle", False, "lost"), ("void", True, "lost")],
)
def test_an_award_that_another_has_ended_counts_as_what_it_is(
    stage: Stage, by_another: str, succeeded: bool, told: str
) -> None:
    """Ended as this worker would have, by who shares its slot, or by itself so long ago that nobody knows the retry."""
    task_id = stage.task()
    award_id = stage.award(task_id)
    claim = left_in_hand(stage, task_id, award_id)
    completion = stage.source.complete(claim, 60, 1.5) if succeeded else stage.source.fail(claim, "no")
    award = stage.award_row(award_id)
    if by_another == "settle":
        stage.owner.settle(stage.slot_id, 60, 1.5, provider_id=stage.provider_id, award_id=award_id)
    else:
        stage.owner.void(stage.slot_id, provider_id=stage.provider_id, award_id=award_id)
    assert end(stage.market, award, completion) == told
    if not succeeded:
        assert end(stage.market, award, None) == told, "what was never begun is as what has failed"


@pytest.mark.parametrize("succeeded", [True, False])
def test_the_end_of_an_award_ends_no_later_one_of_its_slot(stage: Stage, succeeded: bool) -> None:
    """Whoever comes back late finds the slot sold again, and may be another worker's by now."""
    first_task, second_task = stage.task(1), stage.task(2)
    first_id = stage.award(first_task)
    claim = left_in_hand(stage, first_task, first_id)
    completion = stage.source.complete(claim, 60, 1.5) if succeeded else stage.source.fail(claim, "no")
    first = stage.award_row(first_id)
    stage.owner.void(stage.slot_id, provider_id=stage.provider_id, award_id=first_id)
    second_id = stage.award(second_task)
    assert end(stage.market, first, completion) == "lost"
    assert stage.award_row(second_id).status == "awarded"


def test_a_refusal_that_does_not_end_an_award_is_raised(stage: Stage) -> None:
    """It was refused for something that only a person can mend, and the award is still there."""
    between = between_market(stage)
    award = stage.award_row(stage.award(stage.task()))
    between.before["void"] = raising(Refused(Rejected(Reject.NOT_PERMITTED, "slot_id", "s", ""), 1), 1)
    with pytest.raises(Refused):
        end(stage.market, award, None)
    assert stage.award_row(award.award_id).status == "awarded"


def test_an_award_that_cannot_be_given_back_is_left_for_the_next_start(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes while the worker ends and the market goes away: that is no failure of the worker's."""
    monkeypatch.setattr("callmarket.bridge.fleet.agent.backoff._TRIES_ENDING_MAX", 1)
    between, labour = between_market(stage), Labour()
    with running(one := worker(stage, labour, poll_s=3_600.0)) as raised:
        until(lambda: stage.slot_status() == "offered")
        bid_id = stage.bid(stage.task())
        stage.call_until_won(bid_id)
        between.before["void"] = raising(AWAY, 10**6)
        one.stop()
    assert raised == []
    assert stage.owner.bid(bid_id).status == "won"
    between.before.clear()
    with running(worker(stage, labour)) as raised:
        until(lambda: stage.owner.bid(bid_id).status == "settled")
    assert raised == []
    assert len(labour.begun) == 1


# --- a restart -------------------------------------------------------------------------------------------------------


def left_in_hand(stage: Stage, task_id: str, award_id: int | None, worker_id: str = "w") -> Claim:
    """What a worker leaves that dies in the middle of its work."""
    payer: Any = "budget" if award_id is None else "auction"
    reservation_id = 1 if award_id is None else None
    claim = stage.source.claim(task_id, stage.settings(worker_id).worker_id, payer, award_id, reservation_id)
    assert claim is not None
    return claim


def test_a_task_in_work_at_a_crash_is_voided_and_not_worked_again(stage: Stage) -> None:
    """An award that is claimed and not completed was in work when the process died."""
    labour, task_id = Labour(), stage.task()
    award_id = stage.award(task_id)
    left_in_hand(stage, task_id, award_id)
    with running(worker(stage, labour)) as raised:
        stage.until_award(award_id, "voided")
        assert labour.begun == []
        assert stage.available_tokens == TOKENS
        task = stage.source.tasks([task_id])[task_id]
        assert (task.status, task.failed_attempts) == ("open", 1)
        # The task may bid again, and is worked under its new award.
        bid_id = stage.bid(task_id)
        stage.call_until_won(bid_id)
        until(lambda: stage.owner.bid(bid_id).status == "settled")
    assert raised == []
    assert len(labour.begun) == 1
    assert labour.award_ids != [award_id]


def test_an_award_of_a_slot_that_is_no_longer_sold_is_voided_too(stage: Stage) -> None:
    task_id = stage.task()
    award_id = stage.award(task_id, f"{stage.slot_id}-old")
    left_in_hand(stage, task_id, award_id)
    with running(worker(stage, Labour())) as raised:
        stage.until_award(award_id, "voided")
    assert raised == []


def test_a_completed_task_is_only_settled_after_a_crash(stage: Stage) -> None:
    """Death between completion and settlement: nothing is worked again, and what is settled is what was recorded."""
    labour, task_id = Labour(), stage.task()
    award_id = stage.award(task_id)
    stage.source.complete(left_in_hand(stage, task_id, award_id), 77, 0.125)
    with running(worker(stage, labour)) as raised:
        row = stage.until_award(award_id, "settled")
    assert raised == []
    assert labour.begun == []
    assert (row.actual_cost_tokens, row.actual_impact) == (77, 0.125)


def test_a_failed_task_is_only_voided_after_a_crash(stage: Stage) -> None:
    labour, task_id = Labour(), stage.task()
    award_id = stage.award(task_id)
    stage.source.fail(left_in_hand(stage, task_id, award_id), "no")
    with running(worker(stage, labour)) as raised:
        stage.until_award(award_id, "voided")
    assert raised == []
    assert labour.begun == []


def test_a_task_on_which_its_worker_dies_each_time_fails_for_good(stage: Stage) -> None:
    """Attempts that end with the process count, or a poisonous task would go on for ever."""
    task_id = stage.task()
    award_id = stage.award(task_id)
    left_in_hand(stage, task_id, award_id)
    with running(worker(stage, Labour(), attempts_max=1)):
        stage.until_award(award_id, "voided")
    assert stage.source.tasks([task_id])[task_id].status == "failed"


# --- what others have left -------------------------------------------------------------------------------------------


def release(stage: Stage, years: int) -> int:
    """Budget claims of so many years from now, or older, are too old."""
    runner = TaskRunner(stage.source, Labour(), StopSignal(), 3)
    return release_abandoned(
        stage.market, stage.source, runner, datetime_of(system_clock()) + years * timedelta(days=365)
    )


def test_tasks_of_awards_that_have_ended_are_set_free(stage: Stage) -> None:
    """Those of awards that live, and of budgets that are young, are left alone."""
    names = [stage.task(number) for number in range(4)]
    awards = [stage.award(name, f"{stage.slot_id}-{number}") for number, name in enumerate(names[:3])]
    claims = [left_in_hand(stage, name, award, "gone") for name, award in zip(names, awards, strict=False)]
    budget = left_in_hand(stage, names[3], None, "gone")
    stage.owner.void(f"{stage.slot_id}-0", provider_id=stage.provider_id, award_id=awards[0])
    stage.owner.settle(f"{stage.slot_id}-1", 33, 0.5, provider_id=stage.provider_id, award_id=awards[1])
    # Other tests of the tables have left some too.
    assert release(stage, -1) >= 2
    assert release(stage, -1) == 0
    statuses = [stage.source.tasks([name])[name].status for name in names]
    # Somebody has settled the second by hand: it was done.
    assert statuses == ["open", "done", "awarded", "awarded"]
    done = stage.source.completion(names[1], "auction", awards[1])
    assert done is not None
    assert (done.cost_tokens, done.impact) == (33, 0.5)
    assert stage.source.holder(names[2]) == claims[2]
    assert stage.source.holder(names[3]) == budget
    # Whoever was thought gone and was not, has lost it.
    late = stage.source.complete(claims[0], 1, 1.0)
    assert not late.succeeded


def test_a_budget_claim_that_is_too_old_is_set_free(stage: Stage) -> None:
    name = stage.task()
    left_in_hand(stage, name, None, "gone")
    release(stage, -1)
    assert stage.source.tasks([name])[name].status == "awarded"
    assert release(stage, 1) >= 1
    assert stage.source.tasks([name])[name].status == "open"


def test_a_worker_looks_again_and_again_for_what_others_have_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a look that failed: nobody else may be there to do it."""
    monkeypatch.setattr("callmarket.bridge.fleet.agent.worker.RELEASE_EVERY_S", 0.01)
    between = between_source(stage)
    with running(worker(stage, Labour(), budget_claim_max=timedelta(microseconds=1))) as raised:
        until(lambda: stage.slot_status() == "offered")
        between.before["claims"] = raising(AWAY, 2)
        name = stage.task()
        left_in_hand(stage, name, None, "gone")
        until(lambda: stage.source.tasks([name])[name].status == "open")
        left_in_hand(stage, second := stage.task(2), None, "gone")
        until(lambda: stage.source.tasks([second])[second].status == "open")
    assert raised == []
