"""The stages of a run: the ceiling, the capacity, the latency below it, and twice of it.

Rule of this file: what is compared is measured by turns in one run, and told as medians and ratios. Capacity is found,
not assumed: rates rise until the wait of one request in a hundred passes a bound, or requests are left over.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, Literal

from benchmarks.load import served
from benchmarks.load.client import Plan, Result, Told
from benchmarks.load.served import Address, Audit, Keys, Memory

Kind = Literal["bid", "batch"]

BIDS_EACH: Final[dict[str, int]] = {"bid": 1, "batch": 100, "empty": 1}
CONNECTIONS: Final = 64
# Then the next plan goes to the next market: no stage is about full ones.
BIDS_PER_MARKET: Final = 1_000_000
# More than the requests that the service lets wait: an open loop on few connections would wait in the client instead.
OVERLOAD_CONNECTIONS: Final = 3_000
# A rate is sustained if the wait of one request in a hundred stays below this, and (nearly) all of it is answered.
P99_S_MAX: Final[dict[str, float]] = {"bid": 0.1, "batch": 0.5}
SUSTAINED: Final = 0.98
# The rates that are tried, as shares of what the same number of connections gets when it never pauses.
RISING: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass
class Sizes:
    """How long the parts of a run take, in seconds."""

    rounds: int = 5
    burst_s: float = 2.0
    step_s: float = 4.0
    hold_s: float = 10.0
    overload_s: float = 20.0
    recovery_s: float = 10.0


@dataclass
class Run:
    """One served market, the peers beside it, and what its clients were told so far."""

    database_url: str
    market: Address
    framework: Address
    bare: Address
    keys: Keys
    told: list[Told] = field(default_factory=list)
    not_durable: int = 0
    tasks: int = 0

    def client(self, kind: str, where: Address, *, connections: int = CONNECTIONS, **plan: object) -> Result:
        """What becomes of a plan. No task is used twice."""
        asked = Plan(
            host=where.host,
            port=where.port,
            kind=kind,  # type: ignore[arg-type]
            connections=connections,
            key="" if kind == "empty" else self.keys.bidding,
            first_task=self.tasks,
            market=self.tasks // BIDS_PER_MARKET,
            **plan,  # type: ignore[arg-type]
        )
        count = asked.count or sum(int(rate_per_s * lasting_s) for rate_per_s, lasting_s in asked.phases)
        if kind != "empty":
            self.tasks += count * BIDS_EACH[kind]
        result = served.run_client(asked)
        self.told += result.told
        self.not_durable += result.not_durable
        return result

    def audit(self) -> Audit:
        """Look up all that was acknowledged."""
        return served.audit(self.database_url, self.told)


def open_run(database_url: str, stack: ExitStack) -> Run:
    """A served market with rich bidders, and the ceilings."""
    market = stack.enter_context(served.market(database_url))
    framework = stack.enter_context(served.ceiling("starlette"))
    bare = stack.enter_context(served.ceiling("asgi"))
    return Run(database_url, market, framework, bare, served.furnish(database_url, market))


@dataclass
class Peak:
    """Requests a second on connections that never pause: medians of some rounds by turns; ratios within a round."""

    framework_per_s: float
    bare_per_s: float
    bids_per_s: float
    batches_per_s: float
    bids_ratio: float
    """To the framework's empty answers, in the same round."""
    client_us: float
    """What one bid costs the client, in time of its processor."""


