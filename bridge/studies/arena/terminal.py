"""What the arena shows in a terminal: the promises, the tables, and what they say.

Rule of this file: it shows `ArenaResult` and computes nothing; it reads well at 80 columns and without colours.
"""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from callmarket.bridge.studies.arena.contest import Estimate, Row
from callmarket.bridge.studies.arena.deviations import RULES
from callmarket.bridge.studies.arena.findings import BIDS, SITUATION, shown_deviation
from callmarket.bridge.studies.arena.result import ArenaResult, find_dominance, find_row
from callmarket.bridge.studies.arena.scenario import KINDS, WORLDS
from callmarket.bridge.studies.arena.small_rounds import SITUATIONS, promised
from callmarket.bridge.studies.arena.strategies import HONEST, STRATEGIES
from callmarket.bridge.studies.demo.terminal import print_proof
from callmarket.engine.commands import PricingRule


def print_result(console: Console, result: ArenaResult) -> None:
    """Print everything that the arena found."""
    _print_setup(console, result)
    _print_proofs(console, result)
    _print_small_rounds(console, result)
    _print_hindsight(console, result)
    _print_gains(console, result)
    _print_regret(console, result)
    _print_efficiency(console, result)
    _head(console, "What this says")
    for sentence in result.findings:
        console.print(Padding(Text(sentence), (0, 0, 1, 2), expand=False), highlight=False)
    if result.report is not None:
        console.print(Text.assemble("Report: ", (result.report, "bold")), soft_wrap=True)


def percent(estimate: Estimate) -> str:
    """A share with its interval, in percent, without the sign for it; 0 alone is an exact 0."""
    numbers = [100 * share for share in (estimate.mean, estimate.low, estimate.high)]
    if not any(numbers):
        return "0"
    mean, low, high = (f"{number:.0f}" if abs(number) >= 10 else f"{number:.1f}" for number in numbers)
    return f"{mean} [{low}, {high}]"


def _print_setup(console: Console, result: ArenaResult) -> None:
    setup, games = result.setup, result.contest.games + result.duel.games
    console.print(
        f"\n{len(STRATEGIES)} strategies, {len(RULES)} pricing rules, {games:,} games of {setup.rounds} rounds "
        "on the real engine",
        style="bold",
        highlight=False,
    )
    text = (
        f"{setup.bidders} bidders; {setup.seeds} draws of {result.contest.tasks:,} real arrivals in all, from seed "
        f"{setup.seed}. Real: arrivals, sizes, models. Drawn: who has which task, and what it is worth; the same for "
        "every strategy and rule. In [] are 95 % intervals over the draws. In every game what was paid is in the "
        "treasury, to the token."
    )
    console.print(Padding(text, (0, 0), expand=False), style="dim", highlight=False)


def _print_proofs(console: Console, result: ArenaResult) -> None:
    _head(console, "Where honesty should be dominant")
    for proof in result.proofs:
        print_proof(console, proof)


def _print_small_rounds(console: Console, result: ArenaResult) -> None:
    rounds = result.dominance[0].rounds
    _head(console, f"Of {rounds} small rounds each: in how many does another bid earn more?")
    table = _table("", *RULES)
    for kind in KINDS:
        table.add_section()
        table.add_row(Text(BIDS[kind], style="bold"))
        for situation in SITUATIONS:
            found = [find_dominance(result.dominance, kind, rule, situation) for rule in RULES]
            marks = ("*" if promised(one.pricing_rule, kind, situation) else " " for one in found)
            cells = (f"{one.rounds_with_gain} {mark}" for one, mark in zip(found, marks, strict=True))
            table.add_row(f"  {SITUATION[situation]}", *cells)
    console.print(table)
    console.print("* honesty should be dominant there: 0 is promised", style="dim", highlight=False)
    example = find_dominance(result.dominance, "multi", "first_rejected").largest
    if example is not None:
        text = f"first_rejected, for example: {shown_deviation(example)}"
        console.print(Padding(text, (0, 0, 0, 2), expand=False), style="dim", highlight=False)


def _print_hindsight(console: Console, result: ArenaResult) -> None:
    _head(console, "Regret of honesty against bids that stay (best reply in hindsight), %")
    table = _table("", "one, mixed", "one, honest", "many, mixed", "many, honest")
    for rule in RULES:
        rows = [find_row(result.contest, "fresh", kind, rule) for kind in KINDS]
        fields = [field for row in rows for field in (row.mixed, row.all_honest)]
        table.add_row(rule, *("-" if one.hindsight is None else percent(one.hindsight) for one in fields))
    console.print(table)
    text = "of the value that honesty won; one or many bids each; others mixed or honest"
    console.print(text, style="dim", highlight=False)


def _print_gains(console: Console, result: ArenaResult) -> None:
    _head(console, "What others earn more than honesty, on average, %")
    others = [name for name in STRATEGIES if name != HONEST]
    table = _table("", *others)
    for rule in RULES:
        table.add_section()
        table.add_row(Text(rule, "bold"))
        for title, row in gains_rows(result, rule):
            by_name = {standing.strategy: standing for standing in row.standings}
            table.add_row(f"  {title}", *(_coloured(by_name[name].gain) for name in others))
    console.print(table)
    console.print("* the interval lies wholly above or below 0", style="dim", highlight=False)


def gains_rows(result: ArenaResult, rule: PricingRule) -> list[tuple[str, Row]]:
    """The rows under a rule, of the contest and of the duel, each with what to call it."""
    one, many = (
        [(f"{name}, {world}", find_row(result.contest, world, kind, rule)) for world in WORLDS]
        for name, kind in zip(("one", "many"), KINDS, strict=True)
    )
    return [*one, *many, ("many, two bidders", find_row(result.duel, "fresh", "multi", rule))]


def _coloured(gain: Estimate) -> Text:
    text = f"{100 * gain.mean:+.1f}"
    if gain.low > 0:
        return Text(f"{text} *", "red")
    return Text(f"{text} *", "green") if gain.high < 0 else Text(f"{text}  ")


def _print_regret(console: Console, result: ArenaResult) -> None:
    for kind in KINDS:
        _head(console, f"Regret over the shipped strategies, {BIDS[kind]}, %")
        table = _table("", *WORLDS)
        for rule in RULES:
            rows = [find_row(result.contest, world, kind, rule) for world in WORLDS]
            table.add_row(rule, *(percent(row.regret) for row in rows))
        console.print(table)
    console.print(
        "the best of each game, chosen afterwards; the others react to what they see", style="dim", highlight=False
    )


def _print_efficiency(console: Console, result: ArenaResult) -> None:
    _head(console, "Value realised of the best possible, %, and revenue, million tokens a game")
    for kind in KINDS:
        table = _table(BIDS[kind], *WORLDS, "revenue, fresh")
        for rule in RULES:
            rows = [find_row(result.contest, world, kind, rule) for world in WORLDS]
            cells = [f"{100 * row.mixed.efficiency:.1f} / {100 * row.all_honest.efficiency:.1f}" for row in rows]
            mixed, honest = (field.revenue_tokens / 1e6 for field in (rows[0].mixed, rows[0].all_honest))
            table.add_row(rule, *cells, f"{mixed:.2f} / {honest:.2f}")
        console.print(table)
    console.print("of the mixed field / of one in which all are honest", style="dim", highlight=False)


def _head(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold", highlight=False)


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, min_width=14)
    for column in columns:
        table.add_column(column, justify="right")
    return table
