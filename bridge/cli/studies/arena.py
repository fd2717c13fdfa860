"""The command `arena`: shipped bidding strategies against each other, and against honest bidding.

Rule of this file: arguments in, tables and an HTML report out; it needs no database.
"""

from pathlib import Path
from typing import Annotated

import typer

from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, console, print_json
from callmarket.bridge.studies.arena.options import (
    BIDDERS_MAX,
    BIDDERS_MIN,
    ROUNDS_MAX,
    SEED_MAX,
    SEEDS_MAX,
    SEEDS_MIN,
    ArenaOptions,
)
from callmarket.bridge.studies.demo.options import SEED

_DEFAULTS = ArenaOptions()


def arena(
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="The first seed of the random numbers.")] = SEED,
    seeds: Annotated[
        int, typer.Option(min=SEEDS_MIN, max=SEEDS_MAX, help="How many seeds, from that one on.")
    ] = _DEFAULTS.seeds,
    rounds: Annotated[int, typer.Option(min=1, max=ROUNDS_MAX, help="Rounds of a game.")] = _DEFAULTS.rounds,
    bidders: Annotated[
        int, typer.Option(min=BIDDERS_MIN, max=BIDDERS_MAX, help="Bidders of a game.")
    ] = _DEFAULTS.bidders,
    report: Annotated[Path, typer.Option(help="Where to write the HTML report.")] = Path("callmarket-arena.html"),
    as_json: AsJson = False,
) -> None:
    """Let shipped strategies compete on a real trace under each pricing rule, and measure the regret of honesty.

    Exit code 1 if honesty is not dominant where it should be.
    """
    # Imported here: numpy takes a tenth of a second to import, which no other command should pay.
    from callmarket.bridge.studies.arena.run import run_arena  # noqa: PLC0415

    options = ArenaOptions(seed=seed, seeds=seeds, rounds=rounds, bidders=bidders, report=report)
    # With --json the tables go to stderr, so that stdout has only the result.
    result = run_arena(options, console(to_stderr=as_json))
    if as_json:
        print_json(result)
    if not result.ok:
        raise typer.Exit(EXIT_WRONG)
