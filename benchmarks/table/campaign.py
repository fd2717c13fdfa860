"""The run: every peer is checked, then filled, then asked by turns.

Rule of this file: one peer with one book is measured at a time, and whoever begins changes from turn to turn. All calls
are compared: a peer that sells other bids than ours, or at another price, ends the run.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final, NamedTuple

from benchmarks.table.catalogue import ENGINE, Entry
from benchmarks.table.driver import Kind
from benchmarks.table.peer import Called
from benchmarks.table.results import Figure, Footprint, figure
from benchmarks.table.worker import Worker

Say = Callable[[str], None]

CHECK_SIZE: Final = 400
# Ten prices for all bids: the order of time decides as often as the price.
CHECK_PRICE_STEP_TOKENS: Final = 10_000


@dataclass(frozen=True)
class Plan:
    """How much is measured. `rounds` of each step, fewer where the book has not enough to sell."""

    resting: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    calls: tuple[int, ...] = (1, 5, 100, 1_000)
    batch: int = 500
    rounds: int = 200
    rounds_of_batches: int = 20

    def steps(self, resting: int) -> Iterator["Step"]:
        """The same steps for every book, though not as often."""
        yield Step("place", 1, *turns(self.rounds, 20))
        yield Step("batch", self.batch, *turns(self.rounds_of_batches, 2))
        yield Step("cancel", 1, *turns(min(self.rounds, resting // 100), 20))
        for k in self.calls:
            # A quarter of the book at most, so that what is sold has rested, and at least three times.
            wanted = self.rounds if k < 100 else self.rounds // 2 if k < 1_000 else self.rounds // 8
            yield Step("call", k, *turns(max(3, min(wanted, resting // 4 // k)), 10 if k < 100 else 1))


class Step(NamedTuple):
    """What is done to a book, how often in a turn, and in how many turns."""

    kind: Kind
    size: int
    times: int
    turns: int


QUICK: Final = Plan(resting=(10_000, 100_000), rounds=40, rounds_of_batches=6)
CHECK: Final = Plan(resting=(CHECK_SIZE,), calls=(1, 5, 40), batch=20, rounds=4, rounds_of_batches=2)


class Stage(NamedTuple):
    """A book of one size, as each of the peers has it."""

    resting: int
    workers: list[Worker]


class Disagreement(Exception):
    """Two peers were asked the same and did not sell the same."""


class Places:
    """Where peers that need a server find one: a database of their own each time."""

    def __init__(self, new_database: Callable[[str], str], redis_url: str) -> None:
        self._new_database: Final = new_database
        self._redis_url: Final = redis_url
        self._numbers: Final = count(1)
        self._redis_numbers: Final = count(0)

    def of(self, entry: Entry) -> str:
        """An empty place for this peer."""
        if entry.needs == "postgres":
            return self._new_database(f"table_{next(self._numbers)}")
        return f"{self._redis_url}?db={next(self._redis_numbers)}" if entry.needs == "redis" else ""


class Comparison:
    """Calls of all peers, beside those of the first one, which is ours."""

    def __init__(self) -> None:
        self.calls = 0

    def of(self, called: Sequence[tuple[Entry, list[Called]]]) -> None:
        """Raise `Disagreement` unless all have sold the same. A price that a peer does not say is not compared."""
        first, expected = called[0]
        for entry, calls in called[1:]:
            for number, (ours, theirs) in enumerate(zip(expected, calls, strict=True)):
                price_tokens = ours.price_tokens if theirs.price_tokens is None else theirs.price_tokens
                if (theirs.numbers, price_tokens) != ours:
                    raise Disagreement(f"call {number + 1} of a turn: {first.name} says {ours}, {entry.name} {theirs}")
                self.calls += 1


def check(entries: Sequence[Entry], places: Places, seed: int, say: Say) -> int:
    """Let every peer do a little of everything, with many bids at one price; return how many calls were compared."""
    comparison = Comparison()
    say("checked beside the engine: " + ", ".join(entry.name for entry in entries))
    with _workers((ENGINE, *entries), places, seed, CHECK_PRICE_STEP_TOKENS) as workers:
        for worker in workers:
            worker.fill(CHECK_SIZE)
        for _ in _measured([Stage(CHECK_SIZE, workers)], CHECK, comparison):
            pass
    return comparison.calls


def measure(
    entries: Sequence[Entry], places: Places, plan: Plan, seed: int, say: Say
) -> tuple[list[Figure], list[Footprint], int]:
    """All figures, and how many calls were compared for them."""
    figures: list[Figure] = []
    footprints: list[Footprint] = []
    comparison = Comparison()
    with ExitStack() as stack:
        stages = [
            Stage(resting, stack.enter_context(_workers(entries, places, seed))) for resting in sorted(plan.resting)
        ]
        for stage in stages:
            for worker in stage.workers:
                say(f"{stage.resting:,} resting: filling {worker.entry.name}")
                shares = [None if size is None else size // stage.resting for size in worker.fill(stage.resting)]
                footprints.append(Footprint(worker.entry.name, stage.resting, *shares))
        for measured in _measured(stages, plan, comparison):
            say(f"{measured[0].kind} {measured[0].size}: {max(one.times for one in measured)} times")
            figures += measured
    return figures, footprints, comparison.calls


def _measured(stages: Sequence[Stage], plan: Plan, comparison: Comparison) -> Iterator[list[Figure]]:
    """By turns over all peers and all sizes, so that what others do to the machine is shared by all."""
    for steps in zip(*(plan.steps(stage.resting) for stage in stages), strict=True):
        for stage in stages:
            comparison.of([(worker.entry, worker.level()) for worker in stage.workers])
        measured: list[dict[str, list[int]]] = [{worker.entry.name: [] for worker in stage.workers} for stage in stages]
        for number in range(max(step.turns for step in steps)):
            for stage, step, took_ns in zip(stages, steps, measured, strict=True):
                if number < step.turns:
                    _turn(stage.workers, step, number, took_ns, comparison)
        yield [
            figure(name, step.kind, step.size, stage.resting, took)
            for stage, step, took_ns in zip(stages, steps, measured, strict=True)
            for name, took in took_ns.items()
        ]
    for stage in stages:
        for worker in stage.workers:
            worker.check()


def _turn(
    workers: list[Worker], step: Step, number: int, took_ns: dict[str, list[int]], comparison: Comparison
) -> None:
    begin = number % len(workers)
    called = {}
    for worker in workers[begin:] + workers[:begin]:
        turn = worker.turn(step.kind, step.size, step.times)
        took_ns[worker.entry.name] += turn.took_ns
        called[worker] = turn.called
    comparison.of([(worker.entry, called[worker]) for worker in workers])


@contextmanager
def _workers(entries: Sequence[Entry], places: Places, seed: int, price_step_tokens: int = 1) -> Iterator[list[Worker]]:
    workers: list[Worker] = []
    try:
        for entry in entries:
            workers.append(Worker(entry, places.of(entry), seed, price_step_tokens))  # noqa: PERF401  (ended if one fails)
        yield workers
    finally:
        for worker in workers:
            worker.dismiss()
        for worker in workers:
            worker.close()


def turns(rounds: int, at_once: int) -> tuple[int, int]:
    """So many rounds in turns of so many each, one turn at least: times in a turn, and turns."""
    times = min(rounds, at_once)
    return times, max(1, rounds // times)
