"""The simulated world in virtual time: tasks arrive, a policy chooses, work takes its time and has its fate.

Rule of this file: pure; it treats every policy alike and knows nothing of markets. Everything is reported at the calls:
work that ends between two calls frees its slot at the next one, under every policy.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from callmarket.bridge.studies.demo.scenario.policies import TRACTABILITY_UNKNOWN, Ending, Finished, Policy, Waiting
from callmarket.bridge.studies.demo.scenario.workload import LEASE_US, Task, Workload

CYCLE_US: Final = 5_000_000
# Slots are as many as make the load this: in the middle of "clearly scarce, not hopeless".
LOAD_WANTED: Final = 1.6
# A quest trusts its own record of a model once it has seen this many results of it; until then it is "unknown".
RESULTS_TO_KNOW: Final = 10


class Run(Struct, frozen=True):
    """What one policy made of the workload. Arrays are by task, and hold -1 where something never happened."""

    policy: str
    slots: int
    cycles: int
    started_us: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    ended_us: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    endings: tuple[Ending | None, ...]
    impact_micros: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    cost_tokens: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    timed_out: int
    waiting: int
    running: int
    slots_busy: tuple[int, ...]
    tasks_waiting: tuple[int, ...]


class _Work(Struct, frozen=True):
    """A slot in use: it ends at a call, in one of three ways."""

    task: Task
    ends_at_us: int
    ending: Ending


def occupied_us(service_us: int) -> int:
    """Return how long work keeps a slot: until the call at or after its end, or until its lease is over."""
    return min(-(-service_us // CYCLE_US) * CYCLE_US, LEASE_US)


def work_us(workload: Workload) -> int:
    """Return the slot-time that all tasks ask for."""
    return sum(occupied_us(task.estimated_service_us) for task in workload.tasks)


def slots_for(workload: Workload, load: float = LOAD_WANTED) -> int:
    """Return how many slots make the wanted load."""
    return max(1, round(work_us(workload) / (load * workload.minutes * 60_000_000)))


def load_of(workload: Workload, slots: int) -> float:
    """Return the slot-time asked for, over the slot-time there is while tasks arrive."""
    return work_us(workload) / (slots * workload.minutes * 60_000_000)


def bucket_tokens(workload: Workload, slots: int) -> int:
    """Return what the slots can burn in a cycle, on the average of the workload: the size of the fixed bucket."""
    cost = sum(task.estimated_cost_tokens for task in workload.tasks)
    return round(cost / work_us(workload) * slots * CYCLE_US)


class Simulation:
    """One policy's world. `run` plays it to the end; `step` plays one cycle."""

    def __init__(self, workload: Workload, policy: Policy, name: str, slots: int) -> None:
        """Begin before the first arrival."""
        self._workload = workload
        self._policy = policy
        self._name = name
        self._slots = slots
        self._arrived = 0
        self._waiting: dict[int, Task] = {}
        self._working: list[_Work] = []
        self._failed: set[int] = set()
        self._timed_out = 0
        # By model: results seen, and how many of them were solved.
        self._seen = [[0, 0] for _ in workload.models]
        count = len(workload.tasks)
        self._started, self._ended = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
        self._impact, self._cost = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._endings: list[Ending | None] = [None] * count
        self._slots_busy: list[int] = []
        self._tasks_waiting: list[int] = []
        self.now_us = workload.starts_at_us

    @property
    def over(self) -> bool:
        """Whether nothing arrives, waits or runs any more."""
        return self._arrived == len(self._workload.tasks) and not self._waiting and not self._working

    def run(self, on_cycle: Callable[[int], None] | None = None) -> Run:
        """Play until every task has ended one way or another."""
        while not self.over:
            self.step()
            if on_cycle is not None:
                on_cycle(self.now_us)
        return self.result()

    def step(self) -> None:
        """Play one cycle: end what ends, let tasks arrive and time out, and let the policy choose."""
        self.now_us += CYCLE_US
        results = self._end_work()
        self._let_arrive()
        self._policy.finished(self.now_us, results)
        free = self._slots - len(self._working)
        waiting = [self._as_seen(task) for task in self._waiting.values()]
        self._tasks_waiting.append(len(waiting))
        chosen = self._policy.choose(self.now_us, waiting, free)
        assert len(chosen) == len(set(chosen)) <= free, (self._name, len(chosen), free)
        for index in chosen:
            self._start(self._waiting.pop(index))
        self._slots_busy.append(len(self._working))

    def result(self) -> Run:
        """Return what came of it so far."""
        return Run(
            self._name, self._slots, len(self._slots_busy), self._started, self._ended, tuple(self._endings),
            self._impact, self._cost, self._timed_out, len(self._waiting), len(self._working),
            tuple(self._slots_busy), tuple(self._tasks_waiting),
        )  # fmt: skip

    def _start(self, task: Task) -> None:
        if self._started[task.index] < 0:
            self._started[task.index] = self.now_us
        fate = task.fate
        if fate.provider_fails and task.index not in self._failed:
            work = _Work(task, self.now_us + occupied_us(fate.service_us // 2), "voided")
        else:
            work = _Work(task, self.now_us + occupied_us(fate.service_us), "settled")
        if fate.worker_vanishes or work.ends_at_us >= self.now_us + LEASE_US:
            work = _Work(task, self.now_us + LEASE_US, "lapsed")
        self._working.append(work)

    def _end_work(self) -> Sequence[Finished]:
        results = []
        for work in [work for work in self._working if work.ends_at_us <= self.now_us]:
            self._working.remove(work)
            task, fate = work.task, work.task.fate
            # Half of the compute was burned when the provider failed; all of it when nobody came back.
            cost = fate.cost_tokens // 2 if work.ending == "voided" else fate.cost_tokens
            impact = fate.impact_micros if work.ending == "settled" else 0
            results.append(Finished(task.index, task.bidder, work.ending, cost, impact))
            self._cost[task.index] += cost
            self._impact[task.index] = impact
            if work.ending == "voided":
                self._failed.add(task.index)
                self._waiting[task.index] = task
                continue
            self._endings[task.index] = work.ending
            self._ended[task.index] = self.now_us
            if work.ending == "settled":
                self._seen[task.worker][0] += 1
                self._seen[task.worker][1] += fate.solved
        return results

    def _let_arrive(self) -> None:
        tasks = self._workload.tasks
        while self._arrived < len(tasks) and tasks[self._arrived].arrived_us <= self.now_us:
            self._waiting[self._arrived] = tasks[self._arrived]
            self._arrived += 1
        late = [index for index, task in self._waiting.items() if task.ttl_at_us <= self.now_us]
        for index in late:
            del self._waiting[index]
        self._timed_out += len(late)

    def _as_seen(self, task: Task) -> Waiting:
        bidder = self._workload.bidders[task.bidder]
        return Waiting(
            task.index, task.bidder, task.arrived_us, task.ttl_at_us, task.value_tokens, bidder.importance,
            task.downstream, self._tractability(task, bidder.kind), task.estimated_cost_tokens,
            task.estimated_service_us,
        )  # fmt: skip

    def _tractability(self, task: Task, kind: str) -> float:
        """An agent knows itself; a quest knows of its workers what it has seen."""
        if kind == "agent":
            return self._workload.models[task.worker].share_solved
        seen, solved = self._seen[task.worker]
        return solved / seen if seen >= RESULTS_TO_KNOW else TRACTABILITY_UNKNOWN
