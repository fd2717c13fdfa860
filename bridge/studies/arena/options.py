"""What a caller of the arena may choose, and how much of it.

Rule of this file: it imports nothing heavy, so that a command line can know the options without paying for numpy.
"""

from pathlib import Path
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.studies.demo.options import MINUTES_MAX, SEED

# A call each ten seconds of the trace: some 28 arrivals, so that a bidder of eight has several tasks in a round.
CALL_US: Final = 10_000_000
# As many as the window of the trace has.
ROUNDS_MAX: Final = MINUTES_MAX * 60_000_000 // CALL_US
# Fewer than two have nobody to bid against; beyond 32 a bidder has less than one task in a round.
BIDDERS_MIN: Final = 2
BIDDERS_MAX: Final = 32
# Fewer than two have no interval; two hundred take some minutes and narrow it to a quarter.
SEEDS_MIN: Final = 2
SEEDS_MAX: Final = 200
SEED_MAX: Final = 2**32 - 1


class ArenaOptions(Struct, frozen=True, kw_only=True):
    """`seeds` games (the first has `seed`) of `rounds` rounds. `report` None writes no report."""

    seed: int = SEED
    seeds: int = 8
    rounds: int = 24
    bidders: int = 8
    report: Path | None = Path("callmarket-arena.html")


def check(options: ArenaOptions) -> None:
    """Raise `Invalid` for options out of bounds, before anything is done."""
    bounds = (("seed", 0, SEED_MAX), ("seeds", SEEDS_MIN, SEEDS_MAX), ("rounds", 1, ROUNDS_MAX))
    for name, low, high in (*bounds, ("bidders", BIDDERS_MIN, BIDDERS_MAX)):
        value = getattr(options, name)
        if not low <= value <= high:
            raise Invalid(name, value, f"{low} to {high}")
    if options.report is not None and not options.report.parent.is_dir():
        raise Invalid("report", str(options.report), "a file in a folder that exists")
