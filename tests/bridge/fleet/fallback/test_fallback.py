"""Work that the daily budget pays: the next task, and both payers beside each other.

Goal: the best task that its quest can pay is next; and whatever order awards, budget, kills and retries come in, each
attempt is paid by one payer, and the budget has spent what its attempts have cost.
"""

import random
from collections import Counter

import pytest

from callmarket import ManualClock
from callmarket.bridge.config import Config
from callmarket.bridge.fleet.fallback import services as module
from callmarket.bridge.fleet.fallback.services import FallbackServices
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.bridge.fleet.tasks.model import Claim, Completion, Quest, Task
from tests.bridge.conftest import START_US
from tests.support.memory_tasks import MemoryTasks

CONFIG = Config(budget_day_tokens=1_000)
MINUTE_US = 60_000_000


def task(task_id: str, value: float, cost: int = 100, quest_id: str = "q", **more: object) -> Task:
    return Task(task_id, quest_id, value, 1.0, 1.0, estimated_cost_tokens=cost, **more)  # type: ignore[arg-type]


def test_the_best_task_that_its_quest_can_pay_is_next(budgets: DailyBudgets, clock: ManualClock) -> None:
    """BRG-4: by value; past what its quest cannot pay, what is reserved, blocked, or gone since the ranking."""
    source = MemoryTasks(
        [Quest("q", "wq"), Quest("r", "wr")],
        [
            task("dear", 9.0, 600),
            task("good", 1.0),
            task("fair", 0.5),
            task("other", 0.4, quest_id="r"),
            task("blocked", 99.0, blocked=True),
            task("worthless", 0.0, 1),
        ],
    )
    fallback = FallbackServices(source, budgets, clock, CONFIG)
    assert budgets.allocations() == []
    assert fallback.next_task("w") == "dear"
    assert [(one.quest, one.allocated_tokens) for one in budgets.allocations()] == [("q", 882), ("r", 118)]
    assert budgets.reserve("dear", "q", 600, "w")
    assert budgets.reserve("good", "q", 200, "w")
    assert fallback.next_task("w") == "other", "82 tokens are left to q: too few for the fair one"
    assert source.claim("other", "w", "auction", 1)
    assert fallback.next_task("w") is None
    source.put(task("late", 0.9, 80))
    assert fallback.next_task("w") is None, "the ranking holds for a minute"
    clock.set_us(clock() + MINUTE_US)
    assert fallback.next_task("w") == "late"


def test_a_task_that_is_blocked_after_the_ranking_is_not_next(budgets: DailyBudgets, clock: ManualClock) -> None:
    """BRG-4: blocked tasks never."""
    source = MemoryTasks([Quest("q", "w")], [task(f"t{number:02}", 1.0 - number / 100, 1) for number in range(50)])
    fallback = FallbackServices(source, budgets, clock, CONFIG)
    assert fallback.next_task("w") == "t00"
    source.block([f"t{number:02}" for number in range(45)])
    assert fallback.next_task("w") == "t45"


def test_a_task_handed_out_comes_again_with_the_next_ranking(budgets: DailyBudgets, clock: ManualClock) -> None:
    """Whoever was told of it may have died, or had no room for it; until then nobody else is sent for it."""
    source = MemoryTasks([Quest("q", "w")], [task("best", 1.0), task("second", 0.9)])
    fallback = FallbackServices(source, budgets, clock, CONFIG)
    for _ in range(2):
        assert [fallback.next_task("w") for _ in range(3)] == ["best", "second", None]
        clock.set_us(clock() + MINUTE_US - 1)
        assert fallback.next_task("w") is None
        clock.set_us(clock() + 1)


def test_a_new_day_is_split_without_yesterdays_spending(budgets: DailyBudgets, clock: ManualClock) -> None:
    """BRG-4: what was spent yesterday is no part of today's."""
    source = MemoryTasks([Quest("q", "w")], [task("a", 1.0, 1_000), task("b", 0.9, 1_000)])
    fallback = FallbackServices(source, budgets, clock, CONFIG)
    assert fallback.next_task("w") == "a"
    assert budgets.reserve("a", "q", 1_000, "w")
    assert fallback.next_task("w") is None
    clock.set_us(START_US + 16 * 3600 * 1_000_000)
    assert fallback.next_task("w") == "b"


def test_a_budget_of_0_gives_no_task(budgets: DailyBudgets, clock: ManualClock) -> None:
    """BRG-4: with `budget_day_tokens` 0 the backlog waits for the auction."""
    source = MemoryTasks([Quest("q", "w")], [task("a", 1.0, 1)])
    assert FallbackServices(source, budgets, clock, Config(budget_day_tokens=0)).next_task("w") is None


