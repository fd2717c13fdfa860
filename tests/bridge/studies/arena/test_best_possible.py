"""The bound that efficiency is a share of: exact, by comparison with trying everything.

Method: tiny random scenes, in which every way to serve them is tried.
"""

import random

import pytest

from callmarket.bridge.studies.arena.best_possible import best_possible_tokens
from callmarket.bridge.studies.arena.scenario import KINDS, Kind, Scenario, Task, make_scenario
from tests.bridge.studies.arena.arenas import small_draw


def everything_tried(stage: Scenario) -> int:
    """Every way to serve the tasks; of those that leave the same places free, only the best goes on."""
    best_by_taken = {((),) * stage.rounds: 0}
    for task in stage.tasks:
        for taken, value in list(best_by_taken.items()):
            for number in range(task.begins, task.ends):
                seats = taken[number]
                if len(seats) < stage.slots and (stage.kind == "multi" or task.seat not in seats):
                    then = (*taken[:number], tuple(sorted((*seats, task.seat))), *taken[number + 1 :])
                    best_by_taken[then] = max(best_by_taken.get(then, 0), value + task.value_tokens)
    return max(best_by_taken.values())


def tiny(chance: random.Random, kind: Kind) -> Scenario:
    rounds = chance.randint(1, 5)
    tasks = []
    for number in range(chance.randint(1, 14)):
        begins = chance.randrange(rounds)
        ends = chance.randint(begins + 1, rounds)
        tasks.append(Task(f"task-{number}", chance.randrange(3), chance.randint(1, 9), begins, ends))
    return Scenario("waiting", kind, rounds, chance.randint(1, 2), tuple(tasks), (1, 1, 1), ((0, 1, 2),) * rounds)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_better_is_found_by_trying_everything(kind: Kind, seed: int):
    chance = random.Random(seed)
    for _ in range(400):
        stage = tiny(chance, kind)
        assert best_possible_tokens(stage) == everything_tried(stage), stage


@pytest.mark.parametrize("kind", KINDS)
def test_without_waiting_it_is_the_dearest_bids_of_each_round(kind: Kind):
    stage = make_scenario(small_draw(), "fresh", kind)
    best = 0
    for number in range(stage.rounds):
        values = [(task.seat, task.value_tokens) for task in stage.tasks if task.begins == number]
        if kind == "single":
            values = [(seat, max(value for owner, value in values if owner == seat)) for seat in {s for s, _ in values}]
        best += sum(sorted((value for _, value in values), reverse=True)[: stage.slots])
    assert best_possible_tokens(stage) == best
