"""What all commands of the command line share: options, settings, and how results and errors are told.

Rule of this file: results go to stdout, as tables or as JSON alone; errors are one line on stderr and an exit code.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Final, NoReturn

import msgspec
import typer
from rich.console import Console, RenderableType

from bridge.config import Config, from_environment
from bridge.errors import Invalid

EXIT_WRONG: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 3

Url = Annotated[
    str, typer.Option("--url", help="PostgreSQL to use. Default: CALLMARKET_DATABASE_URL, else the private one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
RowsMax = Annotated[int, typer.Option("--rows", min=1, max=10_000, help="How many rows at most.")]


def config_of(url: str) -> Config:
    """The settings of the environment, with the database that the command line names, if it does."""
    config = from_environment(os.environ)
    return msgspec.structs.replace(config, database_url=url) if url else config


def show(data: object, as_json: bool, render: Callable[[], RenderableType]) -> None:
    """Print a result, for a program or for a person."""
    if as_json:
        print_json(data)
    else:
        Console().print(render())


def print_json(data: object) -> None:
    """Print a result for a program, which may wait for it at the other end of a pipe while this process goes on."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")
    sys.stdout.flush()


def fail(error: object, code: int) -> NoReturn:
    """End with one line on stderr and an exit code."""
    line = " ".join(str(error).split())
    Console(stderr=True).print(f"callmarket: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(code)


def one_market(market: str, market_ids: Sequence[str], when: str = "") -> str:
    """The market of this name, or the only one where none is named; ends or raises `Invalid` where that is none."""
    if market:
        if market not in market_ids:
            fail(f"no market {market!r}{when}", EXIT_WRONG)
        return market
    if len(market_ids) == 1:
        return market_ids[0]
    raise Invalid("market", "", f"one of the markets {', '.join(market_ids)}" if market_ids else "an open market")
