"""The commands about those who trade: `portfolio`, `leaderboard`.

Rule of this file: that of its folder. No figure without the number of observations that it rests on.
"""

from typing import Annotated, Final

import typer
from msgspec import structs

from callmarket.bridge.api.operations.portfolios.performance import LEADERS_MAX, PERIOD_DAYS_MAX, LeaderOrder
from callmarket.bridge.cli.artifacts import portfolio_tables as tables
from callmarket.bridge.cli.artifacts.served import account_of, served
from callmarket.bridge.cli.output import AsJson, show

_PAGE_ROWS: Final = 100

Days = Annotated[
    int, typer.Option("--days", min=1, max=PERIOD_DAYS_MAX, help="Whole days of UTC to look at, up to yesterday.")
]


def portfolio(
    account: Annotated[str, typer.Argument(help="The account. Default: the only one of the key.")] = "",
    days: Days = 30,
    rows: Annotated[int, typer.Option("--rows", min=1, max=1_000, help="The maximum number of positions.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what an account has in artifact markets, what it earned there, and how sure that is."""
    with served() as market:
        whose = account or account_of(market)
        found = market.get_portfolio(whose, limit=min(rows, _PAGE_ROWS))
        while found.next is not None and len(found.positions) < rows:
            limit = min(rows - len(found.positions), _PAGE_ROWS)
            page = market.get_portfolio(whose, limit=limit, after=found.next)
            # The sums are of the latest moment, and so is the row that they name.
            found = structs.replace(page, positions=found.positions + page.positions)
        sharpe = market.compute_sharpe(whose, days)
        history = market.get_portfolio_days(whose, days)
        record = market.get_track_record(whose)
    told = {"portfolio": found, "sharpe": sharpe, "days": history, "track_record": record}
    show(told, as_json, lambda: tables.portfolio(found, sharpe, history, record))


def leaderboard(
    by: Annotated[LeaderOrder, typer.Option("--by", help="profit, bits of information, or Sharpe ratio.")] = "profit",
    days: Days = 90,
    rows: Annotated[int, typer.Option("--rows", min=1, max=LEADERS_MAX, help="The maximum number of accounts.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show who did best where artifacts were judged; open positions count for nothing, at whatever price."""
    with served() as market:
        page = market.get_top_performers(rows, by, days)
    show({"leaders": page.items}, as_json, lambda: tables.leaderboard(page.items, by, days))
