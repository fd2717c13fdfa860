"""What is drawn, and that it is the same for everybody.

Goal: differences between strategies and rules are never differences of luck. Method: draws of random seeds.
"""

import pytest

from callmarket.bridge.studies.arena.options import BIDDERS_MAX, CALL_US, ROUNDS_MAX
from callmarket.bridge.studies.arena.scenario import KINDS, ROUNDS_WAITING, WALLET_DIVISOR, WORLDS, draw, make_scenario
from callmarket.bridge.studies.demo.scenario.workload import make_workload


def test_the_same_seed_draws_the_same(seed: int):
    assert draw(seed, 6, 3) == draw(seed, 6, 3)
    assert draw(seed, 6, 3) != draw(seed + 1, 6, 3)


def test_all_worlds_and_kinds_have_the_same_tasks_and_order(seed: int):
    drawn = draw(seed, 6, 3)
    for world in WORLDS:
        for kind in KINDS:
            laid_out = make_scenario(drawn, world, kind)
            assert laid_out.orders == drawn.orders
            pairs = zip(laid_out.tasks, drawn.tasks, strict=True)
            assert all((one.task_id, one.seat, one.value_tokens, one.begins) == (
                two.task_id, two.seat, two.value_tokens, two.begins) for one, two in pairs)  # fmt: skip


def test_tasks_are_real_arrivals_of_one_stretch(seed: int):
    """Each task is an arrival of the trace, in the round in which it came; nobody's are only those worth nothing."""
    workload = make_workload(seed)
    arrived = {task.task_id: task.arrived_us for task in workload.tasks}
    drawn = draw(seed, 20, 4)
    firsts = {(arrived[task.task_id] - workload.starts_at_us) // CALL_US - task.begins for task in drawn.tasks}
    assert len(firsts) == 1
    assert 0 <= firsts.pop() <= ROUNDS_MAX - 20
    assert all(task.value_tokens > 0 and 0 <= task.seat < 4 for task in drawn.tasks)


@pytest.mark.parametrize("rounds", [1, ROUNDS_MAX])
def test_the_bounds_can_be_played(rounds: int, seed: int):
    drawn = draw(seed, rounds, BIDDERS_MAX)
    assert all(sorted(order) == list(range(BIDDERS_MAX)) for order in drawn.orders)
    assert all(make_scenario(drawn, world, kind).slots >= 1 for world in WORLDS for kind in KINDS)
    assert all(wallet >= 1 for kind in KINDS for wallet in make_scenario(drawn, "wallets", kind).wallets_tokens)


def test_deadlines_and_wallets(seed: int):
    drawn = draw(seed, 30, 3)
    assert all(task.ends == task.begins + 1 for task in make_scenario(drawn, "fresh", "multi").tasks)
    waiting = make_scenario(drawn, "waiting", "multi").tasks
    assert all(task.ends == min(30, task.begins + ROUNDS_WAITING) for task in waiting)
    for seat in range(3):
        values = [task.value_tokens for task in drawn.tasks if task.seat == seat]
        dearest: dict[int, int] = {}
        for task in drawn.tasks:
            if task.seat == seat:
                dearest[task.begins] = max(task.value_tokens, dearest.get(task.begins, 0))
        assert make_scenario(drawn, "fresh", "single").wallets_tokens[seat] == max(1, sum(values))
        assert make_scenario(drawn, "wallets", "multi").wallets_tokens[seat] == max(1, sum(values) // WALLET_DIVISOR)
        small = max(1, sum(dearest.values()) // WALLET_DIVISOR)
        assert make_scenario(drawn, "wallets", "single").wallets_tokens[seat] == small
