"""The tables of the daily budget: nothing is spent twice, nothing beyond what was given, whatever races.

Goal: after any number of threads, `spent + reserved <= allocated`, and the rows of spendings add up to it.
"""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psycopg
import pytest

from callmarket import AccessDenied, Invalid, ManualClock, NotFound, Unavailable
from callmarket.bridge.fleet.ev_scorer import persist_allocations
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.engine.limits import SEQ_MAX, TOKENS_MAX
from callmarket.persistence.stores.quest_budgets import AllocationRow, SpendingRow
from tests.bridge.conftest import START_US
from tests.support.roles import role_on

DAY_US = 24 * 3600 * 1_000_000


def row(budgets: DailyBudgets, quest_id: str = "q") -> AllocationRow:
    return next(one for one in budgets.allocations() if one.quest == quest_id)


def numbers(budgets: DailyBudgets) -> tuple[int, int, int, int]:
    one = row(budgets)
    return one.allocated_tokens, one.reserved_tokens, one.spent_tokens, one.overrun_tokens


def reserve(budgets: DailyBudgets, task_id: str, tokens: int, worker_id: str = "w") -> SpendingRow:
    made = budgets.reserve(task_id, "q", tokens, worker_id)
    assert made is not None
    return made


def test_a_split_is_written_for_its_day(budgets: DailyBudgets, clock: ManualClock) -> None:
    """BRG-4: one row for each quest and day, in UTC; midnight begins another."""
    assert budgets.allocations() == []
    persist_allocations(budgets, {"q": 70, "r": 30})
    assert [(one.quest, one.allocated_tokens) for one in budgets.allocations()] == [("q", 70), ("r", 30)]
    assert budgets.today() == date(2027, 1, 15)
    clock.set_us(START_US - START_US % DAY_US + DAY_US)
    assert budgets.allocations() == []
    assert budgets.reserve("t", "q", 1, "w") is None
    persist_allocations(budgets, {"q": 5})
    assert [one.allocated_tokens for one in budgets.allocations()] == [5]
    assert [one.allocated_tokens for one in budgets.allocations(date(2027, 1, 15))] == [70, 30]


def test_a_second_split_of_a_day_leaves_what_was_used(budgets: DailyBudgets) -> None:
    """BRG-4, Precisely: reserved and spent tokens stay where they are."""
    budgets.allocate({"q": 70, "r": 30})
    reserve(budgets, "a", 40)
    budgets.spend(reserve(budgets, "b", 20).reservation_id, 20)
    assert [one.allocated_tokens for one in budgets.allocate({"q": 10, "r": 50, "s": 40})] == [60, 22, 18]
    assert numbers(budgets) == (60, 40, 20, 0)
    assert [one.allocated_tokens for one in budgets.allocate({"q": 100, "r": 0, "s": 0})] == [100, 0, 0]


def test_spending_less_gives_the_rest_back(budgets: DailyBudgets) -> None:
    """BRG-4: reserve, settle up; an end is an end, also of another kind."""
    budgets.allocate({"q": 100})
    made = reserve(budgets, "t", 60)
    assert numbers(budgets) == (100, 60, 0, 0)
    ended = budgets.spend(made.reservation_id, 45)
    assert (ended.status, ended.cost_tokens, ended.charged_tokens) == ("spent", 45, 45)
    assert numbers(budgets) == (100, 0, 45, 0)
    assert budgets.spend(made.reservation_id, 99) == ended
    assert budgets.release(made.reservation_id) == ended
    assert numbers(budgets) == (100, 0, 45, 0)


def test_a_release_gives_all_of_it_back(budgets: DailyBudgets) -> None:
    """BRG-4: and the task may be reserved for again."""
    budgets.allocate({"q": 100})
    made = reserve(budgets, "t", 100)
    assert budgets.reserve("u", "q", 1, "w") is None
    released = budgets.release(made.reservation_id)
    assert (released.status, released.cost_tokens) == ("released", None)
    assert budgets.release(made.reservation_id) == released
    assert numbers(budgets) == (100, 0, 0, 0)
    assert reserve(budgets, "t", 100).reservation_id != made.reservation_id