def peak(run: Run, sizes: Sizes) -> Peak:
    """The ceilings and ours, by turns."""
    ways: dict[str, tuple[str, Address]] = {
        "framework": ("empty", run.framework),
        "bare": ("empty", run.bare),
        "bids": ("bid", run.market),
        "batches": ("batch", run.market),
    }
    # How many fill the time: asked of each once, which also warms it.
    counts = {
        name: max(CONNECTIONS, int(run.client(kind, where, count=4 * CONNECTIONS).good_per_s * sizes.burst_s))
        for name, (kind, where) in ways.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    client_us = []
    for _ in range(sizes.rounds):
        for name, (kind, where) in ways.items():
            result = run.client(kind, where, count=counts[name])
            assert set(result.statuses) <= {"200", "201"}, result.statuses
            rates[name].append(result.good_per_s)
            if name == "bids":
                client_us.append(result.processor_s / counts[name] * 1e6)
    ratios = [ours / theirs for ours, theirs in zip(rates["bids"], rates["framework"], strict=True)]
    return Peak(
        framework_per_s=statistics.median(rates["framework"]),
        bare_per_s=statistics.median(rates["bare"]),
        bids_per_s=statistics.median(rates["bids"]),
        batches_per_s=statistics.median(rates["batches"]),
        bids_ratio=statistics.median(ratios),
        client_us=statistics.median(client_us),
    )


def capacity(run: Run, kind: Kind, peak_per_s: float, sizes: Sizes, say: Callable[[str], None]) -> float:
    """The highest rate of requests that was sustained, in an open loop of rising rates; 0 if none was."""
    sustained = 0.0
    for share in RISING:
        rate_per_s = share * peak_per_s
        result = run.client(kind, run.market, phases=((rate_per_s, sizes.step_s),))
        p99_s = result.quantile_s(0.99)
        say(f"    {rate_per_s:7.0f} requests/s: p99 {p99_s * 1e3:.0f} ms, answered {result.good_per_s:.0f}/s")
        if p99_s > P99_S_MAX[kind] or result.good_per_s < SUSTAINED * rate_per_s:
            break
        sustained = rate_per_s
    return sustained


def holding(run: Run, kind: Kind, capacity_per_s: float, sizes: Sizes) -> Iterator[tuple[float, Result]]:
    """What is felt at shares of the capacity."""
    for share in (0.5, 0.8, 1.0):
        yield share, run.client(kind, run.market, phases=((share * capacity_per_s, sizes.hold_s),))


@dataclass
class Overload:
    """What became of twice the capacity, and of what came after it."""

    result: Result
    placed_per_s: float
    refused_per_s: float
    unanswered: int
    told_when: bool
    """Whether every refusal said when to come back."""
    placed_worst_s: float
    refused_p99_s: float
    recovered_s: float
    """From the end of the overload to the first whole second without a refusal or a wait beyond `P99_S_MAX`."""
    before_mb: float
    at_half_mb: float
    at_end_mb: float
    kb_per_bid: float
    """Growth over all bids that rest now."""


def overload(run: Run, capacity_per_s: float, sizes: Sizes) -> Overload:
    """Twice the capacity for a while, then half of it."""
    phases = ((2 * capacity_per_s, sizes.overload_s), (capacity_per_s / 2, sizes.recovery_s))
    with Memory(run.market.pid) as memory:
        result = run.client("bid", run.market, connections=OVERLOAD_CONNECTIONS, phases=phases)
    end_s = int(sizes.overload_s)
    during, after = result.seconds[:end_s], result.seconds[end_s:]
    well = [second for second, (worst_s, due, good) in enumerate(after) if worst_s <= P99_S_MAX["bid"] and good == due]
    placed = sum(good for _, _, good in during)
    refused = sum(due - good for _, due, good in during)
    samples_mb = memory.samples_mb
    return Overload(
        result=result,
        placed_per_s=placed / sizes.overload_s,
        refused_per_s=refused / sizes.overload_s,
        unanswered=result.statuses.get("0", 0),
        told_when=result.retry_after == sum(result.statuses.get(status, 0) for status in ("429", "503")),
        placed_worst_s=max(worst_s for worst_s, _, _ in during),
        refused_p99_s=sorted(result.refused_s)[int(0.99 * len(result.refused_s))] if result.refused_s else 0.0,
        recovered_s=float(well[0] if well else len(after)),
        before_mb=samples_mb[0],
        at_half_mb=samples_mb[len(samples_mb) // 2],
        at_end_mb=samples_mb[-1],
        kb_per_bid=(samples_mb[-1] - samples_mb[0]) * 1024 / max(1, len(result.told)),
    )
