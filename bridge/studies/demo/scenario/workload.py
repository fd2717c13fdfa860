"""The workload: real arrivals done by real models, worth what a seed draws.

Rule of this file: pure and deterministic; everything that chance decides about a task is decided here, once, before any
policy sees it, so that all policies face the same fate. `PROVENANCE` says which values are real and which are drawn.

One token is a millionth of a US dollar. An Aider exercise takes 17,840 LLM tokens (the median of the 22 runs that were
counted); a call of the Azure trace takes its own context and generated tokens, so it is that fraction of an exercise,
and costs and lasts that fraction of what the model's exercises cost and lasted.
"""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from statistics import median
from typing import Final, Literal

import numpy as np
from msgspec import Struct

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.studies.demo import options

Kind = Literal["quest", "agent"]

ARRIVALS_FILE: Final = "azure_llm_code_window.csv"
MODELS_FILE: Final = "aider_polyglot.csv"
# The window's first instant; `--minutes` counts from here.
WINDOW_STARTS_AT: Final = datetime(2023, 11, 16, 18, 17, tzinfo=UTC)
MINUTES_MAX: Final = options.MINUTES_MAX

# A waiting task is of no use after two minutes: longer than any burst of the trace, so that a queue can drain.
TASK_TTL_US: Final = 120_000_000
# A slot is taken back after two minutes without a result, long before the slowest model is done.
LEASE_US: Final = 120_000_000

QUESTS: Final = (
    "compilers", "security", "databases", "graphics", "robotics", "biology",
    "networks", "testing", "search", "finance", "mobile", "docs",
)  # fmt: skip
# Three models work for each quest; the other fifteen bid for themselves.
WORKERS_PER_QUEST: Final = 3
# A typical solved task is worth five cents: a few times what a typical model costs, and less than the dearest do.
VALUE_TYPICAL_TOKENS: Final = 50_000
# Between bidders and between the tasks of one bidder, worth varies by about a factor of two either way.
IMPORTANCE_SIGMA: Final = 0.7
DOWNSTREAM_SIGMA: Final = 0.7
# What comes out differs from what was expected.
IMPACT_SIGMA: Final = 0.4
COST_SIGMA: Final = 0.3
SERVICE_SIGMA: Final = 0.2
PROVIDER_FAILURE_SHARE: Final = 0.02
WORKER_VANISHES_SHARE: Final = 0.005
# A wallet starts with five typical tasks for each model that works on its account: some cycles of bids, not a fortune.
WALLET_PER_WORKER_TOKENS: Final = 5 * VALUE_TYPICAL_TOKENS

PROVENANCE: Final = {
    "real": (
        "arrival times and context and generated tokens of each task (Azure LLM code trace, 2023-11-16)",
        "cost and seconds per task and the share solved of each model (Aider polyglot leaderboard)",
    ),
    "scaled": (
        "a task is the fraction of an Aider exercise that its tokens are of the median exercise's; its cost and its "
        "time are that fraction of the model's",
    ),
    "drawn": (
        "which model a task goes to (uniform) and which three models work for which quest (a permutation)",
        "the worth of a task if solved: importance of its bidder times downstream impact of the task (lognormal)",
        "whether it is solved (a coin with the model's real share), and the deviation of impact, cost and time from "
        "what was expected (lognormal, mean 1)",
        "provider failures (2 % of tasks) and workers that vanish (0.5 %)",
    ),
}


class Model(Struct, frozen=True):
    """One run of the leaderboard."""

    name: str
    test_cases: int
    solved: int
    cost_usd: float
    seconds_per_case: float
    tokens_per_case: float | None

    @property
    def share_solved(self) -> float:
        """The share of the exercises that it solved."""
        return self.solved / self.test_cases

    @property
    def cost_tokens_per_case(self) -> float:
        """What one exercise cost, in millionths of a dollar."""
        return self.cost_usd * 1e6 / self.test_cases


class Arrival(Struct, frozen=True):
    """One call of the trace; `at_us` is since 1970."""

    at_us: int
    context_tokens: int
    generated_tokens: int


class Bidder(Struct, frozen=True):
    """A quest with its workers, or an agent that is its own; workers are indexes into the models."""

    bidder_id: str
    kind: Kind
    importance: float
    workers: tuple[int, ...]
    wallet_tokens: int


class Fate(Struct, frozen=True):
    """What will happen to a task if it gets a slot. No policy sees this."""

    service_us: int
    cost_tokens: int
    solved: bool
    impact_micros: int
    provider_fails: bool
    worker_vanishes: bool


class Task(Struct, frozen=True):
    """One arrival with its bidder, its worker and its worth."""

    index: int
    bidder: int
    worker: int
    arrived_us: int
    ttl_at_us: int
    llm_tokens: int
    downstream: float
    value_tokens: int
    estimated_cost_tokens: int
    estimated_service_us: int
    fate: Fate

    @property
    def task_id(self) -> str:
        """Its name in the market."""
        return f"task-{self.index:05d}"


class Workload(Struct, frozen=True):
    """Everything that all policies share."""

    seed: int
    minutes: int
    models: tuple[Model, ...]
    bidders: tuple[Bidder, ...]
    tasks: tuple[Task, ...]
    exercise_tokens: float

    @property
    def starts_at_us(self) -> int:
        """The window's first instant."""
        return int(WINDOW_STARTS_AT.timestamp()) * 1_000_000

    @property
    def ends_at_us(self) -> int:
        """The end of arrivals."""
        return self.starts_at_us + self.minutes * 60_000_000


