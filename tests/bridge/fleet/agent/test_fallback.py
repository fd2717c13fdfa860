"""The budget pays while the auction cannot: one switch, awards first, and never both for one task.

Method: a budget and services that note what they are asked, as a platform has them; the market, the source and the
worker are the real ones.
"""

import logging
from itertools import count
from typing import Any, cast

import pytest

from callmarket.bridge.api.errors import Unavailable
from callmarket.bridge.api.market import Market
from callmarket.bridge.fleet.agent import Assignment, Fallback, Worker, WorkFailed
from callmarket.bridge.fleet.tasks.model import Task
from tests.support.small_market import until
from tests.support.work_stage import TOKENS, Between, Labour, Stage, raising, running

AWAY = Unavailable("away", retry_after_s=0.02)


class Platform:
    """Health, services and budget of a platform with one queue and one purse."""

    def __init__(self, *queue: str, purse_tokens: int = 1_000) -> None:
        self.queue = list(queue)
        self.purse_tokens = purse_tokens
        self.is_usable = False
        self.reserved: dict[int, str] = {}
        self._ids = count(1)
        self.spent: list[tuple[str, int]] = []
        self.asked: list[int] = []

    def usable(self) -> bool:
        return self.is_usable

    def next_task(self, _: str) -> str | None:
        return self.queue.pop(0) if self.queue else None

    def reserve(self, task: Task, worker_id: str) -> int | None:
        if self.purse_tokens < 100:
            return None
        self.purse_tokens -= 100
        reservation_id = next(self._ids)
        self.reserved[reservation_id] = task.task_id
        return reservation_id

    def spend(self, reservation_id: int, cost_tokens: int) -> None:
        self.asked.append(reservation_id)
        task_id = self.reserved.pop(reservation_id, None)
        if task_id is not None:
            self.purse_tokens += 100 - cost_tokens
            self.spent.append((task_id, cost_tokens))


def worker(stage: Stage, labour: Labour, platform: Platform, worker_id: str = "w", **said: Any) -> Worker:
    fallback = Fallback(platform, platform, platform)
    return Worker(stage.market, stage.source, labour, stage.settings(worker_id, **said), fallback=fallback)


