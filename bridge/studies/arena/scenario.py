"""One game to play: the tasks of a stretch of the real trace, their values to each seat, and the wallets.

Rule of this file: pure; all that chance decides is decided here, once, from the seed, so that every strategy under
every pricing rule has the same tasks, values, opponents and order (common random numbers).
"""

from typing import Final, Literal, get_args

import numpy as np
from msgspec import Struct

from callmarket.bridge.studies.arena.options import CALL_US, ROUNDS_MAX
from callmarket.bridge.studies.demo.scenario.bidders import slot_worth_tokens
from callmarket.bridge.studies.demo.scenario.simulation import LOAD_WANTED
from callmarket.bridge.studies.demo.scenario.workload import TASK_TTL_US, make_workload

World = Literal["fresh", "wallets", "waiting"]
"""`fresh`: a task is bid for in one round, and no wallet binds: the textbook, repeated. `wallets`: the same, with
wallets that are too small. `waiting`: no wallet binds, but what does not win may bid again until its deadline."""
Kind = Literal["single", "multi"]
"""`single`: each bidder bids for one task a round, its dearest. `multi`: for all that it has."""

WORLDS: Final[tuple[World, ...]] = get_args(World)
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# A small wallet is this part of what its bidder's bids of all rounds would add up to. By an estimate made beforehand,
# honest bidders would spend twice as much: at a load of 1.6 six of ten bids win, at four tenths of the mean value.
WALLET_DIVISOR: Final = 8
ROUNDS_WAITING: Final = TASK_TTL_US // CALL_US


class Task(Struct, frozen=True, gc=False):
    """Something that `seat` may bid for in the rounds from `begins` up to, and without, `ends`."""

    task_id: str
    seat: int
    value_tokens: int
    begins: int
    ends: int


class Scenario(Struct, frozen=True):
    """One game to be played. `orders` says for each round in which order the seats bid."""

    world: World
    kind: Kind
    rounds: int
    slots: int
    tasks: tuple[Task, ...]
    wallets_tokens: tuple[int, ...]
    orders: tuple[tuple[int, ...], ...]

    @property
    def bids_per_seat_max(self) -> int:
        """How many tasks a seat may bid for in a round."""
        return 1 if self.kind == "single" else len(self.tasks)


class Draw(Struct, frozen=True):
    """What a seed decides: tasks as they arrive (`ends` one round later), and the order of the seats."""

    seed: int
    rounds: int
    bidders: int
    tasks: tuple[Task, ...]
    orders: tuple[tuple[int, ...], ...]


def draw(seed: int, rounds: int, bidders: int) -> Draw:
    """Draw a stretch of the trace, and the seats that have each of its tasks.

    The arrivals and their sizes are real. A slot is worth to a task what the demo says it is
    (`bridge.studies.demo.scenario.workload`): its worth times the model's real share of solved tasks, less the compute.
    Tasks worth nothing are nobody's.
    """
    workload = make_workload(seed)
    random = np.random.Generator(np.random.PCG64([seed, rounds, bidders]))
    first_us = workload.starts_at_us + int(random.integers(0, ROUNDS_MAX - rounds + 1)) * CALL_US
    seats = random.integers(0, bidders, len(workload.tasks))
    tasks = []
    for task in workload.tasks:
        round_no = (task.arrived_us - first_us) // CALL_US
        share_solved = workload.models[task.worker].share_solved
        value = slot_worth_tokens(share_solved, task.value_tokens, task.estimated_cost_tokens)
        if 0 <= round_no < rounds and value > 0:
            tasks.append(Task(task.task_id, int(seats[task.index]), value, round_no, round_no + 1))
    orders = tuple(tuple(int(seat) for seat in random.permutation(bidders)) for _ in range(rounds))
    return Draw(seed, rounds, bidders, tuple(tasks), orders)


def make_scenario(drawn: Draw, world: World, kind: Kind) -> Scenario:
    """Lay out one game of a draw. Slots are as many as make the load that of the demo."""
    bids_a_round = drawn.bidders if kind == "single" else len(drawn.tasks) / drawn.rounds
    tasks = drawn.tasks
    if world == "waiting":
        tasks = tuple(_lasting(task, drawn.rounds) for task in tasks)
    wallets = _wallets(drawn, kind if world == "wallets" else None)
    return Scenario(world, kind, drawn.rounds, max(1, round(bids_a_round / LOAD_WANTED)), tasks, wallets, drawn.orders)


def _lasting(task: Task, rounds: int) -> Task:
    ends = min(rounds, task.begins + ROUNDS_WAITING)
    return Task(task.task_id, task.seat, task.value_tokens, task.begins, ends)


def _wallets(drawn: Draw, small_for: Kind | None) -> tuple[int, ...]:
    """What each seat begins with: as much as all of its tasks are worth, or the small part of its bids. At least 1."""
    worth: list[dict[int, list[int]]] = [{} for _ in range(drawn.bidders)]
    for task in drawn.tasks:
        worth[task.seat].setdefault(task.begins, []).append(task.value_tokens)
    if small_for is None:
        return tuple(max(1, sum(map(sum, by_round.values()))) for by_round in worth)
    bids = max if small_for == "single" else sum
    return tuple(max(1, sum(map(bids, by_round.values())) // WALLET_DIVISOR) for by_round in worth)
