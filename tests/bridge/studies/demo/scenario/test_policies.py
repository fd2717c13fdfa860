"""The policies that the auction replaces, on hand-made queues.

Goal: each does what its name says, so that the comparison is fair. Method: small examples with one clear answer.
"""

import pytest

from callmarket.bridge.studies.demo.scenario.policies import (
    FirstComeFirstServed,
    ProportionalSplit,
    ShortestJobFirst,
    Waiting,
)
from callmarket.bridge.studies.demo.scenario.selective import Selective


def waiting(index: int, **fields: float) -> Waiting:
    values: dict[str, float] = {
        "bidder": 0, "arrived_us": index, "ttl_at_us": 100, "value_tokens": 100, "importance": 1.0, "downstream": 1.0,
        "tractability": 0.5, "estimated_cost_tokens": 10, "estimated_service_us": 10,
    }  # fmt: skip
    return Waiting(index, **{**values, **fields})  # type: ignore[arg-type]


def test_first_come_takes_the_oldest():
    queue = [waiting(1, arrived_us=5), waiting(2, arrived_us=3), waiting(3, arrived_us=4)]
    assert FirstComeFirstServed().choose(0, queue, 2) == [2, 3]


def test_shortest_job_takes_the_shortest_and_the_first_of_equals():
    queue = [waiting(1, estimated_service_us=7), waiting(2, estimated_service_us=7), waiting(3, estimated_service_us=1)]
    assert ShortestJobFirst().choose(0, queue, 2) == [3, 1]


def test_static_ev_is_the_seeds_formula():
    task = waiting(1, importance=2.0, tractability=0.7, downstream=3.0, estimated_cost_tokens=10)
    assert task.static_ev == pytest.approx(0.42)


def test_proportional_split_shares_the_bucket_by_ev():
    # Bidder 0 has three times the EV of bidder 1, so of a bucket of 40 it gets 30: three tasks against one.
    queue = [waiting(index, bidder=0, importance=3.0) for index in range(4)]
    queue += [waiting(index, bidder=1, importance=1.0) for index in range(10, 14)]
    chosen = ProportionalSplit(40).choose(0, queue, 4)
    assert sorted(chosen) == [0, 1, 2, 10]


def test_proportional_split_leaves_no_slot_idle_while_a_task_waits():
    queue = [waiting(index, bidder=index % 2) for index in range(6)]
    assert len(ProportionalSplit(0).choose(0, queue, 4)) == 4
    assert len(ProportionalSplit(0).choose(0, queue, 9)) == 6
    assert ProportionalSplit(10).choose(0, [], 9) == []


def test_proportional_split_of_nothing_is_equal():
    queue = [waiting(index, bidder=index, tractability=0.0) for index in range(4)]
    assert len(ProportionalSplit(40).choose(0, queue, 2)) == 2
    assert ProportionalSplit(40).choose(0, [], 2) == []


def test_proportional_split_saves_up_for_a_dear_task_but_not_for_ever():
    dear = waiting(1, bidder=0, estimated_cost_tokens=30)
    cheap = [waiting(index, bidder=1, estimated_cost_tokens=1000) for index in range(2, 5)]
    policy = ProportionalSplit(10)
    for _ in range(50):
        policy.choose(0, [dear, *cheap], 0)
    assert policy.choose(0, [dear, *cheap], 1) == [1]
    assert all(budget <= 120 for budget in policy._budgets.values())


def test_a_selective_policy_never_sees_what_is_not_worth_its_compute():
    worthless = waiting(1, arrived_us=0, value_tokens=20, estimated_cost_tokens=10)
    worthy = waiting(2, arrived_us=1, value_tokens=22, estimated_cost_tokens=10)
    assert Selective(FirstComeFirstServed()).choose(0, [worthless, worthy], 2) == [2]