def test_a_task_that_its_quest_cannot_pay_is_not_reserved(budgets: DailyBudgets, clock: ManualClock) -> None:
    """BRG-4: to the token; and what one slot of a worker has, another of them is not given."""
    dear, just = task("dear", 1.0, 501), task("just", 0.9, 500)
    source = MemoryTasks([Quest("q", "w")], [dear, just])
    fallback = FallbackServices(source, budgets, clock, CONFIG)
    budgets.allocate({"q": 500})
    assert fallback.reserve(dear, "w") is None
    reservation_id = fallback.reserve(just, "w")
    assert reservation_id is not None
    assert fallback.reserve(just, "w") is None
    fallback.spend(reservation_id, 0)
    assert fallback.reserve(just, "w") not in (None, reservation_id)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reservation is abandoned as soon as it is there: no test waits for a minute."""
    monkeypatch.setattr(module, "ABANDONED_S_MIN", 0.0)


@pytest.mark.usefixtures("at_once")
def test_reservations_of_killed_workers_are_released_or_charged(budgets: DailyBudgets) -> None:
    """BRG-4: after the reservation it goes back, after the completion its cost is charged, in between it stays."""
    source = MemoryTasks(
        [Quest("q", "w")], [task(name, 1.0) for name in ("never", "working", "told", "lost", "failed")]
    )
    budgets.allocate({"q": 1_000})
    made = {name: budgets.reserve(name, "q", 100, "w1") for name in ("never", "working", "told", "failed")}
    claims = {
        name: source.claim(name, "w1", "budget", reservation_id=made[name].reservation_id)  # type: ignore[union-attr]
        for name in ("working", "told", "failed")
    }
    assert all(claims.values())
    source.complete(claims["told"], 120, 0.5)  # type: ignore[arg-type]
    source.fail(claims["failed"], "crash", cost_tokens=30)  # type: ignore[arg-type]
    assert source.claim("never", "w2", "auction", 7)
    fallback = FallbackServices(source, budgets, config=CONFIG)
    ended = {one.task_id: (one.status, one.charged_tokens) for one in fallback.tidy()}
    assert ended == {"never": ("released", None), "told": ("spent", 120), "failed": ("spent", 30)}
    assert fallback.tidy() == []
    (one,) = budgets.allocations()
    assert (one.spent_tokens, one.reserved_tokens) == (150, 100)


def test_a_young_reservation_is_left_alone(budgets: DailyBudgets) -> None:
    """BRG-4: between the reservation and the claim is a moment."""
    budgets.allocate({"q": 1_000})
    assert budgets.reserve("t", "q", 100, "w1")
    assert FallbackServices(MemoryTasks(), budgets, config=CONFIG).tidy() == []


class Worker:
    """One that works tasks on a budget or an award, step by step, and may be killed between any two steps."""

    def __init__(self, name: str, source: MemoryTasks, fallback: FallbackServices) -> None:
        self.name, self.source, self.fallback = name, source, fallback
        # The task that is in hand by the budget, and the reservation that pays for it.
        self.reserved: tuple[str, int] | None = None
        self.claim: Claim | None = None
        self.completion: Completion | None = None

    def kill(self) -> None:
        """What is in memory is lost; what it has claimed it finds again, and lets it fail."""
        self.reserved = self.claim = self.completion = None
        for claim in self.source.claims(self.name):
            self.source.fail(claim, "killed", cost_tokens=5)

    def step(self, rng: random.Random, award_id: int | None, task_id: str) -> None:
        if self.completion is not None and self.reserved is not None:
            self.fallback.spend(self.reserved[1], self.completion.cost_tokens)
            self.reserved = self.completion = None
        elif self.claim is not None:
            self._end(rng, self.claim)
        elif self.reserved is not None:
            task_id, reservation_id = self.reserved
            self.claim = self.source.claim(task_id, self.name, "budget", reservation_id=reservation_id)
            if self.claim is None:
                self.fallback.spend(reservation_id, 0)
                self.reserved = None
        elif award_id is not None:
            self.claim = self.source.claim(task_id, self.name, "auction", award_id)
        elif found := self.fallback.next_task(self.name):
            reservation_id = self.fallback.reserve(self.source.tasks([found])[found], self.name)
            self.reserved = (found, reservation_id) if reservation_id else None

    def _end(self, rng: random.Random, claim: Claim) -> None:
        cost = rng.randrange(150)
        if rng.random() < 0.5:
            completion = self.source.complete(claim, cost, 1.0)
        else:
            completion = self.source.fail(claim, "failed", cost_tokens=cost)
        self.claim = None
        self.completion = completion if claim.payer == "budget" else None


def attempt(source: MemoryTasks, worker_id: str, reservation_id: int) -> Claim:
    claim = source.claim("t", worker_id, "budget", reservation_id=reservation_id)
    assert claim is not None
    return claim


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("next_worker", ["w1", "w2"])
def test_each_attempt_is_charged_what_it_has_burned(budgets: DailyBudgets, next_worker: str) -> None:
    """BRG-4: told by nobody, an attempt has cost what its own completion says, and not what the task's latest does."""
    source = MemoryTasks([Quest("q", "w")], [task("t", 1.0)])
    fallback = FallbackServices(source, budgets, config=CONFIG)
    budgets.allocate({"q": 1_000})
    dead = fallback.reserve(source.tasks(["t"])["t"], "w1")
    assert dead is not None
    source.fail(attempt(source, "w1", dead), "killed", cost_tokens=70)
    # Before anybody looks at what the dead one has left, the auction and the budget of another try the task again.
    claim = source.claim("t", "w3", "auction", 9)
    assert claim is not None
    source.fail(claim, "no", cost_tokens=500)
    source.fail(attempt(source, next_worker, dead + 1), "no", cost_tokens=30)
    ended = {one.reservation_id: (one.status, one.charged_tokens) for one in fallback.tidy()}
    assert ended == {dead: ("spent", 70)}
    assert source.claim("t", "w1", "budget", reservation_id=dead) is None, "it has ended, and is not begun again"


