"""A worker and its slot: what is won is worked once, settled once, and nobody pays twice.

Goal: every promise of `bridge.fleet.agent.worker`, by both ways to a market. Method: workers in threads, a clock that
the test sets, and work that begins and ends when the test says so.
"""

import math
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callmarket import Client, Exchange, ManualClock
from callmarket.bridge.api.errors import Invalid, Refused, Unavailable
from callmarket.bridge.api.market import Market
from callmarket.bridge.fleet.agent import Assignment, Finished, Worker, WorkerSettings, WorkFailed
from callmarket.bridge.fleet.agent.backoff import PAUSE_FIRST_S, PAUSE_S_MAX
from callmarket.bridge.fleet.tasks.model import Task
from callmarket.bridge.fleet.tasks.source import Backlog
from callmarket.bridge.fleet.tasks.tables import WorkTables
from callmarket.engine.reject import Reject
from tests.support.small_market import until
from tests.support.work_stage import LEASE, TOKENS, Between, Labour, Stage, raising, running


def worker(stage: Stage, labour: Labour, worker_id: str = "w", **said: Any) -> Worker:
    return Worker(stage.market, stage.source, labour, stage.settings(worker_id, **said))


def test_a_won_slot_is_worked_settled_and_offered_again(stage: Stage) -> None:
    """AUC-15: the winning bid is read, its task worked, and the wallet pays the clearing price."""
    labour, task_id = Labour(), stage.task()
    bid_id = stage.bid(task_id)
    one = worker(stage, labour, reserve_price_tokens=40, lease=LEASE / 2)
    with running(one) as raised:
        stage.call_until_won(bid_id)
        until(lambda: one.status().counts["settled"] == 1)
        until(lambda: stage.slot_status() == "offered")
    assert raised == []
    (award,) = stage.owner.awards(stage.market_id).items
    assert (award.status, award.actual_cost_tokens, award.actual_impact) == ("settled", 60, 1.5)
    assert award.lease_until - award.slot_started_at == LEASE / 2
    (assignment,) = labour.begun
    assert (assignment.price_tokens, assignment.lease_until) == (40, award.lease_until)
    assert assignment.task.task_id == task_id
    assert stage.source.tasks([task_id])[task_id].status == "done"
    completion = stage.source.completion(task_id, "auction", award.award_id)
    assert completion is not None
    assert (completion.cost_tokens, completion.impact, completion.worker_id) == (60, 1.5, stage.settings().worker_id)
    assert (stage.available_tokens, stage.paid_tokens) == (TOKENS - 40, 40)
    assert one.status().slots[stage.slot_id].doing == "ended"
    # Nobody is there to work it, so it is not on sale.
    assert stage.slot_status() == "withdrawn"


def test_a_worker_does_one_task_after_the_other(stage: Stage) -> None:
    labour = Labour()
    with running(worker(stage, labour)) as raised:
        for number in range(1, 5):
            stage.call_until_won(stage.bid(stage.task(number)))
        until(lambda: stage.source.counts(stage.quest_id)["done"] == 4)
    assert raised == []
    assert len(set(labour.award_ids)) == 4


@pytest.mark.parametrize(
    ("wrong", "cost_tokens"),
    [
        (RuntimeError("no"), 0),
        (WorkFailed("no", 25), 25),
        (WorkFailed("no", -1), 0),
        (Finished(1, math.nan), 0),
        (Finished(-1, 1.0), 0),
        (None, 0),
        (SystemExit(), 0),
    ],
)
def test_work_that_fails_gives_everything_back(stage: Stage, wrong: Any, cost_tokens: int) -> None:
    """SET-4: the award is voided, the whole hold is back, and the task may bid again."""

    def fail(_: Assignment) -> Any:
        if isinstance(wrong, BaseException):
            raise wrong
        return wrong

    task_id = stage.task()
    award_id = stage.award(task_id)
    one = worker(stage, Labour(result=fail))
    with running(one) as raised:
        stage.until_award(award_id, "voided")
    assert raised == []
    assert stage.available_tokens == TOKENS
    task = stage.source.tasks([task_id])[task_id]
    assert (task.status, task.failed_attempts) == ("open", 1)
    completion = stage.source.completion(task_id, "auction", award_id)
    assert completion is not None
    assert (completion.succeeded, completion.cost_tokens) == (False, cost_tokens)
    assert completion.reason
    assert one.status().counts["failed"] == one.status().counts["voided"] == 1


