"""What the demo shows in a terminal: progress while it runs, then the table, the verdicts and the proofs.

Rule of this file: it shows `DemoResult` and computes nothing; it reads well at 80 columns, without colours, and in a
pipe, where progress is a line per step.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from callmarket.bridge.studies.demo.audit import Proof
from callmarket.bridge.studies.demo.compare import MEASURES_SELECTIVE, best, shown
from callmarket.bridge.studies.demo.metrics import MEASURES, Measure, Metrics
from callmarket.bridge.studies.demo.result import AUCTION, DemoResult


class Stage:
    """Progress: a bar per step in a terminal, a line per step elsewhere."""

    def __init__(self, console: Console) -> None:
        """Prepare; nothing is shown before the block begins."""
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=36, complete_style="blue", finished_style="blue"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    @contextmanager
    def progress(self, name: str, steps: int) -> Iterator[Callable[[int], None]]:
        """Yield what to call after each step."""
        self._announce(f"playing {name}")
        task = self._progress.add_task(f"playing {name}", total=steps)
        # The queue drains after the last arrival, for some cycles more than were announced.
        yield lambda _: self._progress.advance(task)
        self._progress.update(task, total=steps, completed=steps)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show that something of unknown length goes on."""
        self._announce(name)
        task = self._progress.add_task(name, total=None)
        yield
        self._progress.update(task, total=1, completed=1)

    def _announce(self, name: str) -> None:
        if not self._console.is_terminal:
            self._console.print(f"{name} ...", style="dim")


def print_result(console: Console, result: DemoResult) -> None:
    """Print everything that the demo found."""
    _print_scene(console, result)
    console.print(_table(result.policies, MEASURES))
    console.print("* best of the row; waits are of the tasks that got a slot", style="dim", highlight=False)
    _print_verdicts(console, result)
    _print_selective(console, result)
    _print_other_seeds(console, result)
    _print_economy(console, result)
    _print_proofs(console, result)
    if result.report is not None:
        console.print(Text.assemble("\nReport: ", (result.report, "bold")), soft_wrap=True)


def _print_scene(console: Console, result: DemoResult) -> None:
    scene = result.scene
    console.print(
        f"\n{scene.tasks:,} real arrivals in {scene.minutes} minutes, {scene.slots} slots, load {scene.load:.2f}",
        style="bold",
        highlight=False,
    )
    console.print(
        f"{scene.quests} quests and {scene.agents} agents; a call every {scene.cycle_s:g} s of virtual time; "
        f"seed {scene.seed}.\n"
        "Real: arrivals, sizes, cost and seconds per task, share solved. Drawn: who asks,\n"
        "what it is worth, luck. The same arrivals, worth and luck for every policy.\n",
        style="dim",
        highlight=False,
    )


def _table(rows: Sequence[Metrics], measures: Sequence[Measure]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", min_width=22)
    for row in rows:
        table.add_column(row.policy, justify="right", style="" if row.policy == AUCTION else "dim")
    for one in measures:
        priced = one.field == "revenue_tokens"
        winner = None if priced else shown(one, best(one, rows))
        cells = []
        for row in rows:
            text = "-" if priced and row.policy != AUCTION else shown(one, row)
            cells.append(Text(f"{text} *", "bold green") if text == winner else Text(f"{text}  "))
        table.add_row(one.title, *cells)
    return table


def _print_selective(console: Console, result: DemoResult) -> None:
    declined, tasks = result.economy.tasks_declined, result.scene.tasks
    console.print("\nWhat the lead is made of", style="bold")
    text = (
        f"For {declined:,} of {tasks:,} tasks nobody bid: they were expected to burn more than they are worth. "
        "The other policies do them. Told to leave such tasks out, by a planner who knows every worth, they get:"
    )
    console.print(Padding(text, (0, 0, 0, 2), expand=False), highlight=False)
    console.print(_table([result.auction, *result.selective], MEASURES_SELECTIVE))


def _print_verdicts(console: Console, result: DemoResult) -> None:
    for outcome, head in (("better", "Where the auction does better"), ("worse", "Where it does worse")):
        found = [verdict.sentence for verdict in result.verdicts if verdict.outcome == outcome]
        console.print(Text.assemble((f"\n{head}", "bold"), " than the best of the others"))
        for sentence in found or ["nowhere"]:
            console.print(Padding(Text(sentence), (0, 0, 0, 2), expand=False), highlight=False)


def _print_other_seeds(console: Console, result: DemoResult) -> None:
    found = result.other_seeds
    if not found.seeds:
        return
    count = len(found.seeds)
    titles = {one.field: one.title.partition(",")[0] for one in MEASURES}
    ranked = sorted(found.better_in.items(), key=lambda item: -item[1])
    often = [f"{titles[field]} {better} of {count}" for field, better in ranked if better]
    never = [titles[field] for field, better in ranked if not better]
    console.print(Text.assemble((f"\nWith {count} other seeds", "bold"), " (in memory) the auction does better by"))
    console.print(Padding(", ".join(often or ["nothing"]), (0, 0, 0, 2), expand=False), highlight=False)
    if never:
        console.print(Padding(f"never by {', '.join(never)}", (0, 0, 0, 2), expand=False), style="dim", highlight=False)


def _print_economy(console: Console, result: DemoResult) -> None:
    economy = result.economy
    console.print("\nPriced out, and back", style="bold")
    lines = (
        f"{economy.bidders_priced_out} of {result.scene.quests + result.scene.agents} bidders were priced out at some "
        f"call, {economy.episodes} times; after {economy.episodes_won_after} of these they won again",
        f"{economy.refused_for_funds:,} bids were refused for lack of tokens (FUNDS_INSUFFICIENT)",
        f"clearing price: median {economy.price_median_tokens:,}, highest {economy.price_max_tokens:,} tokens",
    )
    for line in lines:
        console.print(Padding(line, (0, 0, 0, 2), expand=False), highlight=False)


def _print_proofs(console: Console, result: DemoResult) -> None:
    console.print("\nProofs", style="bold")
    kill = result.kill
    if kill is not None:
        text = (
            f"SIGKILL at {kill.at_virtual_s:.0f} s of virtual time with {kill.in_flight} commands in flight, after "
            f"{kill.acknowledged:,} acknowledged; {kill.rows_recovered:,} rows recovered in {kill.recovery_s:.3f} s, "
            f"answering again after {kill.outage_s:.2f} s"
        )
        console.print(Padding(text, (0, 0, 0, 2), expand=False), highlight=False)
    for proof in result.proofs:
        print_proof(console, proof)


def print_proof(console: Console, proof: Proof) -> None:
    """Print one proof, whether it holds, and what it rests on."""
    mark = ("ok    ", "green") if proof.ok else ("FAILED", "bold red")
    console.print(Padding(Text.assemble(mark, f"  {proof.claim}"), (0, 0, 0, 2), expand=False), highlight=False)
    console.print(Padding(Text(proof.detail), (0, 0, 0, 10), expand=False), style="dim", highlight=False)
