"""The output of the simulation in a terminal: accounts, supply, recoveries, proofs.

Rule of this file: it shows `EconomyResult` and computes nothing but sums of rows; it reads well at 80 columns, without
colours, and in a pipe.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from callmarket.bridge.studies.demo.terminal import print_proof
from callmarket.bridge.studies.economy.ledger import Day, Return
from callmarket.bridge.studies.economy.result import EconomyResult

DAYS_PER_ROW: Final = 7
RETURNS_SHOWN: Final = 8


def print_result(console: Console, result: EconomyResult) -> None:
    """Print everything that came out."""
    console.print(
        f"\n{len(result.days)} days of {len(result.accounts)} bidders and {result.slots} slots an hour",
        style="bold",
        highlight=False,
    )
    console.print(
        f"Real: the market, its ledger, every refusal. Drawn: tasks, worth, luck; seed {result.seed}.\n"
        f"Demurrage: {result.demurrage_ppm / 10_000:g} % a day of what lies idle, burnt.\n",
        style="dim",
        highlight=False,
    )
    console.print(_accounts(result))
    console.print(Text.assemble(("\nSupply", "bold"), ", in tokens"))
    console.print(_supply(result.days))
    _print_returns(console, result.returns)
    _print_proofs(console, result)
    if result.report is not None:
        console.print(Text.assemble("\nReport: ", (result.report, "bold")), soft_wrap=True)


def _table(*names: str) -> Table:
    """Columns for text, and for numbers where the name begins with #."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name.removeprefix("#"), justify="right" if name.startswith("#") else "left")
    return table


def _accounts(result: EconomyResult) -> Table:
    table = _table("", "habit", "#paid", "#rewarded", "#reviews", "#idle", "#at the end", "#out", "#back")
    for one in result.accounts:
        numbers = (one.paid_tokens, one.rewarded_tokens, one.earned_tokens, one.demurrage_tokens, one.balance_tokens)
        out = (str(one.priced_out), str(one.came_back)) if one.priced_out else ("-", "-")
        table.add_row(one.account_id, one.habit, *(f"{number:,}" if number else "-" for number in numbers), *out)
    return table


def _supply(days: Sequence[Day]) -> Table:
    table = _table("days", "#minted", "#burnt", "#of it idle", "#supply", "#growth", "#refused", "#Gini")
    before = 0
    for row in weeks(days):
        last = row[-1]
        growth = f"{last.supply_tokens / before - 1:+.1%}" if before else "-"
        table.add_row(
            f"{row[0].day} to {last.day}",
            f"{sum(day.minted_tokens for day in row):,}",
            f"{sum(day.burnt_tokens for day in row):,}",
            f"{sum(day.demurrage_tokens for day in row):,}",
            f"{last.supply_tokens:,}",
            growth,
            f"{sum(day.bids_refused for day in row):,}",
            f"{last.gini:.2f}",
        )
        before = last.supply_tokens
    return table


def weeks(days: Sequence[Day]) -> Iterator[Sequence[Day]]:
    """The days, seven to a row."""
    return (days[first : first + DAYS_PER_ROW] for first in range(0, len(days), DAYS_PER_ROW))


def _print_returns(console: Console, returns: Sequence[Return]) -> None:
    console.print(Text.assemble(("\nPriced out, and back", "bold"), ", the longest first" if returns else ""))
    for one in longest_first(returns)[:RETURNS_SHOWN]:
        console.print(Padding(Text(told(one)), (0, 0, 0, 2), expand=False), highlight=False)
    if len(returns) > RETURNS_SHOWN:
        console.print(Padding(f"and {len(returns) - RETURNS_SHOWN} more", (0, 0, 0, 2), expand=False), style="dim")
    if not returns:
        console.print(Padding("nobody", (0, 0, 0, 2), expand=False))


def longest_first(returns: Sequence[Return]) -> list[Return]:
    """By how long they lasted; those that last still come first."""

    def lasted(one: Return) -> float:
        return float("inf") if one.back_at is None else (one.back_at - one.refused_at).total_seconds()

    return sorted(returns, key=lasted, reverse=True)


def told(one: Return) -> str:
    """One time that somebody was priced out, in words."""
    words = f"{one.account_id} on {one.refused_at:%d %b %H:%M}: had {one.available_tokens:,} where a slot cost "
    words += f"{one.out_price_tokens:,}; earned {one.earned_tokens:,} by reviews"
    words += f" and {one.rewarded_tokens:,} in cheap rounds" if one.rewarded_tokens > 0 else ""
    if one.back_at is None:
        return f"{words}; not back yet"
    return f"{words}; back on {one.back_at:%d %b %H:%M} at a price of {one.price_tokens:,}"


def _print_proofs(console: Console, result: EconomyResult) -> None:
    console.print("\nProofs", style="bold")
    for proof in result.proofs:
        print_proof(console, proof)
