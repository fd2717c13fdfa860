"""Portfolios as tables and lines for the terminal.

Rule of this file: that of `cli.tables`. A figure that may be chance is told with its standard error, or is not told.
"""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from callmarket.bridge.api.operations.portfolios.holdings import Portfolio
from callmarket.bridge.api.operations.portfolios.performance import Leader, PortfolioDays, Sharpe, TrackRecord
from callmarket.bridge.cli.artifacts.tables import number
from callmarket.bridge.cli.tables import table


def portfolio(found: Portfolio, sharpe: Sharpe, days: PortfolioDays, record: TrackRecord) -> RenderableType:
    """An account: sums, figures, and its open positions."""
    lines = [Text(line) for line in _lines(found, sharpe, days, record)]
    if not found.positions:
        return Group(*lines, Text("  no open positions"))
    shown = table("open positions", "#id", "artifact", "side", "#shares", "#cost", "#value", "#exit value")
    for row in found.positions:
        value = "-" if row.exit_value_tokens is None else number(row.exit_value_tokens)
        amounts = (number(row.shares), number(row.cost_tokens), number(row.value_tokens))
        shown.add_row(str(row.position_id), row.artifact_id, row.side, *amounts, value)
    left = found.positions_open - len(found.positions)
    more = [Text(f"and {left:,} more: --rows shows them")] if left else []
    return Group(*lines, Text(), shown, *more)


def _lines(found: Portfolio, sharpe: Sharpe, days: PortfolioDays, record: TrackRecord) -> Iterator[str]:
    yield (
        f"{found.account_id}: {number(found.equity_tokens)} tokens, of which {found.wallet_tokens:,} in its wallet and "
        + (f"{number(found.value_tokens)} in positions at average prices")
    )
    exits = "is not computed beyond 300 holdings"
    if found.exit_value_tokens is not None:
        exits = number(found.exit_value_tokens)
    yield f"  positions cost {number(found.cost_tokens)}; closing all of them now would bring {exits}"
    yield f"  realised {number(found.realised_tokens)}, unrealised {number(found.unrealised_tokens)}"
    if found.exposure is not None:
        yield f"  {number(found.committed_tokens)} tokens are committed, {found.exposure:.2%} of its wealth"
    if sharpe.sharpe is None:
        why = (sharpe.reason or "").replace("_", " ")
        yield f"  Sharpe ratio: none of {sharpe.returns} daily returns ({why})"
    else:
        error = "" if sharpe.standard_error is None else f" ± {sharpe.standard_error:.2f}"
        yield f"  Sharpe ratio: {sharpe.sharpe:.2f}{error} a year, of {sharpe.returns} daily returns"
    if days.days:
        earned = number(days.earned_tokens)
        yield f"  in {len(days.days)} days it earned {earned}; worst drawdown {days.drawdown_worst:.1%}"
    if record.forecasts:
        error = "" if record.standard_error is None else f" ± {record.standard_error:.2f}"
        yield f"  track record: {record.bits:.2f}{error} bits in {record.artifacts} artifacts that were judged"


def leaderboard(rows: Sequence[Leader], by: str, days: int) -> RenderableType:
    """Who did best, each figure with its standard error."""
    if not rows:
        return Text(f"nobody has traded in enough artifacts that were judged in the last {days} days")
    shown = table(
        f"leaders of {days} days by {by}", "account", "#artifacts", "#profit", "#bits", "#forecasts", "#Sharpe"
    )
    for row in rows:
        shown.add_row(
            row.account_id,
            str(row.artifacts),
            _with_error(row.profit_tokens, row.profit_error_tokens),
            _with_error(row.bits, row.bits_error),
            str(row.forecasts),
            "-" if row.sharpe is None else _with_error(row.sharpe, row.sharpe_error),
        )
    return Group(shown, Text("± is the standard error: who is within it of another cannot be told apart", style="dim"))


def _with_error(figure: float, error: float | None) -> str:
    return f"{figure:,.2f}" + ("" if error is None else f" ± {error:,.2f}")