def test_while_the_market_is_away_the_budget_pays(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Which of both is active is to be seen, and said when it changes; when the market is back, it is the auction."""
    away = Between(stage.market)
    away.before["awards"] = raising(AWAY, 10**6)
    stage.market = cast(Market, away)
    labour, task_id = Labour(), stage.task()
    platform = Platform(task_id)
    caplog.set_level(logging.WARNING, "callmarket.bridge.fleet.agent")
    with running(one := worker(stage, labour, platform)) as raised:
        until(lambda: platform.spent == [(task_id, 60)])
        assert one.active == one.status().active == "budget"
        assert stage.source.tasks([task_id])[task_id].status == "done"
        completion = stage.source.completion(task_id, "budget", reservation_id=1)
        assert completion is not None
        assert (completion.cost_tokens, completion.payer) == (60, "budget")
        assert (labour.begun[0].price_tokens, labour.begun[0].lease_until) == (None, None)
        platform.is_usable = True
        away.before.clear()
        bid_id = stage.bid(stage.task(2))
        stage.call_until_won(bid_id)
        until(lambda: stage.owner.bid(bid_id).status == "settled")
        assert one.active == "auction"
    assert raised == []
    assert platform.purse_tokens == 1_000 - 60
    said = [record.message for record in caplog.records if "is paid by the" in record.message]
    assert [words.split(" is paid by the ")[1] for words in said] == ["budget from now on", "auction from now on"]


def test_an_award_comes_before_the_budget(stage: Stage) -> None:
    """AUC-15: winning bids are read before `services.next_task` is asked."""
    labour, won, queued = Labour(), stage.task(1), stage.task(2)
    award_id = stage.award(won)
    platform = Platform(queued)
    with running(worker(stage, labour, platform)) as raised:
        until(lambda: len(platform.spent) == 1)
    assert raised == []
    assert labour.award_ids == [award_id, None]
    assert stage.award_row(award_id).status == "settled"


def test_the_services_are_not_asked_while_the_auction_is_usable(stage: Stage) -> None:
    labour, platform = Labour(), Platform(stage.task())
    platform.is_usable = True
    asked = Between(stage.market)
    stage.market = cast(Market, asked)
    with running(worker(stage, labour, platform)):
        until(lambda: asked.calls["awards"] > 5)
    assert labour.begun == []
    assert len(platform.queue) == 1


def test_the_slot_stays_on_sale_while_the_budget_pays(stage: Stage) -> None:
    """Else no round could sell anything, and the auction would never be usable again."""
    labour, platform = Labour(gated=True), Platform(stage.task())
    with running(worker(stage, labour, platform)):
        labour.until_begun()
        assert stage.slot_status() == "offered"
        bid_id = stage.bid(stage.task(2))
        stage.call_until_won(bid_id)
        labour.gate.set()
        until(lambda: stage.owner.bid(bid_id).status == "settled")


def test_a_market_that_fails_before_the_end_is_reported_keeps_no_slot_waiting(stage: Stage) -> None:
    """What was done by award is settled when the market is back; meanwhile the budget pays for other work."""
    away = Between(stage.market)
    stage.market = cast(Market, away)
    labour, queued = Labour(gated=True), stage.task(2)
    award_id = stage.award(stage.task(1))
    platform = Platform(queued)
    with running(worker(stage, labour, platform)) as raised:
        labour.until_begun()
        away.before["awards"] = away.before["settle"] = raising(AWAY, 10**6)
        labour.gate.set()
        until(lambda: platform.spent == [(queued, 60)])
        assert stage.award_row(award_id).status == "awarded"
        away.before.clear()
        stage.until_award(award_id, "settled")
    assert raised == []
    assert labour.award_ids == [award_id, None]


def test_a_start_while_the_market_is_away_falls_back(stage: Stage) -> None:
    """Also where work by award was lost: its award is voided when the market is back."""
    task_id, queued = stage.task(1), stage.task(2)
    award_id = stage.award(task_id)
    assert stage.source.claim(task_id, stage.settings().worker_id, "auction", award_id) is not None
    away = Between(stage.market)
    away.before["awards"] = raising(AWAY, 10**6)
    stage.market = cast(Market, away)
    labour, platform = Labour(), Platform(queued)
    with running(worker(stage, labour, platform)) as raised:
        until(lambda: platform.spent == [(queued, 60)])
        away.before.clear()
        stage.until_award(award_id, "voided")
    assert raised == []
    assert labour.award_ids == [None]


def test_both_never_pay_for_one_task(stage: Stage) -> None:
    """The budget has it when its bid wins: the award is voided by the next worker, and the wallet pays nothing."""
    labour, task_id = Labour(gated=True), stage.task()
    platform = Platform(task_id)
    # Its own slot is too dear for the bid, which wins the other's.
    with running(worker(stage, labour, platform, worker_id="w1", reserve_price_tokens=TOKENS)) as raised:
        labour.until_begun()
        award_id = stage.award(task_id, f"{stage.slot_id}-b")
        other = worker(stage, labour, Platform(), worker_id="w2", slot_ids=(f"{stage.slot_id}-b",))
        with running(other) as also_raised:
            stage.until_award(award_id, "voided")
        labour.gate.set()
        until(lambda: len(platform.spent) == 1)
    assert raised == also_raised == []
    assert len(labour.begun) == 1
    assert (stage.available_tokens, stage.paid_tokens) == (TOKENS, 0)


def test_a_task_that_is_taken_costs_the_budget_nothing(stage: Stage) -> None:
    labour, task_id = Labour(), stage.task()
    assert stage.source.claim(task_id, "somebody", "auction", 1) is not None
    platform = Platform(task_id, "never-put")
    with running(one := worker(stage, labour, platform)):
        until(lambda: not platform.queue)
        until(lambda: one.status().counts["turned_away"] == 1)
    assert labour.begun == []
    assert platform.purse_tokens == 1_000
    assert platform.reserved == {}


@pytest.mark.parametrize("method", ["next_task", "reserve", "spend"])
def test_a_budget_that_does_not_answer_is_asked_again(stage: Stage, method: str) -> None:
    """The slot goes on, and what is set aside is ended once."""
    labour, task_id = Labour(), stage.task()
    # A platform offers again what nobody has reserved.
    platform = Platform(*[task_id] * 3) if method == "reserve" else Platform(task_id)
    between = Between(platform)
    between.before[method] = raising(AWAY, 2)
    asked = cast(Platform, between)
    one = Worker(stage.market, stage.source, labour, stage.settings(), fallback=Fallback(asked, asked, asked))
    with running(one) as raised:
        until(lambda: platform.spent == [(task_id, 60)])
    assert raised == []
    assert len(labour.begun) == 1
    assert (platform.purse_tokens, platform.reserved) == (940, {})


def test_no_task_is_worked_without_a_budget(stage: Stage) -> None:
    labour, task_id = Labour(), stage.task()
    platform = Platform(task_id, purse_tokens=99)
    with running(worker(stage, labour, platform)):
        until(lambda: not platform.queue)
    assert labour.begun == []
    assert stage.source.tasks([task_id])[task_id].status == "open"


def test_failed_work_costs_the_budget_what_it_burned(stage: Stage) -> None:
    def fail(_: Assignment) -> Any:
        raise WorkFailed("no", 35)

    task_id = stage.task()
    platform = Platform(task_id)
    with running(worker(stage, Labour(result=fail), platform)):
        until(lambda: platform.spent == [(task_id, 35)])
    assert stage.source.tasks([task_id])[task_id].status == "open"


def test_after_a_restart_the_reservation_is_given_back(stage: Stage) -> None:
    """Work by budget that was in hand when the process died has failed, and is not worked again by itself."""
    labour, task_id = Labour(), stage.task()
    platform = Platform()
    worker_id = stage.settings().worker_id
    reservation_id = platform.reserve(stage.source.tasks([task_id])[task_id], worker_id)
    assert stage.source.claim(task_id, worker_id, "budget", reservation_id=reservation_id) is not None
    with running(worker(stage, labour, platform)):
        until(lambda: platform.spent == [(task_id, 0)])
    assert labour.begun == []
    assert stage.source.tasks([task_id])[task_id].status == "open"


def test_only_a_reservation_is_given_back_after_a_crash(stage: Stage) -> None:
    """Of two claims that a dead worker has left, the one that an award pays is none of the budget's."""
    won, paid = stage.task(1), stage.task(2)
    award_id = stage.award(won)
    platform = Platform()
    platform.is_usable = True
    worker_id = stage.settings("w").worker_id
    assert stage.source.claim(won, worker_id, "auction", award_id=award_id) is not None
    reservation_id = platform.reserve(stage.source.tasks([paid])[paid], worker_id)
    assert stage.source.claim(paid, worker_id, "budget", reservation_id=reservation_id) is not None
    with running(worker(stage, Labour(), platform)) as raised:
        stage.until_award(award_id, "voided")
        until(lambda: platform.asked)
    assert raised == []
    assert platform.asked == [reservation_id]
    assert platform.spent == [(paid, 0)]
    assert platform.purse_tokens == 1_000
