"""The command about earning: what an account earned, and what work pays.

Rule of this file: it reads, from the tables and from the settings, and pays nobody.
"""

from typing import Annotated

import typer

from bridge.api.clock import system_clock
from bridge.api.units import datetime_of
from bridge.cli import tables
from bridge.cli.database import connected
from bridge.cli.output import EXIT_WRONG, AsJson, RowsMax, Url, config_of, fail, show
from bridge.fleet.earning.rates import configured_rates
from persistence import queries
from persistence.queries import Paging


def earnings(
    account: Annotated[str, typer.Argument(help="The account; left out, what each kind of work pays.")] = "",
    rows: RowsMax = 20,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Show what an account earned, by reason and period; or the table of what work pays (`earnings_file`)."""
    if not account:
        rates = configured_rates(config_of(url))
        show(rates, as_json, lambda: tables.rates(rates))
        return
    with connected(url) as (connection, shard_id):
        found = queries.earned(connection, shard_id, account, datetime_of(system_clock()))
        if found is None:
            fail(f"no account {account!r}", EXIT_WRONG)
        credited = queries.credits_page(connection, shard_id, account, Paging(rows))
    show({"earned": found, "credits": credited}, as_json, lambda: tables.earned(found, credited))