def test_after_some_attempts_a_task_has_failed_for_good(stage: Stage) -> None:
    def fail(_: Assignment) -> Any:
        raise RuntimeError("never")

    labour, task_id = Labour(result=fail), stage.task()
    with running(worker(stage, labour, attempts_max=2)):
        for attempt, status in enumerate(("open", "failed"), 1):
            stage.call_until_won(stage.bid(task_id))
            until(lambda: stage.source.tasks([task_id])[task_id].failed_attempts == attempt)  # noqa: B023
            until(lambda: stage.slot_status() == "offered")
            assert stage.source.tasks([task_id])[task_id].status == status
    assert stage.available_tokens == TOKENS


def test_work_can_say_that_another_try_would_not_help(stage: Stage) -> None:
    def fail(_: Assignment) -> Any:
        raise WorkFailed("impossible", again=False)

    task_id = stage.task()
    award_id = stage.award(task_id)
    with running(worker(stage, Labour(result=fail))):
        stage.until_award(award_id, "voided")
    assert stage.source.tasks([task_id])[task_id].status == "failed"


def test_a_task_that_another_has_is_voided_and_never_worked(stage: Stage) -> None:
    """Nobody pays twice: the budget pays for it already."""
    labour, task_id = Labour(), stage.task()
    assert stage.source.claim(task_id, "somebody", "budget", reservation_id=1) is not None
    award_id = stage.award(task_id)
    one = worker(stage, labour)
    with running(one):
        stage.until_award(award_id, "voided")
    assert labour.begun == []
    assert stage.available_tokens == TOKENS
    assert one.status().counts["turned_away"] == 1
    holder = stage.source.holder(task_id)
    assert holder is not None
    assert holder.worker_id == "somebody"


def test_an_award_for_a_task_that_nobody_knows_is_voided(stage: Stage) -> None:
    labour = Labour()
    award_id = stage.award("never-put")
    with running(worker(stage, labour)):
        stage.until_award(award_id, "voided")
    assert labour.begun == []


def test_a_task_that_no_slot_fits_waits(stage: Stage) -> None:
    """It is neither blocked nor failed; it stays open until a slot is cheap enough."""
    labour, task_id = Labour(), stage.task()
    bid_id = stage.bid(task_id, 30)
    with running(worker(stage, labour, reserve_price_tokens=31)):
        until(lambda: stage.slot_status() == "offered")
        for _ in range(3):
            assert stage.owner.clear_round(stage.market_id).awards == ()
    task = stage.source.tasks([task_id])[task_id]
    assert (task.status, task.blocked, task.failed_attempts) == ("open", False, 0)
    with running(worker(stage, labour, reserve_price_tokens=30)):
        stage.call_until_won(bid_id)
        until(lambda: stage.source.tasks([task_id])[task_id].status == "done")


def test_a_client_is_told_of_an_award_at_once(
    owner: Exchange, over_http: tuple[Client, WorkTables], module_clock: ManualClock
) -> None:
    """Who works for one bidder waits for its award instead of looking every hour; another's is seen after the wait."""
    client, tables = over_http
    stage, labour = Stage(owner, client, tables, "waiting", module_clock), Labour()
    one = worker(stage, labour, poll_s=3_600.0, wait_s=0.5, bidder_id=stage.quest_id)
    with running(one) as raised:
        stage.call_until_won(stage.bid(stage.task(1)))
        until(lambda: one.status().counts["settled"] == 1)
        owner.open_account("somebody")
        owner.mint("somebody", 1, "grant:initial")
        stage.source.put_tasks([Task("of-somebody", stage.quest_id, 0.5, 0.5)])
        until(lambda: stage.slot_status() == "offered")
        owner.place_bid(stage.market_id, "somebody", "of-somebody", 1)
        owner.clear_round(stage.market_id)
        until(lambda: one.status().counts["settled"] == 2)
    assert raised == []


