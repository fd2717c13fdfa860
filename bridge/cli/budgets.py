"""The command that shows resource budgets: `budgets`.

Rule of this file: it reads only committed data.
"""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import RenderableType

from callmarket.bridge.api.checks import check_limit, check_names_given
from callmarket.bridge.api.operations.resource_budgets import ResourceBudget, in_llm_tokens
from callmarket.bridge.cli.database import connected
from callmarket.bridge.cli.output import AsJson, RowsMax, Url, config_of, show
from callmarket.bridge.cli.tables import table
from callmarket.persistence.stores.resource_budgets import rankings


def budgets(
    artifact_type: Annotated[str, typer.Argument(help="Only artifacts of this type.")] = "",
    rows: RowsMax = 20,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Show the artifacts with the most budget left for research, and what each budget is made of."""
    check_names_given(artifact_type=artifact_type or None)
    check_limit(rows)
    config = config_of(url)
    with connected(url) as (connection, shard_id):
        found = rankings(connection, shard_id, artifact_type or None, rows)
    ranked = [in_llm_tokens(row, config.llm_tokens_per_token) for row in found]
    show({"budgets": ranked}, as_json, lambda: _table(ranked))


def _table(ranked: Sequence[ResourceBudget]) -> RenderableType:
    numbers = ("#price", "#demand", "#bounties", "#budget", "#spent", "#left", "#LLM tokens")
    shown = table("Budgets for research", "artifact", *numbers)
    for one in ranked:
        amounts = (one.demand_tokens, one.bounty_tokens, one.budget_tokens, one.spent_tokens, one.left_tokens)
        cells = [f"{number:,}" for number in (*amounts, one.left_llm_tokens)]
        shown.add_row(one.artifact_id, f"{one.market_price:.2f}", *cells)
    return shown
