"""The command that simulates an economy: `economy`.

Rule of this file: options in, the result out; the simulation is in `bridge.studies.economy`.
"""

from pathlib import Path
from typing import Annotated

import typer

from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, Url, config_of, console, print_json
from callmarket.bridge.studies.economy.options import DAYS, DAYS_MAX, DEMURRAGE_PPM, SEED, EconomyOptions


def economy(
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = SEED,
    days: Annotated[int, typer.Option(min=1, max=DAYS_MAX, help="How many days.")] = DAYS,
    demurrage_ppm: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Millionths of idle tokens charged a day. 0: no demurrage.")
    ] = DEMURRAGE_PPM,
    report: Annotated[Path, typer.Option(help="Where to write the HTML report.")] = Path("callmarket-economy.html"),
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Simulate weeks of an economy on the real market: wallets priced out, earning a way back, and the token supply."""
    # Imported here: it takes a while to import, which no other command should pay.
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
    # With --json the tables go to stderr, so that stdout has only the result.
    result = run_economy(options, console(to_stderr=as_json))
    if as_json:
        print_json(result)
    if not result.ok:
        raise typer.Exit(EXIT_WRONG)