def test_a_wait_that_is_not_answered_is_no_end(
    owner: Exchange, over_http: tuple[Client, WorkTables], module_clock: ManualClock
) -> None:
    """The market goes away between a look and the wait for an award, and comes back."""
    client, tables = over_http
    between = Between(client)
    stage, labour = Stage(owner, cast(Market, between), tables, "unanswered", module_clock), Labour()
    fail, waits = raising(Unavailable("away", retry_after_s=0.01), 3), 0

    def before_waiting() -> None:
        nonlocal waits
        # Each look is followed by a wait while the slot is on sale.
        if waits := waits + 1 if stage.slot_status() == "offered" else 0:
            fail()

    one = worker(stage, labour, poll_s=3_600.0, wait_s=0.5, bidder_id=stage.quest_id)
    with running(one) as raised:
        until(lambda: stage.slot_status() == "offered")
        between.before["awards"] = before_waiting
        until(lambda: waits > 3)
        between.before.clear()
        stage.call_until_won(stage.bid(stage.task()))
        until(lambda: one.status().counts["settled"] == 1)
    assert raised == []


# --- several workers, and a lease that runs out -----------------------------------------------------------------------


def test_of_two_workers_of_one_slot_one_works_an_award(stage: Stage) -> None:
    """The other leaves the award alone: it voids nothing that is worked."""
    labour = Labour(gated=True)
    award_id = stage.award(stage.task())
    looked = Between(stage.source)
    stage.source = cast(Backlog, looked)
    pair = [worker(stage, labour, name) for name in ("w1", "w2")]
    with running(*pair) as raised:
        labour.until_begun()
        # Who is turned away looks at who has the task, again and again.
        until(lambda: looked.calls["holder"] > 3)
        labour.gate.set()
        stage.until_award(award_id, "settled")
    assert raised == []
    assert labour.award_ids == [award_id]
    assert sum(one.status().counts["voided"] for one in pair) == 0
    assert stage.paid_tokens == 50


def test_a_stale_worker_loses_by_its_award(stage: Stage) -> None:
    """SLT-3: its lease ran out, the slot was sold again and worked by another; it settles nothing and goes on."""
    slow, quick = Labour(gated=True), Labour()
    first_task, second_task = stage.task(1), stage.task(2)
    first_award = stage.award(first_task)
    stale, fresh = worker(stage, slow, "stale"), worker(stage, quick, "fresh")
    with running(stale) as raised:
        slow.until_begun()
        stage.expire_leases()
        stage.owner.refund_unfilled()
        stage.until_award(first_award, "lapsed")
        second_award = stage.award(second_task)
        with running(fresh) as also_raised:
            stage.until_award(second_award, "settled")
        slow.gate.set()
        until(lambda: stale.status().counts["lost"] == 1)
    assert raised == also_raised == []
    assert slow.award_ids == [first_award]
    assert quick.award_ids == [second_award]
    assert stage.award_row(first_award).status == "lapsed"
    # Refunded, by this market's policy; only the second award was paid.
    assert stage.paid_tokens == 50


