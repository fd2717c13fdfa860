"""What a demo leaves: the numbers for users and programs, and the material for the figures.

Rule of this file: shape only. `DemoResult` is plain data that encodes to JSON; `FigureInputs` holds the arrays.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from callmarket.bridge.studies.demo.audit import Proof
from callmarket.bridge.studies.demo.compare import Verdict
from callmarket.bridge.studies.demo.metrics import Metrics
from callmarket.bridge.studies.demo.options import SEED, DemoOptions
from callmarket.bridge.studies.demo.other_seeds import OtherSeeds
from callmarket.bridge.studies.demo.scenario.auction import Cycle
from callmarket.bridge.studies.demo.scenario.simulation import Run
from callmarket.bridge.studies.demo.scenario.workload import Workload

__all__ = [
    "AUCTION",
    "SEED",
    "DemoOptions",
    "DemoResult",
    "Economy",
    "FigureInputs",
    "KillFacts",
    "Scenario",
    "episodes",
]

AUCTION: Final = "auction"


class Scenario(Struct, frozen=True):
    """The setting of a demo: seed, length, slots, load, tasks and bidders."""

    seed: int
    minutes: int
    slots: int
    load: float
    tasks: int
    quests: int
    agents: int
    cycle_s: float
    arrivals_first: str
    arrivals_last: str


class Economy(Struct, frozen=True):
    """What the tokens of the auction did.

    Declined are tasks that nobody ever wanted to bid for; an episode is a stretch of calls at which a bidder was priced
    out.
    """

    commands: int
    tasks_declined: int
    minted_tokens: int
    burned_tokens: int
    compute_unpaid_tokens: int
    wages_tokens: int
    price_median_tokens: int
    price_max_tokens: int
    refused_for_funds: int
    bidders_priced_out: int
    episodes: int
    episodes_won_after: int


class KillFacts(Struct, frozen=True):
    """The crash, in numbers."""

    at_virtual_s: float
    acknowledged: int
    in_flight: int
    found_journaled: int
    rows_recovered: int
    recovery_s: float
    outage_s: float


class DemoResult(Struct, frozen=True):
    """Everything that came out. `ok` says that every proof holds.

    `selective` are the other policies again, without the tasks that are not worth their compute (`selective.py`).
    """

    ok: bool
    scene: Scenario
    policies: tuple[Metrics, ...]
    selective: tuple[Metrics, ...]
    verdicts: tuple[Verdict, ...]
    other_seeds: OtherSeeds
    proofs: tuple[Proof, ...]
    economy: Economy
    kill: KillFacts | None
    seconds: Mapping[str, float]
    report: str | None

    @property
    def auction(self) -> Metrics:
        """The auction's row."""
        return next(row for row in self.policies if row.policy == AUCTION)


class FigureInputs(Struct, frozen=True):
    """The material for the figures."""

    workload: Workload
    runs: tuple[Run, ...]
    cycles: Sequence[Cycle]
    killed_at_us: int | None


def episodes(cycles: Sequence[Cycle]) -> list[tuple[int, int, int, bool]]:
    """Return each stretch of calls at which a bidder was priced out: bidder, first, last, and whether it won later."""
    found = []
    for bidder in range(len(cycles[0].priced_out) if cycles else 0):
        wins = [number for number, cycle in enumerate(cycles) if bidder in cycle.won]
        first = None
        for number, cycle in enumerate(cycles):
            if cycle.priced_out[bidder] and first is None:
                first = number
            over = not cycle.priced_out[bidder] or number == len(cycles) - 1
            if first is not None and over:
                last = number if cycle.priced_out[bidder] else number - 1
                found.append((bidder, first, last, bool(wins) and wins[-1] > last))
                first = None
    return found
