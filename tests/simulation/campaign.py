"""Many seeds, one after the other: `python3 dev.py simulate --seeds 5000`, or one of them: `--seed 17`.

Rule of this file: it says what it runs, what occurred and what never did, and stops at the first seed that fails with
all that is needed to repeat it.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from callmarket.engine.reject import Reject
from tests.simulation.options import CHAOS_EVERY_US, FATES, LOSSES
from tests.simulation.run import Result, SimulationFailed, simulate

SEED_LIMIT = 2**32
PROGRESS_EVERY = 200
# Seeds that wait for a process: few, so that a failure ends the campaign soon.
CHUNK = 4

STEPS = ("recovering", "following", "taking over", "taking a snapshot", "bringing the tables along")
EVERY_FAULT = (
    *CHAOS_EVERY_US,
    *LOSSES,
    *(f"request {fate}" for fate in FATES),
    *(f"crash while {doing}" for doing in STEPS),
    *(f"failure while {doing}" for doing in STEPS),
    *(f"tables {fate}" for fate in ("lost before", "lost after", "late")),
    "the fence says Fenced",
    "the fence says Gap",
    "restart before the answer",
    "a batch in doubt was found",
    "an attempt that hung was cut",
    "a writer was fenced off",
    "a writer gave up or was stopped",
    "a writer was drained",
    "an outage was too long",
    "queue full",
    "a clock kept a node from leading",
    "nothing is taken by a clock that leapt",
    "outcome unknown to a client",
    "client timeout",
    "retry answered from memory",
    "retry answered from the journal",
    "snapshot taken",
    "recovery from a snapshot",
    "recovery passed over a snapshot",
    "a standby takes over",
    "another standby was faster",
    "tables brought level beside the leader",
    "tables went back in a crash",
    "the tables are too far behind",
    "reply when the tables have it",
    "too many wait for the tables",
    "a projector found another leader",
)
"""Whatever the simulation counts: faults, and the rare ways in which the system meets them."""

# The worlds are those of the auction: nobody trades in artifacts there.
OF_ARTIFACTS = (
    *("ARTIFACT_MARKET_UNKNOWN", "ORDER_UNKNOWN", "POSITION_UNKNOWN", "ORDER_CLOSED", "POSITION_CLOSED"),
    *("ARTIFACT_MARKET_EXISTS", "CONFLICT_OF_INTEREST", "UNTIL_TOO_FAR", "SETTLE_PRICE_RANGE", "ARTIFACT_SETTLED"),
    *("ARTIFACT_FROZEN", "ARTIFACT_CLOSED", "ARTIFACT_NOT_FROZEN", "DECAY_NOT_DUE", "SHARES_INSUFFICIENT"),
    *("UNFILLABLE", "ARTIFACT_MARKETS_FULL", "ORDERS_PER_ACCOUNT_FULL", "ORDERS_FULL", "POSITIONS_PER_ACCOUNT_FULL"),
    *("POSITIONS_PER_ARTIFACT_FULL", "POSITIONS_FULL", "EXPOSURE_EXCEEDED", "SUBSIDY_EXHAUSTED"),
)


class Coverage:
    """What occurred over many seeds."""

    def __init__(self) -> None:
        self.seeds = self.rows = self.commands = 0
        self.counts: Counter[str] = Counter()
        self.refusals: Counter[Reject] = Counter()

    def add(self, result: Result) -> None:
        """Count one run."""
        self.seeds += 1
        self.rows += result.rows
        self.commands += result.commands
        self.counts += result.counts
        self.refusals += result.refusals

    def missing(self) -> list[str]:
        """The faults and refusals that never occurred."""
        faults = [fault for fault in EVERY_FAULT if not self.counts[fault]]
        return faults + [one.value for one in Reject if not self.refusals[one] and one.value not in OF_ARTIFACTS]

    def __str__(self) -> str:
        """A line for each thing, the rarest first."""
        lines = [f"{self.seeds:,} seeds, {self.commands:,} commands answered, {self.rows:,} rows"]
        lines += [f"{count:>10,} {name}" for name, count in reversed(self.counts.most_common())]
        lines += [f"{count:>10,} {refusal.value}" for refusal, count in reversed(self.refusals.most_common())]
        return "\n".join([*lines, f"never: {', '.join(self.missing()) or 'nothing'}"])


def campaign(seeds: Iterable[int], processes: int = 1) -> Iterator[Result]:
    """Run these seeds, some at a time. Raises `SimulationFailed` for the first that fails."""
    if processes == 1:
        yield from map(simulate, seeds)
        return
    waiting = iter(seeds)
    with ProcessPoolExecutor(processes) as pool:
        while chunk := list(islice(waiting, processes * CHUNK)):
            yield from pool.map(simulate, chunk)


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="dev.py simulate", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="the first seed (default: a new one)")
    parser.add_argument("--seeds", type=int, default=None, help="how many (default: 1 with --seed, else 1000)")
    parser.add_argument("--processes", type=int, default=1, help="how many at a time")
    parser.add_argument("--digests", action="store_true", help="print the digest of each trace, and nothing else")
    asked = parser.parse_args()
    first = random.SystemRandom().randrange(SEED_LIMIT) if asked.seed is None else asked.seed
    count = asked.seeds if asked.seeds is not None else 1000 if asked.seed is None else 1
    say = sys.stdout.write
    if not asked.digests:
        say(f"seeds {first} to {first + count - 1}\n")
    coverage = Coverage()
    try:
        for result in campaign(range(first, first + count), asked.processes):
            coverage.add(result)
            if asked.digests:
                say(f"{result.seed} {result.digest}\n")
            elif coverage.seeds % PROGRESS_EVERY == 0:
                say(f"{coverage.seeds} seeds\n")
                sys.stdout.flush()
    except SimulationFailed as failure:
        say(f"{failure}\n")
        return 1
    if not asked.digests:
        say(f"{coverage}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
