"""Run it: `python -m examples.capital`. It needs no service and no database: the engine runs in this process.

Rule of this file: options in, the report out.
"""

from pathlib import Path
from typing import Annotated, get_args

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from examples.capital.loop import ARTIFACTS, DAYS, Research, play
from examples.capital.report import Outcomes, markdown, rows


def run(
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="How many worlds.")] = 20,
    first_seed: Annotated[int, typer.Option(min=0, max=2**32, help="The first of their seeds.")] = 1,
    output: Annotated[Path | None, typer.Option(help="A folder for report.md and capital.svg.")] = None,
) -> None:
    """Let agents who know different things trade positions, and research follow the prices."""
    outcomes: Outcomes = {
        way: [play(seed, way) for seed in range(first_seed, first_seed + seeds)] for way in get_args(Research)
    }
    title = f"{ARTIFACTS} artifacts, {DAYS} days, {seeds} worlds (seeds from {first_seed}): means and standard errors"
    table = Table("", *(f"research {way}" for way in outcomes), title=title, box=box.SIMPLE)
    for row in rows(outcomes):
        table.add_row(*row)
    Console(highlight=False, markup=False, emoji=False).print(table)
    if output is not None:
        # Only here, because matplotlib takes half a second, and is not needed for the table.
        from examples.capital.figures import draw  # noqa: PLC0415

        output.mkdir(parents=True, exist_ok=True)
        draw(outcomes, output / "capital.svg")
        (output / "report.md").write_text(f"{title}\n\n{markdown(outcomes)}\n\n![](capital.svg)\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(run)
