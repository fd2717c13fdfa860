"""The command about budgets for research: `budgets`.

Rule of this file: it only reads what is committed.
"""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich import box
from rich.console import RenderableType
from rich.table import Table

from bridge.app import database_url
from bridge.cli.output import AsJson, RowsMax, Url, config_of, show
from bridge.resource_allocator.questions import ResourceBudget, check_ranking, in_llm_tokens
from persistence.connections import connect
from persistence.resource_budgets import rankings


def budgets(
    artifact_type: Annotated[str, typer.Argument(help="Only artifacts of this type.")] = "",
    rows: RowsMax = 20,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Show which artifacts have most left to spend on research, and how that comes about."""
    check_ranking(artifact_type or None, rows)
    config = config_of(url)
    with database_url(config) as resolved, connect(resolved, "callmarket cli", read_only=True) as connection:
        found = rankings(connection, config.shard_id, artifact_type or None, rows)
    ranked = [in_llm_tokens(row, config.llm_tokens_per_token) for row in found]
    show({"budgets": ranked}, as_json, lambda: _table(ranked))


def _table(ranked: Sequence[ResourceBudget]) -> RenderableType:
    table = Table(title="Budgets for research", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("artifact", overflow="fold")
    for name in ("price", "staked", "bounties", "budget", "spent", "left", "LLM tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in ranked:
        numbers = (one.demand_tokens, one.bounty_tokens, one.budget_tokens, one.spent_tokens, one.left_tokens)
        shown = [f"{number:,}" for number in (*numbers, one.left_llm_tokens)]
        table.add_row(one.artifact_id, f"{one.market_price:.2f}", *shown)
    return table
