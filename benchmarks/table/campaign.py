"""The run: every peer is checked, then filled, then asked by turns.

Rule of this file: one peer is measured at a time, in the same order of work for all, and whoever begins changes from
turn to turn. All calls are compared: a peer that sells other bids than ours, or at another price, ends the run.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

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

    def steps(self, resting: int) -> Iterator[tuple[Kind, int, int, int]]:
        """Each step with its size, how often it is done in a turn, and in how many turns."""
        yield "place", 1, *turns(self.rounds, 20)
        yield "batch", self.batch, *turns(self.rounds_of_batches, 2)
        yield "cancel", 1, *turns(min(self.rounds, resting // 100), 20)
        for k in self.calls:
            # A quarter of the book at most, so that what is sold has rested, and at least three times.
            wanted = self.rounds if k < 100 else self.rounds // 2 if k < 1_000 else self.rounds // 8
            yield "call", k, *turns(max(3, min(wanted, resting // 4 // k)), 10 if k < 100 else 1)


QUICK: Final = Plan(resting=(10_000, 100_000), rounds=40, rounds_of_batches=6)
CHECK: Final = Plan(resting=(CHECK_SIZE,), calls=(1, 5, 40), batch=20, rounds=4, rounds_of_batches=2)


class Disagreement(Exception):
    """Two peers were asked the same and did not sell the same."""


class Places:
    """Where peers that need a server find one: a database of their own each time, or the one socket."""

    def __init__(self, new_database: Callable[[str], str], redis_socket: str) -> None:
        self._new_database: Final = new_database
        self._redis_socket: Final = redis_socket
        self._numbers: Final = count(1)

    def of(self, entry: Entry) -> str:
        """An empty place for this peer."""
        if entry.needs == "postgres":
            return self._new_database(f"table_{next(self._numbers)}")
        return self._redis_socket if entry.needs == "redis" else ""


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
        for _ in _measured(workers, CHECK, CHECK_SIZE, comparison):
            pass
    return comparison.calls


def measure(
    entries: Sequence[Entry], places: Places, plan: Plan, seed: int, say: Say
) -> tuple[list[Figure], list[Footprint], int]:
    """All figures, and how many calls were compared for them."""
    figures: list[Figure] = []
    footprints: list[Footprint] = []
    comparison = Comparison()
    for resting in plan.resting:
        with _workers(entries, places, seed) as workers:
            for worker in workers:
                say(f"{resting:,} resting: filling {worker.entry.name}")
                shares = [None if size is None else size // resting for size in worker.fill(resting)]
                footprints.append(Footprint(worker.entry.name, resting, *shares))
            for measured in _measured(workers, plan, resting, comparison):
                say(f"{resting:,} resting: {measured[0].kind} {measured[0].size}, {measured[0].times} times")
                figures += measured
    return figures, footprints, comparison.calls


def _measured(workers: list[Worker], plan: Plan, resting: int, comparison: Comparison) -> Iterator[list[Figure]]:
    for kind, size, times, rounds in plan.steps(resting):
        comparison.of([(worker.entry, worker.level()) for worker in workers])
        took_ns: dict[str, list[int]] = {worker.entry.name: [] for worker in workers}
        for number in range(rounds):
            begin = number % len(workers)
            called = {}
            for worker in workers[begin:] + workers[:begin]:
                turn = worker.turn(kind, size, times)
                took_ns[worker.entry.name] += turn.took_ns
                called[worker] = turn.called
            comparison.of([(worker.entry, called[worker]) for worker in workers])
        yield [figure(name, kind, size, resting, took) for name, took in took_ns.items()]
    for worker in workers:
        worker.check()


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
