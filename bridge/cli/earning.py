"""The command that shows earnings, and the rates of work: `earnings`.

Rule of this file: it reads the tables and the settings, and moves no tokens.
"""

from typing import Annotated

import typer

from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.cli import tables
from callmarket.bridge.cli.database import connected
from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, RowsMax, Url, config_of, fail, show
from callmarket.bridge.fleet.earning.rates import configured_rates
from callmarket.persistence import queries
from callmarket.persistence.queries import Paging


def earnings(
    account: Annotated[str, typer.Argument(help="The account. Default: show what each kind of work pays.")] = "",
    rows: RowsMax = 20,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Show what an account earned, by reason and period; or the rates of each kind of work (`earnings_file`)."""
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
