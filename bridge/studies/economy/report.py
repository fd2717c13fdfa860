"""The economy's report: one HTML file that needs no network, in the style of the demo's.

Rule of this file: every number comes from the result, every word of a result is escaped, and values drawn rather than
real is said on the page itself.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from callmarket.bridge.fleet.earning.rates import shipped_rates
from callmarket.bridge.studies.demo.report import data_text, proof_rows
from callmarket.bridge.studies.economy import figures
from callmarket.bridge.studies.economy.bidders import CARE, GREED, LESSON, QUEST_SHARE
from callmarket.bridge.studies.economy.play import RESERVE_TOKENS, REWARD_CAP_TOKENS, REWARD_TOKENS_PER_IMPACT
from callmarket.bridge.studies.economy.result import EconomyResult
from callmarket.bridge.studies.economy.terminal import longest_first, told, weeks

RETURNS_SHOWN = 12


def write_report(path: Path, result: EconomyResult) -> None:
    """Write the report. Replaces the file if it exists."""
    path.write_text(render(result), encoding="utf-8")


def render(result: EconomyResult) -> str:
    """The page as text."""
    last, review = result.days[-1], shipped_rates().rate("review")
    return Template(data_text("callmarket.bridge.studies.economy", "report.html")).substitute(
        style=data_text("callmarket.bridge.studies.demo", "report.css"),
        headline=_headline(result),
        days=len(result.days),
        bidders=len(result.accounts),
        slots=result.slots,
        seed=result.seed,
        tiles=_tiles(result),
        accounts=_accounts(result),
        wallets=figures.wallets(result),
        supply=figures.supply(result),
        supply_table=_supply(result),
        concentration=figures.concentration(result),
        returns=_list([told(one) for one in longest_first(result.returns)[:RETURNS_SHOWN]]),
        returns_note=f"{min(RETURNS_SHOWN, len(result.returns))} of {len(result.returns)}, the longest first.",
        gini=f"{last.gini:.2f}",
        demurrage=f"{result.demurrage_ppm / 10_000:g} %",
        demurrage_total=f"{sum(day.demurrage_tokens for day in result.days):,}",
        proofs=proof_rows(result.proofs),
        greed=f"{GREED:g}",
        care=f"{CARE:.0%}",
        lesson=f"{1 - LESSON:.0%}",
        quest=f"{QUEST_SHARE:.0%}",
        reserve=RESERVE_TOKENS,
        per_impact=REWARD_TOKENS_PER_IMPACT,
        cap=REWARD_CAP_TOKENS,
        review=f"{review.base_tokens} tokens, at most {review.cap_tokens}",
        seconds=", ".join(f"{escape(name)} {seconds:.2f} s" for name, seconds in result.seconds.items()),
    )


def _headline(result: EconomyResult) -> str:
    out = sum(one.priced_out for one in result.accounts)
    back = sum(one.came_back for one in result.accounts)
    who = sum(bool(one.priced_out) for one in result.accounts)
    return (
        f"{who} of {len(result.accounts)} bidders could not pay the price of a slot, {out} times; {back} times they "
        "came back, each time after earning."
    )


def _tiles(result: EconomyResult) -> str:
    minted = sum(day.minted_tokens for day in result.days)
    burnt = sum(day.burnt_tokens for day in result.days)
    proven = sum(proof.ok for proof in result.proofs)
    tiles = [
        (f"{minted:,}", "tokens minted"),
        (f"{burnt:,}", "tokens burnt"),
        (f"{result.days[-1].supply_tokens:,}", "tokens in circulation at the end"),
        (f"{proven} of {len(result.proofs)}", "proofs hold"),
    ]
    return "".join(f"<div class=tile><b>{number}</b><span>{text}</span></div>" for number, text in tiles)


def _accounts(result: EconomyResult) -> str:
    head = ("", "habit", "paid for slots", "rewards", "reviews", "demurrage", "at the end", "priced out", "back")
    rows = [
        (
            one.account_id,
            one.habit,
            *(
                f"{number:,}" if number else "-"
                for number in (one.paid_tokens, one.rewarded_tokens, one.earned_tokens, one.demurrage_tokens)
            ),
            f"{one.balance_tokens:,}",
            str(one.priced_out or "-"),
            str(one.came_back if one.priced_out else "-"),
        )
        for one in result.accounts
    ]
    return _table(head, rows)


def _supply(result: EconomyResult) -> str:
    head = ("days", "minted", "burnt", "of it demurrage", "supply", "bids refused", "Gini")
    rows = [
        (
            f"{row[0].day} to {row[-1].day}",
            f"{sum(day.minted_tokens for day in row):,}",
            f"{sum(day.burnt_tokens for day in row):,}",
            f"{sum(day.demurrage_tokens for day in row):,}",
            f"{row[-1].supply_tokens:,}",
            f"{sum(day.bids_refused for day in row):,}",
            f"{row[-1].gini:.2f}",
        )
        for row in weeks(result.days)
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(
        f"<tr><th>{escape(row[0])}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in row[1:])}</tr>" for row in rows
    )
    return f"<table><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table>"


def _list(items: Sequence[str]) -> str:
    return "".join(f"<li>{escape(item)}</li>" for item in items)
