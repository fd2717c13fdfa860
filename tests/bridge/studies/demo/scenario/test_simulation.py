"""The world: tasks are conserved at every cycle, and every policy meets the same fate.

Goal: a difference between policies comes from their choices alone. Method: properties over seeds, slots and policies,
a policy that chooses at random among them.
"""

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callmarket.bridge.studies.demo.scenario.auction import Auction
from callmarket.bridge.studies.demo.scenario.policies import (
    Finished,
    FirstComeFirstServed,
    Policy,
    ProportionalSplit,
    ShortestJobFirst,
    Waiting,
)
from callmarket.bridge.studies.demo.scenario.simulation import (
    CYCLE_US,
    Simulation,
    bucket_tokens,
    load_of,
    occupied_us,
    slots_for,
)
from callmarket.bridge.studies.demo.scenario.workload import LEASE_US, Workload, make_workload
from tests.bridge.studies.demo.memory_market import MemoryMarket


class AtRandom:
    """Chooses any tasks, sometimes fewer than it could."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def finished(self, now_us: int, results: Sequence[Finished]) -> None:
        pass

    def choose(self, now_us: int, waiting: Sequence[Waiting], free_slots: int) -> list[int]:
        count = self._random.randint(0, min(free_slots, len(waiting)))
        return [task.index for task in self._random.sample(list(waiting), count)]


MAKERS: dict[str, Callable[[Workload, int], Policy]] = {
    "first come": lambda _workload, _slots: FirstComeFirstServed(),
    "shortest job": lambda _workload, _slots: ShortestJobFirst(),
    "proportional": lambda workload, slots: ProportionalSplit(bucket_tokens(workload, slots)),
    "random": lambda workload, _slots: AtRandom(workload.seed),
    "auction": lambda workload, slots: Auction(workload, MemoryMarket(), slots),
}


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1), slots=st.integers(1, 60))
def test_no_task_is_lost_at_any_cycle(name: str, seed: int, slots: int):
    workload = make_workload(seed, 1)
    world = Simulation(workload, MAKERS[name](workload, slots), name, slots)
    while not world.over:
        world.step()
        run = world.result()
        arrived = sum(task.arrived_us <= world.now_us for task in workload.tasks)
        ended = sum(ending is not None for ending in run.endings)
        assert arrived == ended + run.timed_out + run.waiting + run.running
        assert run.running <= slots
    run = world.result()
    assert run.waiting == run.running == 0
    assert ended + run.timed_out == len(workload.tasks)


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_all_policies_meet_the_same_fate(seed: int):
    workload = make_workload(seed, 1)
    slots = slots_for(workload)
    runs = [Simulation(workload, make(workload, slots), name, slots).run() for name, make in MAKERS.items()]
    for task in workload.tasks:
        outcomes = {
            (run.endings[task.index], int(run.impact_micros[task.index]), int(run.cost_tokens[task.index]))
            for run in runs
            if run.endings[task.index] is not None
        }
        assert len(outcomes) <= 1, (task, outcomes)


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_seed_gives_the_same_run(name: str):
    workload = make_workload(7, 2)
    first, second = (Simulation(workload, MAKERS[name](workload, 30), name, 30).run() for _ in range(2))
    for field in first.__struct_fields__:
        assert np.array_equal(getattr(first, field), getattr(second, field)), field


def test_nobody_waits_less_than_nothing_or_longer_than_the_deadline():
    workload = make_workload(7, 2)
    run = Simulation(workload, FirstComeFirstServed(), "first come", 30).run()
    for task in workload.tasks:
        if run.started_us[task.index] >= 0:
            assert task.arrived_us <= run.started_us[task.index] < task.ttl_at_us


def test_work_keeps_its_slot_until_the_next_call_or_the_end_of_its_lease():
    assert occupied_us(1) == CYCLE_US
    assert occupied_us(CYCLE_US) == CYCLE_US
    assert occupied_us(CYCLE_US + 1) == 2 * CYCLE_US
    assert occupied_us(10 * LEASE_US) == LEASE_US


def test_slots_are_chosen_so_that_they_are_scarce():
    for seed in range(5):
        workload = make_workload(seed)
        assert 1.3 < load_of(workload, slots_for(workload)) < 2.0