def load_arrivals(minutes: int = MINUTES_MAX) -> tuple[Arrival, ...]:
    """Return the real arrivals of the first minutes of the window, in order."""
    starts_at_us = int(WINDOW_STARTS_AT.timestamp()) * 1_000_000
    arrivals = []
    for row in _rows(ARRIVALS_FILE):
        seconds, _, fraction = row["TIMESTAMP"].partition(".")
        second = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
        at_us = int(second.timestamp()) * 1_000_000 + int(fraction[:6].ljust(6, "0"))
        if at_us < starts_at_us + minutes * 60_000_000:
            arrivals.append(Arrival(at_us, int(row["ContextTokens"]), int(row["GeneratedTokens"])))
    return tuple(arrivals)


def load_models() -> tuple[Model, ...]:
    """Return the runs of the leaderboard in the order of the file."""
    models = []
    for row in _rows(MODELS_FILE):
        cases = int(row["test_cases"])
        counted = row["prompt_tokens"] and row["completion_tokens"]
        tokens = (int(row["prompt_tokens"]) + int(row["completion_tokens"])) / cases if counted else None
        cost_usd, seconds = float(row["total_cost_usd"]), float(row["seconds_per_case"])
        models.append(Model(row["model"], cases, int(row["solved"]), cost_usd, seconds, tokens))
    return tuple(models)


def make_workload(seed: int, minutes: int = MINUTES_MAX) -> Workload:
    """Draw bidders, worth and fate for the real arrivals. The same seed gives the same workload."""
    if not 1 <= minutes <= MINUTES_MAX:
        raise Invalid("minutes", minutes, f"1 to {MINUTES_MAX} (the length of the trace's window)")
    models, arrivals = load_models(), load_arrivals(minutes)
    random = np.random.Generator(np.random.PCG64(seed))
    bidders = _draw_bidders(random, models)
    owner = {worker: index for index, bidder in enumerate(bidders) for worker in bidder.workers}
    exercise_tokens = median(model.tokens_per_case for model in models if model.tokens_per_case is not None)
    tasks = _draw_tasks(random, arrivals, models, bidders, owner, exercise_tokens)
    return Workload(seed, minutes, models, bidders, tasks, exercise_tokens)


def _draw_bidders(random: np.random.Generator, models: Sequence[Model]) -> tuple[Bidder, ...]:
    order = [int(index) for index in random.permutation(len(models))]
    employed = len(QUESTS) * WORKERS_PER_QUEST
    crews = [tuple(order[start : start + WORKERS_PER_QUEST]) for start in range(0, employed, WORKERS_PER_QUEST)]
    crews += [(index,) for index in order[employed:]]
    names = [f"quest:{name}" for name in QUESTS]
    names += [f"agent:{account_name(models[index].name)}" for index in order[employed:]]
    importance = random.lognormal(0.0, IMPORTANCE_SIGMA, len(crews))
    return tuple(
        Bidder(
            name, "quest" if number < len(QUESTS) else "agent", float(importance[number]), crew,
            WALLET_PER_WORKER_TOKENS * len(crew),
        )
        for number, (name, crew) in enumerate(zip(names, crews, strict=True))
    )  # fmt: skip


def _draw_tasks(
    random: np.random.Generator,
    arrivals: Sequence[Arrival],
    models: Sequence[Model],
    bidders: Sequence[Bidder],
    owner: dict[int, int],
    exercise_tokens: float,
) -> tuple[Task, ...]:
    count = len(arrivals)
    workers = random.integers(0, len(models), count)
    downstream = random.lognormal(0.0, DOWNSTREAM_SIGMA, count)
    # Mean 1, so that the expected value is also the mean of the outcomes.
    impact, cost, service = (
        random.lognormal(-sigma * sigma / 2, sigma, count) for sigma in (IMPACT_SIGMA, COST_SIGMA, SERVICE_SIGMA)
    )
    coins, failures, vanishings = random.random((3, count))
    tasks = []
    for index, arrival in enumerate(arrivals):
        worker = int(workers[index])
        model, bidder = models[worker], owner[worker]
        llm_tokens = arrival.context_tokens + arrival.generated_tokens
        fraction = llm_tokens / exercise_tokens
        value_tokens = int(VALUE_TYPICAL_TOKENS * bidders[bidder].importance * float(downstream[index]))
        estimated_cost_tokens = max(1, round(model.cost_tokens_per_case * fraction))
        estimated_service_us = max(1, round(model.seconds_per_case * fraction * 1e6))
        solved = float(coins[index]) < model.share_solved
        fate = Fate(
            service_us=max(1, round(estimated_service_us * float(service[index]))),
            cost_tokens=max(1, round(estimated_cost_tokens * float(cost[index]))),
            solved=solved,
            impact_micros=round(value_tokens * float(impact[index])) if solved else 0,
            provider_fails=float(failures[index]) < PROVIDER_FAILURE_SHARE,
            worker_vanishes=float(vanishings[index]) < WORKER_VANISHES_SHARE,
        )
        tasks.append(
            Task(
                index, bidder, worker, arrival.at_us, arrival.at_us + TASK_TTL_US, llm_tokens, float(downstream[index]),
                value_tokens, estimated_cost_tokens, estimated_service_us, fate,
            )
        )  # fmt: skip
    return tuple(tasks)


def account_name(model_name: str) -> str:
    """Return a model's name as the market can spell it: visible ASCII without spaces."""
    kept = "".join(character if character.isalnum() or character in ".-" else " " for character in model_name.lower())
    return "-".join(kept.split())


def _rows(file_name: str) -> list[dict[str, str]]:
    text = files("callmarket.bridge.studies.demo").joinpath("data", file_name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