def test_a_lease_that_ran_out_while_working_is_lost_and_no_crash(stage: Stage) -> None:
    """SET-5: it is not settled, not worked again, and the next award is worked."""
    labour, task_id = Labour(gated=True), stage.task()
    award_id = stage.award(task_id)
    looked = Between(stage.market)
    stage.market = cast(Market, looked)
    one = worker(stage, labour)
    with running(one) as raised:
        labour.until_begun()
        stage.expire_leases()
        labour.gate.set()
        until(lambda: one.status().counts["lost"] > 0)
        seen = looked.calls["awards"]
        until(lambda: looked.calls["awards"] > seen + 5)
        # Until a sweep ends it, it is still there to be seen; nobody asks for it again and again.
        assert one.status().counts["lost"] == 1
        assert stage.award_row(award_id).status == "awarded"
        stage.owner.refund_unfilled()
        stage.call_until_won(stage.bid(stage.task(2)))
        until(lambda: one.status().counts["settled"] == 1)
    assert raised == []
    assert len(labour.begun) == 2
    assert stage.award_row(award_id).status == "lapsed"
    # The work was done, whoever pays for it.
    assert stage.source.tasks([task_id])[task_id].status == "done"


def test_each_slot_of_a_worker_works_by_itself(stage: Stage) -> None:
    labour = Labour(gated=True)
    slots = tuple(f"{stage.slot_id}-{number}" for number in range(3))
    awards = [stage.award(stage.task(number), slot) for number, slot in enumerate(slots)]
    one = worker(stage, labour, slot_ids=slots)
    with running(one) as raised:
        labour.until_begun(3)
        assert {status.doing for status in one.status().slots.values()} == {"working"}
        labour.gate.set()
        for award_id in awards:
            stage.until_award(award_id, "settled")
    assert raised == []
    assert sorted(labour.award_ids) == awards  # type: ignore[type-var]


