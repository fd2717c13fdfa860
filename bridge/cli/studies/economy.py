"""The command that plays an economy: `economy`.

Rule of this file: options in, the result out; the simulation is in `bridge.studies.economy`.
"""

from pathlib import Path
from typing import Annotated

import typer

from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, Url, config_of, console, print_json
from callmarket.bridge.studies.economy.options import DAYS, DAYS_MAX, DEMURRAGE_PPM, SEED, EconomyOptions


def economy(
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = SEED,
    days: Annotated[int, typer.Option(min=1, max=DAYS_MAX, help="How many days.")] = DAYS,
    demurrage_ppm: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Millionths of what lies idle, a day; 0: idling is free.")
    ] = DEMURRAGE_PPM,
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path("callmarket-economy.html"),
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Play weeks of an economy on the real market: wallets priced out, good work, the way back, and the supply."""
    # Only here: what reads PostgreSQL and draws takes a while that no other command should pay.
    from callmarket.bridge.studies.economy.run import run_economy  # noqa: PLC0415

    config = config_of(url)
    options = EconomyOptions(
        seed=seed,
        days=days,
        demurrage_ppm=demurrage_ppm,
        report=report,
        home=config.home_path,
        url=config.database_url or None,
    )
    # The tables are for people: with --json they go to stderr, so that stdout is the result alone.
    result = run_economy(options, console(to_stderr=as_json))
    if as_json:
        print_json(result)
    if not result.ok:
        raise typer.Exit(EXIT_WRONG)
