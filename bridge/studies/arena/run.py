"""The arena from beginning to end: draw, try every bid of small rounds, play the contest and the duel, report.

Rule of this file: it only orders the steps; each step lives in a file of its own.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from callmarket.bridge.studies.arena.contest import Contest, hold_contest
from callmarket.bridge.studies.arena.findings import findings, proofs
from callmarket.bridge.studies.arena.options import BIDDERS_MIN, ArenaOptions, check
from callmarket.bridge.studies.arena.result import ArenaResult, Setup
from callmarket.bridge.studies.arena.scenario import KINDS, WORLDS, Draw, draw
from callmarket.bridge.studies.arena.small_rounds import try_everything
from callmarket.bridge.studies.arena.terminal import print_result
from callmarket.bridge.studies.demo.terminal import Stage


def run_arena(options: ArenaOptions, console: Console) -> ArenaResult:
    """Run the arena, show it on the console, write the report, and return the result; `ok` is the verdict.

    Takes some ten seconds, and two to three for each seed. Raises `Invalid` for a wrong option, at once.
    """
    check(options)
    seconds: dict[str, float] = {}
    with Stage(console) as stage:
        with _timed(seconds, "small rounds"), stage.step("small rounds"):
            dominance = tuple(try_everything(options.seed))
        with _timed(seconds, "contest"), stage.progress("the contest", options.seeds) as advance:
            contest = hold_contest(_draws(options, options.bidders, advance), WORLDS, KINDS)
        with _timed(seconds, "duel"), stage.progress("the duel", options.seeds) as advance:
            duel = _duel(options, advance)
        found = proofs(dominance, contest, duel)
        result = ArenaResult(
            ok=all(proof.ok for proof in found),
            setup=Setup(options.seed, options.seeds, options.rounds, options.bidders),
            dominance=dominance,
            contest=contest,
            duel=duel,
            proofs=found,
            findings=findings(dominance, contest, duel),
            seconds=seconds,
            report=None if options.report is None else str(options.report),
        )
        if options.report is not None:
            with _timed(seconds, "report"), stage.step("drawing the report"):
                # Only here, because matplotlib takes half a second that a run without a report should not pay.
                from callmarket.bridge.studies.arena.report import write_report  # noqa: PLC0415

                write_report(options.report, result)
    print_result(console, result)
    return result


def _draws(options: ArenaOptions, bidders: int, advance: Callable[[int], None]) -> Iterator[Draw]:
    for seed in range(options.seed, options.seed + options.seeds):
        yield draw(seed, options.rounds, bidders)
        advance(seed)


def _duel(options: ArenaOptions, advance: Callable[[int], None]) -> Contest:
    """Two bidders share the tasks, so that each moves the price for its own others. The opponent is honest."""
    return hold_contest(_draws(options, BIDDERS_MIN, advance), ("fresh",), ("multi",), hindsight=False)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - begun, 3)