def test_a_cost_reported_after_a_release_is_charged(budgets: DailyBudgets) -> None:
    """BRG-4, Precisely: a worker that was taken for dead burned what it burned; from what is left, once."""
    budgets.allocate({"q": 100})
    made = reserve(budgets, "t", 60)
    budgets.release(made.reservation_id)
    reserve(budgets, "u", 80)
    ended = budgets.spend(made.reservation_id, 50)
    assert (ended.status, ended.cost_tokens, ended.charged_tokens) == ("spent", 50, 20)
    assert budgets.spend(made.reservation_id, 60) == budgets.release(made.reservation_id) == ended
    assert numbers(budgets) == (100, 80, 20, 30)


def test_a_cost_above_the_reservation_takes_the_rest_of_the_day_and_no_more(budgets: DailyBudgets) -> None:
    """BRG-4, Precisely: a quest never spends more than it has; what work has burned beyond that is an overrun."""
    budgets.allocate({"q": 100, "r": 100})
    made, other = reserve(budgets, "t", 30), reserve(budgets, "u", 50)
    assert budgets.spend(made.reservation_id, 40).charged_tokens == 40
    assert numbers(budgets) == (100, 50, 40, 0)
    assert budgets.spend(other.reservation_id, 75).charged_tokens == 60
    assert numbers(budgets) == (100, 0, 100, 15)
    assert row(budgets, "r").left_tokens == 100


def test_a_task_has_one_reservation_at_a_time(budgets: DailyBudgets) -> None:
    """BRG-4: a worker that asks again, after a restart too, has its own; another has none."""
    budgets.allocate({"q": 100, "r": 100})
    made = reserve(budgets, "t", 30)
    assert budgets.reserve("t", "q", 50, "w") == made
    assert budgets.reserve("t", "r", 5, "other") is None
    assert budgets.reserved() == [made]
    assert (numbers(budgets), row(budgets, "r").reserved_tokens) == ((100, 30, 0, 0), 0)


def test_many_threads_that_reserve_and_end(seed: int, budgets: DailyBudgets) -> None:
    """BRG-4: all that is left is used up to the last token and not beyond; each task once; the rows add up."""
    budgets.allocate({"q": 1_000})
    begun = threading.Barrier(8)

    def work(number: int) -> list[SpendingRow]:
        rng, ended = random.Random(seed + number), []
        begun.wait()
        for _ in range(40):
            made = budgets.reserve(f"t{rng.randrange(12)}", "q", rng.randrange(1, 90), f"w{number}")
            if made is not None:
                one = budgets.spend if rng.random() < 0.5 else lambda reservation_id, _: budgets.release(reservation_id)
                ended.append(one(made.reservation_id, rng.randrange(120)))
        return ended

    with ThreadPoolExecutor(8) as pool:
        ended = [one for rows in pool.map(work, range(8)) for one in rows]
    allocated, reserved, spent, overrun = numbers(budgets)
    assert (reserved, spent) == (0, sum(one.charged_tokens or 0 for one in ended))
    assert spent <= allocated
    assert spent + overrun == sum(one.cost_tokens or 0 for one in ended)
    assert len({one.reservation_id for one in ended}) == len(ended)


def test_a_split_while_others_spend_keeps_the_sum_of_the_day(seed: int, budgets: DailyBudgets) -> None:
    """BRG-4: a split in the middle of it neither fails nor takes what was used, and the sum of the day stays."""
    budgets.allocate({"q": 500, "r": 500})
    over = threading.Event()

    def spend(quest_id: str) -> None:
        rng = random.Random(seed)
        for number in range(60):
            if made := budgets.reserve(f"{quest_id}{number}", quest_id, rng.randrange(1, 40), "w"):
                budgets.spend(made.reservation_id, rng.randrange(60))
        over.set()

    with ThreadPoolExecutor(2) as pool:
        spending = [pool.submit(spend, quest_id) for quest_id in "qr"]
        rng, splits = random.Random(seed), 0
        while not over.is_set() or not splits:
            part = rng.randrange(1_001)
            rows = budgets.allocate({"q": part, "r": 1_000 - part})
            assert sum(one.allocated_tokens for one in rows) == max(1_000, sum(one.used_tokens for one in rows))
            splits += 1
        for one in spending:
            one.result()
    assert all(one.reserved_tokens == 0 for one in budgets.allocations())


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("tokens", ("t", "q", 0, "w")),
        ("tokens", ("t", "q", TOKENS_MAX + 1, "w")),
        ("tokens", ("t", "q", 1.5, "w")),
        ("task_id", ("", "q", 1, "w")),
        ("quest_id", ("t", "q\x00", 1, "w")),
        ("worker_id", ("t", "q", 1, "w" * 129)),
    ],
)
def test_a_wrong_argument_of_a_reservation_is_named(budgets: DailyBudgets, field: str, arguments: tuple) -> None:
    with pytest.raises(Invalid, match=field):
        budgets.reserve(*arguments)
    assert budgets.reserved() == []


