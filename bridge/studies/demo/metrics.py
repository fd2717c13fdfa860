"""What each policy made of the same workload, in numbers.

Rule of this file: pure; one definition per number, the same for every policy. Impact and tokens are both in millionths
of a dollar, so value per token is dollars of impact per dollar of compute.
"""

from typing import Literal

import numpy as np
from msgspec import Struct

from callmarket.bridge.studies.demo.scenario.simulation import CYCLE_US, Run
from callmarket.bridge.studies.demo.scenario.workload import Workload

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
Better = Literal["higher", "lower"]


class Metrics(Struct, frozen=True):
    """One policy's row. Waits are of the tasks that got a slot; shares are of all arrivals."""

    policy: str
    value_per_token: float
    total_value_usd: float
    compute_usd: float
    net_value_usd: float
    tasks_solved: int
    fill_rate: float
    utilisation: float
    wait_p50_s: float
    wait_p99_s: float
    jain_quests: float
    quests_never_served_share: float
    revenue_tokens: int


class Measure(Struct, frozen=True):
    """How a number is called, which way is better, and how it is written."""

    field: str
    title: str
    better: Better
    form: str


MEASURES = (
    Measure("value_per_token", "value per token", "higher", "{:.2f}"),
    Measure("total_value_usd", "total value, $", "higher", "{:.2f}"),
    Measure("compute_usd", "compute burned, $", "lower", "{:.2f}"),
    Measure("net_value_usd", "net value, $", "higher", "{:.2f}"),
    Measure("tasks_solved", "tasks solved", "higher", "{:,}"),
    Measure("fill_rate", "fill rate", "higher", "{:.1%}"),
    Measure("utilisation", "slots in use", "higher", "{:.1%}"),
    Measure("wait_p50_s", "wait p50, s", "lower", "{:.1f}"),
    Measure("wait_p99_s", "wait p99, s", "lower", "{:.1f}"),
    Measure("jain_quests", "Jain index over quests", "higher", "{:.3f}"),
    Measure("quests_never_served_share", "quests never served", "lower", "{:.1%}"),
    Measure("revenue_tokens", "revenue, tokens", "higher", "{:,}"),
)


def measure(workload: Workload, run: Run, revenue_tokens: int = 0) -> Metrics:
    """Compute one policy's row."""
    served = run.started_us >= 0
    waits = waits_s(workload, run)
    by_bidder = served_share_by_bidder(workload, run)
    quests = np.array([bidder.kind == "quest" for bidder in workload.bidders])
    cost = int(run.cost_tokens.sum())
    impact = int(run.impact_micros.sum())
    # Slots in use while tasks arrive; afterwards they empty under every policy.
    cycles = run.slots_busy[: workload.minutes * 60_000_000 // CYCLE_US]
    return Metrics(
        policy=run.policy,
        value_per_token=impact / cost if cost else 0.0,
        total_value_usd=impact / 1e6,
        compute_usd=cost / 1e6,
        net_value_usd=(impact - cost) / 1e6,
        tasks_solved=int((run.impact_micros > 0).sum()),
        fill_rate=float(served.mean()),
        utilisation=float(np.mean(cycles)) / run.slots,
        wait_p50_s=float(np.percentile(waits, 50)) if waits.size else 0.0,
        wait_p99_s=float(np.percentile(waits, 99)) if waits.size else 0.0,
        jain_quests=jain(by_bidder[quests]),
        quests_never_served_share=float((by_bidder[quests] == 0).mean()),
        revenue_tokens=revenue_tokens,
    )


def waits_s(workload: Workload, run: Run) -> Floats:
    """Seconds from arrival to the first slot, of the tasks that got one."""
    arrived = np.array([task.arrived_us for task in workload.tasks], np.int64)
    served = run.started_us >= 0
    return (run.started_us[served] - arrived[served]) / 1e6


def served_share_by_bidder(workload: Workload, run: Run) -> Floats:
    """The share of its tasks for which each bidder got a slot; of a bidder without tasks, 1."""
    owner = np.array([task.bidder for task in workload.tasks], np.int64)
    asked = np.bincount(owner, minlength=len(workload.bidders))
    served = np.bincount(owner[run.started_us >= 0], minlength=len(workload.bidders))
    return np.where(asked == 0, 1.0, served / np.maximum(asked, 1))


def jain(shares: Floats) -> float:
    """Jain's index of fairness: 1 if all are served alike, 1/n if one has everything."""
    squares = float((shares**2).sum())
    return float(shares.sum()) ** 2 / (len(shares) * squares) if squares else 1.0
