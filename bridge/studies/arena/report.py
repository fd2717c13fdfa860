"""The arena's report: one HTML file that needs no network, in the style of the demo's.

Rule of this file: every number comes from the result, every word of a result is escaped, and values drawn rather than
real is said on the page itself.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from callmarket.bridge.studies.arena import figures
from callmarket.bridge.studies.arena.contest import Estimate
from callmarket.bridge.studies.arena.deviations import RULES
from callmarket.bridge.studies.arena.findings import BIDS, SITUATION, shown_deviation
from callmarket.bridge.studies.arena.result import ArenaResult, find_dominance, find_row
from callmarket.bridge.studies.arena.scenario import KINDS, WORLDS
from callmarket.bridge.studies.arena.small_rounds import SITUATIONS, promised
from callmarket.bridge.studies.arena.strategies import STRATEGIES
from callmarket.bridge.studies.arena.terminal import gains_rows, percent
from callmarket.bridge.studies.demo.report import data_text, proof_rows

# A title, its cells, and which of them are in honesty's favour.
_Line = tuple[str, Sequence[str], Sequence[bool]]


def write_report(path: Path, result: ArenaResult) -> None:
    """Write the report. Replaces the file if it exists."""
    path.write_text(render(result), encoding="utf-8")


def render(result: ArenaResult) -> str:
    """The page as text."""
    setup = result.setup
    return Template(data_text("callmarket.bridge.studies.arena", "report.html")).substitute(
        style=data_text("callmarket.bridge.studies.demo", "report.css"),
        headline=_headline(result),
        strategies=len(STRATEGIES),
        games=f"{result.contest.games + result.duel.games:,}",
        rounds=setup.rounds,
        bidders=setup.bidders,
        seeds=setup.seeds,
        tasks=f"{result.contest.tasks:,}",
        seed=setup.seed,
        proofs=proof_rows(result.proofs),
        small=_small_rounds(result),
        examples=_list(_examples(result)),
        hindsight_figure=figures.hindsight(result),
        hindsight=_hindsight(result),
        gains_figure=figures.gains(result),
        gains=_gains(result),
        regret=_regret(result),
        efficiency=_efficiency(result),
        findings=_list(result.findings),
        paid=f"{result.contest.paid_tokens + result.duel.paid_tokens:,}",
        seconds=", ".join(f"{escape(name)} {seconds:.2f} s" for name, seconds in result.seconds.items()),
    )


def _headline(result: ArenaResult) -> str:
    if not result.ok:
        return "Honesty is not dominant where it should be."
    many = find_dominance(result.dominance, "multi", "first_rejected")
    return (
        "With one bid each, nothing beats an honest bid under first_rejected, and under vickrey nothing does with "
        f"many. Under first_rejected with many, something does: in {many.rounds_with_gain} of {many.rounds} small "
        "rounds."
    )


def _small_rounds(result: ArenaResult) -> str:
    rows: list[_Line] = []
    for kind in KINDS:
        rows.append((BIDS[kind], [], []))
        for situation in SITUATIONS:
            found = [find_dominance(result.dominance, kind, rule, situation) for rule in RULES]
            cells = [f"{one.rounds_with_gain} of {one.rounds}" for one in found]
            kept = [promised(one.pricing_rule, kind, situation) and one.rounds_with_gain == 0 for one in found]
            rows.append((SITUATION[situation], cells, kept))
    return _table(["", *RULES], rows, dense=True)


def _examples(result: ArenaResult) -> Sequence[str]:
    """Of tasks of their own, of what no rule promises, and of whatever breaks a promise."""
    return [
        f"{one.pricing_rule}, {BIDS[one.kind]}, {SITUATION[one.situation]}: {shown_deviation(one.largest)}"
        for one in result.dominance
        if one.largest is not None
        and (one.situation in ("own", "capped and shared") or promised(one.pricing_rule, one.kind, one.situation))
    ]


def _hindsight(result: ArenaResult) -> str:
    head = ["", *(f"{BIDS[kind]},<br>{others}" for kind in KINDS for others in ("others mixed", "others honest"))]
    rows: list[_Line] = []
    for rule in RULES:
        found = [find_row(result.contest, "fresh", kind, rule) for kind in KINDS]
        estimates = [field.hindsight for row in found for field in (row.mixed, row.all_honest)]
        rows.append((rule, *_percents([one for one in estimates if one is not None])))
    return _table(head, rows)


def _gains(result: ArenaResult) -> str:
    rows: list[_Line] = []
    for rule in RULES:
        rows.append((rule, [], []))
        for title, row in gains_rows(result, rule):
            utility = f"{row.standings[0].utility_tokens:,.0f}"
            cells = [utility, *(percent(standing.gain) for standing in row.standings[1:])]
            rows.append((title, cells, [False, *(one.gain.high < 0 for one in row.standings[1:])]))
    names = list(STRATEGIES)
    return _table(["", f"{names[0]},<br>tokens a game", *names[1:]], rows, dense=True)


def _regret(result: ArenaResult) -> str:
    head = ["", *(f"{BIDS[kind]},<br>{world}" for kind in KINDS for world in WORLDS)]
    rows: list[_Line] = []
    for rule in RULES:
        found = [find_row(result.contest, world, kind, rule) for kind in KINDS for world in WORLDS]
        rows.append((rule, *_percents([row.regret for row in found])))
    return _table(head, rows, dense=True)


def _efficiency(result: ArenaResult) -> str:
    head = ["", "efficiency, %:<br>others mixed", "all honest", "revenue, tokens a game:<br>others mixed", "all honest"]
    rows: list[_Line] = []
    for rule in RULES:
        rows.append((rule, [], []))
        for kind in KINDS:
            for world in WORLDS:
                row = find_row(result.contest, world, kind, rule)
                fields = (row.mixed, row.all_honest)
                cells = [f"{100 * field.efficiency:.1f}" for field in fields]
                cells += [f"{field.revenue_tokens:,.0f}" for field in fields]
                rows.append((f"{BIDS[kind]}, {world}", cells, [False] * len(cells)))
    return _table(head, rows, dense=True)


def _percents(estimates: Sequence[Estimate]) -> tuple[list[str], list[bool]]:
    """The cells, and which of them are an exact 0."""
    return [percent(one) for one in estimates], [one.mean == one.high == 0 for one in estimates]


def _table(head: Sequence[str], rows: Sequence[_Line], *, dense: bool = False) -> str:
    """A table; the head is HTML. A line without cells is a heading of those that follow."""
    lines = []
    for title, cells, good in rows:
        if not cells:
            lines.append(f"<tr class=group><th colspan={len(head)}>{escape(title)}</th></tr>")
            continue
        marked = "".join(
            f"<td{' class=best' if best else ''}>{escape(cell)}</td>" for cell, best in zip(cells, good, strict=True)
        )
        lines.append(f"<tr><th>{escape(title)}</th>{marked}</tr>")
    heads = "".join(f"<th>{cell}</th>" for cell in head)
    opening = "<table class=dense>" if dense else "<table>"
    return f"{opening}<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _list(sentences: Sequence[str]) -> str:
    return "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) or "<li>nowhere</li>"
