"""The commands that show artifact markets: `artifact markets`, `artifact book`, `artifact trades`.

Rule of this file: that of its folder.
"""

from typing import Annotated

import typer

from callmarket.bridge.cli.artifacts import tables
from callmarket.bridge.cli.artifacts.served import Artifact, served
from callmarket.bridge.cli.output import AsJson, show
from callmarket.engine.capital.market import MarketStatus

Rows = Annotated[int, typer.Option("--rows", min=1, max=1_000, help="The maximum number of rows.")]


def markets(
    status: Annotated[
        MarketStatus | None, typer.Option("--status", help="Only open, frozen, announced or settled ones.")
    ] = None,
    rows: Rows = 100,
    as_json: AsJson = False,
) -> None:
    """List the artifact markets, with price and average price of a long share."""
    with served() as market:
        page = market.artifact_markets(status, limit=rows)
    show({"markets": page.items, "next": page.next}, as_json, lambda: tables.markets(page.items))


def book(
    artifact: Artifact,
    depth: Annotated[int, typer.Option("--depth", min=1, max=1_000, help="Price levels of each side.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show an artifact market: its prices, its rules, its maker, its orders, and what it takes to move the price."""
    with served() as market:
        found = market.artifact_market(artifact, depth)
    show(found, as_json, lambda: tables.book(found))


def trades(artifact: Artifact, rows: Rows = 20, as_json: AsJson = False) -> None:
    """List the latest trades of an artifact, with the price after each."""
    with served() as market:
        page = market.artifact_trades(artifact, limit=rows)
    shown = page.items
    show({"artifact_id": artifact, "trades": shown}, as_json, lambda: tables.trades(artifact, shown))
