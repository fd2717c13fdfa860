"""What every source of tasks promises, on the tables and in memory.

Goal: a task is in one worker's hand at most, a claim ends once, and nobody is told otherwise. Method: examples of each
promise of `bridge.fleet.tasks.source`, and random streams in which both sources must say the same.
"""

import math
import random
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from callmarket.bridge.api.errors import ExchangeError, Invalid
from callmarket.bridge.fleet.tasks import checks
from callmarket.bridge.fleet.tasks.memory import MemoryWork
from callmarket.bridge.fleet.tasks.model import Claim, Quest, Task
from callmarket.bridge.fleet.tasks.source import Backlog
from callmarket.bridge.fleet.tasks.tables import WorkTables
from callmarket.engine.limits import SEQ_MAX, TOKENS_MAX
from tests.support.small_market import in_threads

QUEST = Quest("q", "wallet-q")


def task(task_id: str = "t", **said: Any) -> Task:
    return Task(**{"task_id": task_id, "quest_id": "q", "importance": 0.5, "downstream_impact": 0.5} | said)


def ask(work: Backlog, task_id: str, worker_id: str, award_id: int | None, reservation_id: int = 1) -> Claim | None:
    """Ask for a task by an award, or by a reservation where there is none."""
    if award_id is None:
        return work.claim(task_id, worker_id, "budget", reservation_id=reservation_id)
    return work.claim(task_id, worker_id, "auction", award_id)


def claimed(
    work: Backlog, task_id: str = "t", worker_id: str = "w", award_id: int | None = 7, reservation_id: int = 1
) -> Claim:
    claim = ask(work, task_id, worker_id, award_id, reservation_id)
    assert claim is not None
    return claim


@pytest.fixture
def filled(work: Backlog) -> Backlog:
    """One quest with three open tasks."""
    work.put_quests([QUEST])
    work.put_tasks([task(), task("u", task_type="proof"), task("v", blocked=True)])
    return work


# --- what a platform fills in ----------------------------------------------------------------------------------------


def test_tasks_are_read_back_as_they_were_put(work: Backlog) -> None:
    """Every field comes back as it was given."""
    quests = [Quest("a", "wallet-a", 0.25), Quest("b", "wallet-b")]
    tasks = [
        Task("t1", "a", 0.1, 1 / 3, 0.7, 2**53 - 1, "proof", "h-001", True),
        Task("t2", "b", 0.0, 1_000_000.0),
    ]
    work.put_quests(quests)
    work.put_tasks(tasks)
    assert list(work.quests()) == quests
    assert list(work.open_tasks()) == tasks
    assert list(work.open_tasks("b")) == tasks[1:]
    assert work.tasks(["t2", "none", "t1"]) == {"t1": tasks[0], "t2": tasks[1]}


def test_to_put_again_replaces_what_is_said_and_not_what_has_happened(filled: Backlog) -> None:
    filled.fail(claimed(filled), "no")
    claimed(filled, award_id=8)
    filled.put_tasks([task(importance=0.9, blocked=True)])
    assert filled.tasks(["t"])["t"] == task(importance=0.9, blocked=True, status="awarded", failed_attempts=1)
    filled.put_quests([Quest("q", "other", 1.0)])
    assert list(filled.quests()) == [Quest("q", "other", 1.0)]
    filled.put_quests([Quest("p", "third")])
    assert list(filled.quests()) == [Quest("p", "third"), Quest("q", "other", 1.0)], "what is not named stays"