@pytest.mark.usefixtures("at_once")
def test_another_attempt_in_hand_keeps_no_reservation(budgets: DailyBudgets) -> None:
    """BRG-4: a worker that has the task again, for another reservation, will not come back for this one."""
    source = MemoryTasks([Quest("q", "w")], [task("t", 1.0)])
    fallback = FallbackServices(source, budgets, config=CONFIG)
    budgets.allocate({"q": 1_000})
    made = budgets.reserve("t", "q", 100, "w1")
    assert made is not None
    attempt(source, "w1", made.reservation_id + 1)
    assert [(one.reservation_id, one.status) for one in fallback.tidy()] == [(made.reservation_id, "released")]


def test_two_slots_of_a_worker_do_not_share_a_reservation(budgets: DailyBudgets) -> None:
    """BRG-4: they have one name, so the tables take them for one; a claim of both would be worked twice."""
    source = MemoryTasks([Quest("q", "w")], [task("t", 1.0)])
    fallback = FallbackServices(source, budgets, config=CONFIG)
    budgets.allocate({"q": 1_000})
    found = source.tasks(["t"])["t"]
    made = fallback.reserve(found, "w1")
    assert made is not None
    assert fallback.reserve(found, "w1") is None
    fallback.spend(made, 0)
    again = fallback.reserve(found, "w1")
    assert again is not None and again > made
    # A process that starts again finds what it had set aside.
    assert FallbackServices(source, budgets, config=CONFIG).reserve(found, "w1") == again


def test_a_reservation_that_is_gone_ends_quietly(budgets: DailyBudgets) -> None:
    """BRG-4: rows of past days may be deleted; a worker that tells a cost then is not stopped by it."""
    fallback = FallbackServices(MemoryTasks(), budgets, config=CONFIG)
    fallback.spend(987_654, 5)
    fallback.spend(0, 5)
    assert budgets.allocations() == []


# Two that once failed: the latest completion of a task was taken for that of an earlier attempt.
@pytest.mark.parametrize("seed_added", [None, 217, 124530466])
@pytest.mark.usefixtures("at_once")
def test_any_order_of_awards_budget_and_kills(seed: int, budgets: DailyBudgets, seed_added: int | None) -> None:
    """BRG-4, BRG-5: a task has one payer at a time and is done once, and the budget counts what its attempts cost."""
    rng = random.Random(seed if seed_added is None else seed_added)
    source = MemoryTasks(
        [Quest("q", "wq"), Quest("r", "wr")],
        [task(f"t{number:02}", rng.random(), 100, rng.choice("qr")) for number in range(25)],
    )
    clock = ManualClock(START_US)
    fallback = FallbackServices(source, budgets, clock, Config(budget_day_tokens=10**9))
    workers = [Worker(f"w{number}", source, fallback) for number in range(4)]
    for award_id in range(1, 800):
        worker = rng.choice(workers)
        if rng.random() < 0.06:
            # But not one that was taken for dead before it claimed: `ABANDONED_S_MIN` says what comes of that.
            live = {one.reservation_id for one in budgets.reserved()}
            if worker.reserved is None or worker.reserved[1] in live:
                worker.kill()
        elif rng.random() < 0.05:
            # Another ranking, which ends what was left behind; also what a slow worker only seems to have left.
            clock.set_us(clock() + MINUTE_US)
        else:
            worker.step(rng, award_id if rng.random() < 0.3 else None, f"t{rng.randrange(25):02}")
        assert all(one.used_tokens <= one.allocated_tokens for one in budgets.allocations())
    for worker in workers:
        while worker.claim or worker.completion or worker.reserved:
            worker.step(rng, None, "")
    fallback.tidy()
    ended = [completion for _, completion in source._ended]
    assert {one.payer for one in ended} == {"auction", "budget"}
    assert max(Counter(one.task_id for one in ended if one.succeeded).values()) == 1
    # What costs more than was set aside is an overrun once the quest has no other open task, and so no more tokens.
    spent = sum(one.spent_tokens + one.overrun_tokens for one in budgets.allocations())
    assert spent == sum(one.cost_tokens for one in ended if one.payer == "budget")
    assert not any(one.reserved_tokens for one in budgets.allocations())
    # A process runs for months: of what has ended it remembers nothing.
    assert fallback._given == set()
