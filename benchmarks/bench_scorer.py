"""How long does a backlog take to be scored, ranked and planned? Columns beside a loop in plain Python.

    python3 dev.py bench-parts benchmarks/bench_scorer.py

Rule of this file: the loop does the same arithmetic on the same tasks in the same run, without the checks that the
columns make; compare within one table.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workload
from callmarket.bridge.config import Config
from callmarket.bridge.fleet.ev_scorer.plan import Resting, Wallet, plan
from callmarket.bridge.fleet.ev_scorer.scoring import score_tasks
from callmarket.bridge.fleet.tasks.model import Task

TASKS = [1_000, 100_000]
MEANS = {"": 9_000.0, "debate": 12_000.5, "analysis": 4_000.0}

tasks = pytest.mark.parametrize("count", TASKS, ids=["1k", "100k"])


def backlog(count: int) -> list[Task]:
    """Tasks as a platform has them: a third without tractability, half without an estimate."""
    rng = random.Random(workload.SEED)
    return [
        Task(
            f"task-{number:06}",
            f"quest-{number % 100}",
            importance=rng.random(),
            downstream_impact=rng.random(),
            tractability=None if number % 3 == 0 else rng.random(),
            estimated_cost_tokens=None if number % 2 == 0 else rng.randrange(1, 100_000),
            task_type=rng.choice(["", "debate", "analysis", "other"]),
        )
        for number in range(count)
    ]


def rank_by_columns(some: Sequence[Task], means: Mapping[str, float]) -> list[int]:
    return score_tasks(some, means).order.tolist()


def rank_by_loop(some: Sequence[Task], means: Mapping[str, float]) -> list[int]:
    values = []
    for task in some:
        cost = task.estimated_cost_tokens
        mean = means.get(task.task_type, means[""]) if cost is None else cost
        tractability = 0.7 if task.tractability is None else task.tractability
        values.append(task.importance * tractability * task.downstream_impact / max(1.0, mean))
    return sorted(range(len(values)), key=lambda index: (-values[index], index))


@tasks
@pytest.mark.parametrize("rank", [rank_by_columns, rank_by_loop])
def bench_rank(benchmark: BenchmarkFixture, rank: object, count: int) -> None:
    benchmark.group = f"scorer: score and rank {count} tasks"
    some = backlog(count)
    ranked = benchmark.pedantic(rank, args=(some, MEANS), rounds=20, warmup_rounds=2)
    assert ranked == rank_by_loop(some, MEANS)


@tasks
def bench_plan(benchmark: BenchmarkFixture, count: int) -> None:
    benchmark.group = f"scorer: plan the bids of a wallet with {count} tasks, a thousand of which have one"
    scores = score_tasks(backlog(count), MEANS)
    fractions = {f"quest-{number}": 0.6 for number in range(100)}
    now, config = datetime(2027, 1, 15, tzinfo=UTC), Config()
    empty = Wallet(10**7, [], frozenset())
    resting = [
        Resting(number, bid.task_id, bid.price_tokens or 0, bid.ttl_at)
        for number, bid in enumerate(plan(scores, fractions, empty, now, config).places, start=1)
    ]
    wallet = Wallet(10**7 - sum(bid.price_tokens for bid in resting), resting, frozenset())
    planned = benchmark.pedantic(plan, args=(scores, fractions, wallet, now, config), rounds=20, warmup_rounds=2)
    assert len(planned.kept) == len(resting) <= config.ev_bids_per_wallet_max
    assert not (planned.cancels or planned.lowers or planned.raises or planned.places)