WRONG_TASKS = [
    ({"task_id": ""}, "tasks[1].task_id"),
    ({"task_id": "with space"}, "tasks[1].task_id"),
    ({"task_id": "x" * 129}, "tasks[1].task_id"),
    ({"task_id": "t"}, "tasks[1].task_id"),
    ({"quest_id": "\x00"}, "tasks[1].quest_id"),
    ({"importance": math.nan}, "tasks[1].importance"),
    ({"importance": -0.1}, "tasks[1].importance"),
    ({"importance": True}, "tasks[1].importance"),
    ({"downstream_impact": math.inf}, "tasks[1].downstream_impact"),
    ({"tractability": 1e7}, "tasks[1].tractability"),
    ({"estimated_cost_tokens": 0}, "tasks[1].estimated_cost_tokens"),
    ({"estimated_cost_tokens": 2**53}, "tasks[1].estimated_cost_tokens"),
    ({"task_type": "x" * 129}, "tasks[1].task_type"),
    ({"artifact_id": "a\x00"}, "tasks[1].artifact_id"),
    ({"blocked": 1}, "tasks[1].blocked"),
    ({"status": "done"}, "tasks[1].status"),
    ({"quest_id": "none"}, "quest_id"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG_TASKS)
def test_one_wrong_task_is_named_and_none_is_written(work: Backlog, wrong: dict[str, Any], field: str) -> None:
    work.put_quests([QUEST])
    with pytest.raises(Invalid) as refused:
        work.put_tasks([task(), task(**{"task_id": "u"} | wrong)])
    assert refused.value.field == field
    assert list(work.open_tasks()) == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (Quest("", "a"), "quests[0].quest_id"),
        (Quest("q", "ä"), "quests[0].account_id"),
        (Quest("q", "a", -1.0), "quests[0].bid_fraction"),
        (Quest("q", "a", 10.1), "quests[0].bid_fraction"),
    ],
)
def test_a_wrong_quest_is_named(work: Backlog, wrong: Quest, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        work.put_quests([wrong])
    assert refused.value.field == field
    assert list(work.quests()) == []


def test_batches_are_bounded(work: Backlog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "BATCH_MAX", 2)
    for ask in (
        lambda: work.put_tasks([task(str(number)) for number in range(3)]),
        lambda: work.put_quests([Quest(str(number), "a") for number in range(3)]),
        lambda: work.tasks(["a", "b", "c"]),
        lambda: work.block(["a", "b", "c"]),
    ):
        with pytest.raises(Invalid, match="at most 2 at a time"):
            ask()


def test_values_at_their_bounds_are_accepted(filled: Backlog, monkeypatch: pytest.MonkeyPatch) -> None:
    """As is what a market can have of each: ids, tokens, impact, and a name."""
    by_award = claimed(filled, worker_id="x" * 128, award_id=SEQ_MAX)
    done = filled.complete(by_award, TOKENS_MAX, checks.IMPACT_MAX)
    assert (done.award_id, done.cost_tokens, done.impact) == (SEQ_MAX, TOKENS_MAX, checks.IMPACT_MAX)
    by_budget = claimed(filled, "u", award_id=None, reservation_id=SEQ_MAX)
    failed = filled.fail(by_budget, "x" * 600, cost_tokens=TOKENS_MAX)
    assert (failed.cost_tokens, failed.reason) == (TOKENS_MAX, "x" * 512)
    monkeypatch.setattr(checks, "BATCH_MAX", 2)
    assert filled.block(["t", "u"]) == 2
    filled.put_quests([QUEST, Quest("p", "wallet-p", checks.BID_FRACTION_MAX)])


def test_tasks_can_be_blocked_and_unblocked(filled: Backlog) -> None:
    assert filled.block(["t", "v", "none"]) == 2
    assert [one.task_id for one in filled.open_tasks() if one.blocked] == ["t", "v"]
    assert filled.unblock(["t", "v"]) == 2
    assert not any(one.blocked for one in filled.open_tasks())


def test_lists_go_on_page_after_page(work: Backlog) -> None:
    work.put_quests([QUEST, Quest("r", "wallet-r")])
    work.put_tasks([task(f"t{number}", quest_id="qr"[number % 2]) for number in range(7)])
    claimed(work, "t2")
    seen, after = [], None
    while True:
        page = work.list_tasks("q", "open", limit=2, after=after)
        seen += [one.task_id for one in page.items]
        after = page.next
        if after is None:
            break
    assert seen == ["t0", "t4", "t6"]
    assert len(work.list_tasks().items) == 7
    assert [one.task_id for one in work.list_tasks(status="awarded").items] == ["t2"]
    for wrong in ({"status": "lost"}, {"limit": 0}, {"after": "made-up"}, {"quest_id": " "}):
        with pytest.raises(Invalid):
            work.list_tasks(**wrong)  # type: ignore[arg-type]


def test_tasks_are_counted_by_status(filled: Backlog) -> None:
    assert filled.counts() == {"open": 3, "awarded": 0, "done": 0, "failed": 0}
    filled.complete(claimed(filled, "t"), 1, 0.0)
    filled.fail(claimed(filled, "u", award_id=8), "no", again=False)
    claimed(filled, "v", award_id=9)
    assert filled.counts("q") == {"open": 0, "awarded": 1, "done": 1, "failed": 1}
    assert filled.counts("none") == {"open": 0, "awarded": 0, "done": 0, "failed": 0}


# --- claims ----------------------------------------------------------------------------------------------------------


def test_a_claim_is_returned_again_to_its_worker_and_to_no_other(filled: Backlog) -> None:
    claim = claimed(filled)
    assert claimed(filled) == claim == filled.holder("t")
    assert filled.tasks(["t"])["t"].status == "awarded"
    for worker_id, award_id in (("other", 7), ("w", 8), ("w", 6), ("w", None), ("other", None)):
        assert ask(filled, "t", worker_id, award_id) is None
    assert filled.claims("w") == [claim] == filled.claims()
    assert filled.claims("other") == []


def test_a_claim_of_the_budget_is_returned_again_by_its_own_reservation_only(filled: Backlog) -> None:
    """Who has two reservations for a task has it by one: by the other it is neither told again nor ended."""
    claim = claimed(filled, award_id=None, reservation_id=4)
    assert claimed(filled, award_id=None, reservation_id=4) == claim == filled.holder("t")
    for worker_id, award_id, reservation_id in (("w", None, 5), ("w", None, 3), ("other", None, 4), ("w", 4, 4)):
        assert ask(filled, "t", worker_id, award_id, reservation_id) is None
    for reservation_id in (5, 3):
        with pytest.raises(Invalid, match="claim"):
            filled.complete(msgspec.structs.replace(claim, reservation_id=reservation_id), 1, 1.0)
    assert filled.holder("t") == claim


def test_an_unknown_task_is_not_claimed(filled: Backlog) -> None:
    assert ask(filled, "none", "w", None) is None
    assert filled.holder("none") is None
    assert filled.completion("none", "budget", reservation_id=1) is None
    assert filled.done("none") is None


def test_a_task_that_has_ended_is_not_claimed(filled: Backlog) -> None:
    """A task that is done, or failed for good, is never worked again."""
    filled.complete(claimed(filled, "t"), 1, 1.0)
    filled.fail(claimed(filled, "u", award_id=8), "no", again=False)
    for task_id in ("t", "u"):
        assert ask(filled, task_id, "w", None, 99) is None
        assert ask(filled, task_id, "w", 99) is None


def test_an_award_that_is_not_newer_is_fenced_off(filled: Backlog) -> None:
    """The award's id is the fencing token: a stale worker gets the task neither again nor after a newer award."""
    filled.fail(claimed(filled, award_id=7), "died")
    assert filled.claim("t", "w", "auction", 7) is None
    assert filled.claim("t", "stale", "auction", 6) is None
    # The budget has a fence of its own, and leaves this one as it is.
    filled.fail(claimed(filled, award_id=None), "no")
    assert filled.claim("t", "w", "auction", 7) is None
    assert claimed(filled, award_id=8).award_id == 8


def test_a_reservation_that_is_not_newer_is_fenced_off(filled: Backlog) -> None:
    """As an award: who asks again after the end of its claim, or comes after a newer reservation, gets nothing."""
    filled.fail(claimed(filled, award_id=None, reservation_id=7), "died")
    assert ask(filled, "t", "w", None, 7) is None
    assert ask(filled, "t", "stale", None, 6) is None
    filled.fail(claimed(filled, award_id=3), "no")
    assert ask(filled, "t", "w", None, 7) is None
    assert claimed(filled, award_id=None, reservation_id=8).reservation_id == 8


@pytest.mark.parametrize(
    ("task_id", "worker_id", "payer", "award_id", "reservation_id", "field"),
    [
        ("", "w", "budget", None, 1, "task_id"),
        ("t", "a b", "budget", None, 1, "worker_id"),
        ("t", "w", "barter", None, None, "payer"),
        ("t", "w", "budget", 7, 1, "award_id"),
        ("t", "w", "budget", None, None, "reservation_id"),
        ("t", "w", "budget", None, 0, "reservation_id"),
        ("t", "w", "auction", None, None, "award_id"),
        ("t", "w", "auction", 0, None, "award_id"),
        ("t", "w", "auction", 7, 1, "reservation_id"),
    ],
)
def test_a_wrong_claim_is_named(
    filled: Backlog,
    task_id: str,
    worker_id: str,
    payer: Any,
    award_id: int | None,
    reservation_id: int | None,
    field: str,
) -> None:
    with pytest.raises(Invalid) as refused:
        filled.claim(task_id, worker_id, payer, award_id, reservation_id)
    assert refused.value.field == field
    assert filled.claims() == []


@pytest.mark.parametrize("task_id", ["t", "u", "v"])
def test_of_concurrent_claims_on_a_task_one_succeeds(filled: Backlog, task_id: str) -> None:
    """Threads that ask at the same moment, by award and by budget: one claim, whoever has it."""
    got: list[Claim | None] = []

    def race(number: int) -> None:
        got.append(ask(filled, task_id, f"w{number}", number if number % 2 else None, number + 1))

    assert in_threads([lambda n=n: race(n) for n in range(12)]) == []
    (winner,) = [claim for claim in got if claim is not None]
    assert filled.holder(task_id) == winner


# --- ends ------------------------------------------------------------------------------------------------------------


def test_a_task_is_completed_once_and_later_outcomes_are_ignored(filled: Backlog) -> None:
    claim = claimed(filled)
    done = filled.complete(claim, 640, 1 / 3)
    assert (done.succeeded, done.cost_tokens, done.impact, done.award_id, done.reason) == (True, 640, 1 / 3, 7, "")
    # Whatever is said later, and by however many.
    assert filled.complete(claim, 1, 0.0) == done
    assert filled.fail(claim, "too late") == done
    assert filled.completion("t", "auction", 7) == done == filled.done("t")
    assert filled.tasks(["t"])["t"].status == "done"
    assert filled.holder("t") is None


def test_failed_and_tried_again_or_not(filled: Backlog) -> None:
    first = claimed(filled)
    failed = filled.fail(first, "a\x00reason" + "x" * 600, cost_tokens=3)
    assert (failed.succeeded, failed.cost_tokens, failed.impact, len(failed.reason)) == (False, 3, 0.0, 512)
    assert failed.reason.startswith("areason")
    assert filled.tasks(["t"])["t"] == task(failed_attempts=1)
    second = claimed(filled, award_id=8)
    # A stale worker ends nothing of who has the task now.
    assert filled.complete(first, 1, 1.0) == failed
    assert filled.holder("t") == second
    filled.fail(second, "no", again=False)
    assert filled.tasks(["t"])["t"] == task(status="failed", failed_attempts=2)


def test_two_claims_of_one_worker_are_two(filled: Backlog) -> None:
    """Each is known by what pays for it, before and after the other."""
    first = claimed(filled, award_id=None, reservation_id=4)
    failed = filled.fail(first, "died")
    second = claimed(filled, award_id=None, reservation_id=5)
    assert second != first
    assert filled.complete(first, 1, 1.0) == failed
    assert filled.done("t") is None
    done = filled.complete(second, 5, 1.0)
    assert filled.completion("t", "budget", reservation_id=4) == failed
    assert filled.completion("t", "budget", reservation_id=5) == done == filled.done("t")
    assert filled.completion("t", "budget", reservation_id=6) is None
    assert filled.completion("t", "auction", 5) is None


def test_a_claim_that_was_never_given_is_refused(filled: Backlog) -> None:
    claim = claimed(filled)
    for wrong in (
        msgspec.structs.replace(claim, worker_id="other"),
        msgspec.structs.replace(claim, award_id=9),
        msgspec.structs.replace(claim, claimed_at=claim.claimed_at + timedelta(microseconds=1)),
        msgspec.structs.replace(claim, task_id="none"),
    ):
        with pytest.raises(Invalid, match="claim"):
            filled.complete(wrong, 1, 1.0)
    assert filled.holder("t") == claim


@pytest.mark.parametrize(
    ("cost_tokens", "impact", "field"),
    [(-1, 0.0, "cost_tokens"), (2**53, 0.0, "cost_tokens"), (1.5, 0.0, "cost_tokens")]
    + [(1, impact, "impact") for impact in (math.nan, math.inf, -1.0, 1e10, 10**400, True)],
)
def test_a_wrong_outcome_is_named(filled: Backlog, cost_tokens: Any, impact: float, field: str) -> None:
    claim = claimed(filled)
    with pytest.raises(Invalid) as refused:
        filled.complete(claim, cost_tokens, impact)
    assert refused.value.field == field
    assert filled.holder("t") == claim


def test_of_concurrent_outcomes_of_a_claim_one_counts(filled: Backlog) -> None:
    claim = claimed(filled)
    ends: list[Any] = []
    works = [lambda n=n: ends.append(filled.complete(claim, n, 1.0)) for n in range(6)]
    works += [lambda: ends.append(filled.fail(claim, "no")) for _ in range(6)]
    assert in_threads(works) == []
    assert len(ends) == 12
    assert all(end == ends[0] for end in ends)


def test_the_mean_cost_is_that_of_finished_work_by_type(filled: Backlog) -> None:
    """BRG-2: the estimated cost is the mean of similar finished work."""
    assert filled.mean_cost_tokens() == {}
    filled.put_tasks([task("u2", task_type="proof")])
    for award_id, (task_id, tokens) in enumerate([("t", 30), ("u", 100), ("u2", 300)], 1):
        filled.complete(claimed(filled, task_id, award_id=award_id), tokens, 1.0)
    filled.fail(claimed(filled, "v", award_id=9), "no", cost_tokens=10**6)
    means = filled.mean_cost_tokens()
    assert means["proof"] == 200
    assert means[""] == pytest.approx(430 / 3)


# --- both say the same -----------------------------------------------------------------------------------------------


def anything(rng: random.Random, work: Backlog, claims: list[Claim | None]) -> Any:
    """One random call; what it says, without times."""
    task_id, worker_id = rng.choice("tuvwx"), rng.choice("ab")
    award_id, reservation_id = rng.choice([None, None, *range(1, 30)]), rng.randrange(1, 60)
    claim_no = rng.randrange(len(claims) + 1)
    cost, again = rng.randrange(100), rng.random() < 0.7
    match rng.randrange(10):
        case 0 | 1 | 2:
            claims.append(ask(work, task_id, worker_id, award_id, reservation_id))
            return claims[-1]
        case 3 if claim_no < len(claims) and (claim := claims[claim_no]):
            return work.complete(claim, cost, cost / 7)
        case 4 | 5 if claim_no < len(claims) and (claim := claims[claim_no]):
            return work.fail(claim, "no", cost_tokens=cost, again=again)
        case 6:
            return work.put_tasks([task(task_id, importance=cost / 100, task_type=worker_id)])
        case 7:
            return work.block([task_id, "none"]) if again else work.unblock([task_id])
        case 8:
            return work.done(task_id)
        case _:
            if award_id is None:
                return work.completion(task_id, "budget", reservation_id=reservation_id)
            return work.completion(task_id, "auction", award_id)


def whole(work: Backlog) -> Any:
    return work.list_tasks(), work.counts(), work.claims(), work.claims("a"), work.open_tasks(), work.quests()


def timeless(said: Any) -> Any:
    """Without the times, which are each source's own."""
    fields = msgspec.to_builtins(said)
    if isinstance(fields, list | tuple):
        return [timeless(one) for one in fields]
    if isinstance(fields, dict):
        return {name: timeless(one) for name, one in fields.items() if not name.endswith("_at")}
    return fields


def test_tables_and_memory_say_the_same(tables: WorkTables, seed: int) -> None:
    """The naive one beside the other, over a random stream: every answer, every error, and all that can be listed."""
    sources: tuple[Backlog, Backlog] = (tables, MemoryWork())
    claims: tuple[list[Claim | None], list[Claim | None]] = ([], [])
    for source in sources:
        source.put_quests([QUEST])
    for step in range(400):
        told = []
        for source, mine in zip(sources, claims, strict=True):
            rng = random.Random(f"{seed}-{step}")
            try:
                said = anything(rng, source, mine)
            except ExchangeError as error:
                said = repr(error)
            told.append((timeless(said), timeless(whole(source))))
        assert told[0] == told[1], step
        assert sources[0].mean_cost_tokens() == pytest.approx(sources[1].mean_cost_tokens())