def test_bad_ends_and_splits_are_named(budgets: DailyBudgets) -> None:
    budgets.allocate({"q": 10})
    made = reserve(budgets, "t", 5)
    for cost in (-1, TOKENS_MAX + 1, True, 0.5):
        with pytest.raises(Invalid, match="cost_tokens"):
            budgets.spend(made.reservation_id, cost)  # type: ignore[arg-type]
    for reservation_id in (0, "1", 2**63):
        with pytest.raises(Invalid, match="reservation_id"):
            budgets.release(reservation_id)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="reservation_id"):
        budgets.release(made.reservation_id + 1_000_000)
    for tokens in ({"q": -1}, {"q": TOKENS_MAX, "r": 1}, {"\x00": 1}):
        with pytest.raises(Invalid):
            budgets.allocate(tokens)
    assert numbers(budgets) == (10, 5, 0, 0)


def test_shards_do_not_see_each_other(module_database_url: str, budgets: DailyBudgets, shard_id: int) -> None:
    budgets.allocate({"q": 10})
    made = reserve(budgets, "t", 5)
    with DailyBudgets(module_database_url, shard_id + 10_000, ManualClock(START_US)) as other:
        assert (other.allocations(), other.reserved()) == ([], [])
        with pytest.raises(NotFound):
            other.release(made.reservation_id)


def test_reservations_fail_safely_while_the_database_is_unavailable() -> None:
    """Nothing is known then, and asking again is safe."""
    with DailyBudgets("postgresql://127.0.0.1:1/none") as away, pytest.raises(Unavailable):
        away.allocations()


def test_the_tables_refuse_to_spend_more_than_a_quest_has(
    module_database_url: str, budgets: DailyBudgets, shard_id: int
) -> None:
    """BRG-4: whatever program writes them, a quest cannot spend more than it has."""
    budgets.allocate({"q": 10})
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        for change in ("spent_tokens = 11", "reserved_tokens = 11", "allocated_tokens = -1", "spent_tokens = -1"):
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute(f"UPDATE quest_budget_allocations SET {change} WHERE shard_id = {shard_id}")


def test_a_role_without_a_right_is_told_so_by_every_question(module_database_url: str) -> None:
    """In the words of this interface, and not as an outage, which is waited for."""
    with role_on(module_database_url) as url, DailyBudgets(url) as budgets:
        for ask in (
            budgets.allocations,
            lambda: budgets.allocate({"q": 1}),
            lambda: budgets.reserve("t", "q", 1, "w"),
            lambda: budgets.spend(1, 1),
        ):
            with pytest.raises(AccessDenied, match=r"lacks a right: permission denied for table quest_budget_.*GRANT"):
                ask()


@pytest.mark.parametrize("reservation_id", [0, -1, SEQ_MAX + 1, True, "1", None])
def test_what_is_no_reservation_is_named(budgets: DailyBudgets, reservation_id: object) -> None:
    with pytest.raises(Invalid, match=rf"reservation_id: expected 1 to {SEQ_MAX}") as caught:
        budgets.spend(reservation_id, 1)  # type: ignore[arg-type]
    assert not isinstance(caught.value, NotFound)
    for unknown in (1_000_000, SEQ_MAX):
        with pytest.raises(NotFound, match="one that was made"):
            budgets.spend(unknown, 1)