def test_a_slot_that_is_not_free_is_offered_again_after_pauses_that_grow(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An award that nobody sweeps up keeps nobody busy; that the market answers meanwhile shortens no pause."""
    loop = worker(stage, Labour(), poll_s=0.01).slot(stage.slot_id)
    loop._poller.forget(stage.award(stage.task()))
    clock = SimpleNamespace(monotonic=lambda: clock.now_s, now_s=0.0)
    monkeypatch.setattr("callmarket.bridge.fleet.agent.slot.time", clock)
    pauses_s = []
    for _ in range(10):
        loop.step()
        pauses_s.append(loop._offer_at_s - clock.now_s)
        clock.now_s = loop._offer_at_s
    for number, pause_s in enumerate(pauses_s):
        most_s = min(PAUSE_S_MAX, PAUSE_FIRST_S * 2**number)
        assert most_s * 0.499 <= pause_s <= most_s * 1.001


def test_a_slot_that_may_not_be_on_offer_waits_for_no_award(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it has been offered again none may come, and a long poll would only keep it from being offered."""
    loop = worker(stage, Labour(), poll_s=30.0).slot(stage.slot_id)
    monkeypatch.setattr("callmarket.bridge.fleet.agent.slot.time", SimpleNamespace(monotonic=lambda: 100.0))
    asked: list[float] = []
    monkeypatch.setattr(loop._poller, "wait", lambda: asked.append(loop._offer_at_s))
    for offer_at_s, pause_s in ((0.0, 0.0), (100.0, 0.0), (107.5, 7.5), (1_000.0, 30.0), (math.inf, 30.0)):
        loop._offer_at_s = offer_at_s
        assert loop._wait_for_award() == pause_s
    assert asked == [107.5, 1_000.0, math.inf]


def test_a_wait_that_is_refused_is_made_again_when_the_market_says_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it says nothing, after pauses that grow; an answer ends them."""
    loop = worker(stage, Labour(), poll_s=30.0).slot(stage.slot_id)
    loop._offer_at_s = math.inf
    asks: list[float | None] = [7.5, None, None]

    def wait() -> bool:
        if asks:
            raise Unavailable("away", asks.pop(0))
        return False

    monkeypatch.setattr(loop._poller, "wait", wait)
    told_s, second_s, third_s = (loop._wait_for_award() for _ in range(3))
    assert told_s == 7.5
    assert PAUSE_FIRST_S <= second_s <= 2 * PAUSE_FIRST_S <= third_s <= 4 * PAUSE_FIRST_S
    assert loop._wait_for_award() == 30.0, "then it looks, as often as it was told"
    monkeypatch.setattr(loop._poller, "wait", lambda: True)
    assert loop._wait_for_award() == 0.0


def test_slots_of_another_provider_are_left_alone(stage: Stage) -> None:
    """Even where it has this slot's name: the price would be another's, and so is the work."""
    labour = Labour()
    stage.owner.open_account(f"other-{stage.provider_id}", "provider")
    mine, stage.provider_id = stage.provider_id, f"other-{stage.provider_id}"
    award_id = stage.award(stage.task())
    stage.provider_id = mine
    looked = Between(stage.market)
    stage.market = cast(Market, looked)
    with running(worker(stage, labour)) as raised:
        until(lambda: looked.calls["awards"] > 3)
    assert raised == []
    assert labour.begun == []
    assert stage.award_row(award_id).status == "awarded"


def test_nothing_is_missed_where_time_stands_still(stage: Stage) -> None:
    """Awards of other slots move the time from which it looks; its own may be of that very moment."""
    labour = Labour()
    looked = Between(stage.market)
    stage.market = cast(Market, looked)
    with running(worker(stage, labour, reserve_price_tokens=30)) as raised:
        until(lambda: stage.slot_status() == "offered")
        # The cheaper one of another is sold first.
        stage.owner.offer_slot(stage.market_id, f"{stage.slot_id}-b", provider_id=stage.provider_id)
        stage.call_until_won(stage.bid(stage.task(1), 20))
        seen = looked.calls["awards"]
        until(lambda: looked.calls["awards"] > seen + 2)
        bid_id = stage.bid(stage.task(2))
        stage.call_until_won(bid_id)
        until(lambda: stage.owner.bid(bid_id).status == "settled")
    assert raised == []
    assert len(labour.begun) == 1


# --- the end ---------------------------------------------------------------------------------------------------------


def test_stopped_after_the_work_in_hand(stage: Stage) -> None:
    labour = Labour(gated=True)
    award_id = stage.award(stage.task())
    one = worker(stage, labour)
    with running(one) as raised:
        labour.until_begun()
        one.stop()
        labour.gate.set()
    assert raised == []
    assert stage.award_row(award_id).status == "settled"
    assert stage.slot_status() == "settled", "it was offered again"


def test_a_worker_stopped_at_once_fails_its_task_and_voids_its_award(stage: Stage) -> None:
    """The work in hand fails and its award is voided, while the work still runs; its result counts no more."""
    labour, task_id = Labour(gated=True), stage.task()
    award_id = stage.award(task_id)
    one = worker(stage, labour)
    with running(one) as raised:
        labour.until_begun()
        one.stop(at_once=True)
        stage.until_award(award_id, "voided")
    assert raised == []
    assert labour.begun[0].ending()
    labour.gate.set()
    assert stage.source.tasks([task_id])[task_id].status == "open"
    assert stage.available_tokens == TOKENS


def test_an_award_that_comes_while_it_ends_is_given_back(stage: Stage) -> None:
    """Its bidder would pay for a lease in which nobody works."""
    labour = Labour(gated=True)
    two = (stage.slot_id, f"{stage.slot_id}-b")
    first = stage.award(stage.task(1))
    one = worker(stage, labour, slot_ids=two, poll_s=3_600.0)
    with running(one) as raised:
        labour.until_begun()
        until(lambda: any(row.slot_id == two[1] for row in stage.owner.slots(stage.market_id, "offered").items))
        # The other slot looks again in an hour only, so this award is not begun.
        bid_id = stage.bid(stage.task(2))
        stage.call_until_won(bid_id)
        one.stop()
        labour.gate.set()
    assert raised == []
    assert stage.award_row(first).status == "settled"
    assert stage.owner.bid(bid_id).status == "voided"
    assert len(labour.begun) == 1


def test_a_worker_that_ends_leaves_an_award_that_another_works(stage: Stage) -> None:
    """It shares the slot, so it cannot take it off sale; the work goes on, and is paid."""
    labour = Labour(gated=True)
    looked = Between(stage.source)
    working, leaving = (
        worker(stage, labour, "w1"),
        Worker(stage.market, cast(Backlog, looked), labour, stage.settings("w2")),
    )
    award_id = stage.award(stage.task())
    with running(working) as raised:
        labour.until_begun()
        with running(leaving) as also_raised:
            until(lambda: looked.calls["holder"] > 1)
        assert stage.award_row(award_id).status == "awarded"
        labour.gate.set()
        stage.until_award(award_id, "settled")
    assert raised == also_raised == []
    assert labour.award_ids == [award_id]


def test_an_award_that_is_found_while_it_ends_is_not_begun(stage: Stage) -> None:
    labour, asked = Labour(), Between(stage.market)
    award_id = stage.award(stage.task())
    stage.market = cast(Market, asked)
    one = worker(stage, labour)
    asked.after["awards"] = one.stop
    with running(one) as raised:
        stage.until_award(award_id, "voided")
    assert raised == []
    assert labour.begun == []


def test_errors_that_only_an_operator_can_mend_are_raised(stage: Stage) -> None:
    settings = stage.settings()
    wrong = WorkerSettings(
        worker_id="w", market_id=f"no-{stage.market_id}", slot_ids=settings.slot_ids, provider_id=settings.provider_id
    )
    with pytest.raises(Refused) as refused:
        Worker(stage.market, stage.source, Labour(), wrong).run()
    assert refused.value.reason is Reject.MARKET_UNKNOWN


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"slot_ids": ()}, "slot_ids"),
        ({"slot_ids": ("a", "a")}, "slot_ids"),
        ({"slot_ids": tuple(f"s{number}" for number in range(65))}, "slot_ids"),
        ({"slot_ids": ("a b",)}, "slot_ids[0]"),
        ({"provider_id": "~"}, "provider_id"),
        ({"bidder_id": ""}, "bidder_id"),
        ({"reserve_price_tokens": -1}, "reserve_price_tokens"),
        ({"lease": LEASE * 0}, "lease"),
        ({"budget_claim_max": -LEASE}, "budget_claim_max"),
        ({"attempts_max": 0}, "attempts_max"),
        ({"poll_s": 0.0}, "poll_s"),
        ({"poll_s": math.nan}, "poll_s"),
        ({"wait_s": 61.0}, "wait_s"),
    ],
)
def test_a_wrong_worker_setting_is_named_in_the_error(said: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        settings(**said).check()
    assert refused.value.field == field


def settings(**said: Any) -> WorkerSettings:
    return WorkerSettings(**{"worker_id": "w", "market_id": "m", "slot_ids": ("s",), "provider_id": "p"} | said)


@pytest.mark.parametrize(
    ("field", "bounds", "beyond"),
    [
        ("slot_ids", [("s",), tuple(f"s{number}" for number in range(64))], []),
        ("reserve_price_tokens", [None, 0, 1], [-1]),
        ("lease", [None, timedelta(microseconds=1)], [timedelta(0)]),
        ("attempts_max", [1, 1_000], [0, 1_001]),
        ("poll_s", [0.01, 3_600.0], [0.009, 3_600.1]),
        ("wait_s", [0.0, 60.0], [-0.1, 60.1]),
    ],
)
def test_settings_may_be_as_large_and_as_small_as_their_bounds(
    field: str, bounds: list[Any], beyond: list[Any]
) -> None:
    for value in bounds:
        settings(**{field: value}).check()
    for value in beyond:
        with pytest.raises(Invalid) as refused:
            settings(**{field: value}).check()
        assert (refused.value.field, refused.value.value) == (field, value)
