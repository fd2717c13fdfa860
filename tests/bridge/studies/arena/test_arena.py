"""The arena from end to end: what it prints, its page, its JSON, its bounds, and that a broken promise is loud.

Method: one small arena in this process, whose output the tests read; and the command as a program uses it.
"""

import io
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.studies.arena import report
from callmarket.bridge.studies.arena.contest import Estimate, Field, Row
from callmarket.bridge.studies.arena.deviations import RULES, Deviation, Reply, round_of
from callmarket.bridge.studies.arena.findings import findings, proofs
from callmarket.bridge.studies.arena.options import BIDDERS_MAX, ROUNDS_MAX, SEEDS_MAX, ArenaOptions
from callmarket.bridge.studies.arena.report import render
from callmarket.bridge.studies.arena.result import ArenaResult, find_dominance, find_row
from callmarket.bridge.studies.arena.run import run_arena
from callmarket.bridge.studies.arena.scenario import KINDS, WORLDS, Kind, World
from callmarket.bridge.studies.arena.small_rounds import SITUATIONS, promised
from callmarket.bridge.studies.arena.terminal import percent, print_result
from callmarket.engine.commands import PricingRule
from tests.support.pages import check_self_contained

ROOT = Path(__file__).resolve().parents[4]
SMALL = ArenaOptions(seed=5, seeds=2, rounds=2, bidders=6, report=None)


@pytest.fixture(scope="module")
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def result(shown: io.StringIO, tmp_path_factory: pytest.TempPathFactory) -> ArenaResult:
    report = tmp_path_factory.mktemp("arena") / "report.html"
    return run_arena(msgspec.structs.replace(SMALL, report=report), Console(file=shown, width=80))


def broken(result: ArenaResult) -> ArenaResult:
    """The same arena, had a bid under `vickrey` earned more than the honest one."""
    gain = Deviation(round_of(1, (5,), ((3,),)), 2, Reply((4,)), 3)
    dominance = tuple(
        msgspec.structs.replace(one, rounds_with_gain=1, largest=gain) if one.pricing_rule == "vickrey" else one
        for one in result.dominance
    )
    found = proofs(dominance, result.contest, result.duel)
    return msgspec.structs.replace(
        result, ok=all(proof.ok for proof in found), dominance=dominance, proofs=found
    )  # fmt: skip


def test_what_theory_promises_holds(result: ArenaResult):
    assert result.ok
    assert [proof.ok for proof in result.proofs] == [True] * 3


def test_the_output_fits_eighty_columns_and_needs_no_colour(result: ArenaResult, shown: io.StringIO):
    lines = [line.rstrip() for line in shown.getvalue().splitlines() if not line.startswith("Report:")]
    assert max(len(line) for line in lines) <= 80
    assert "\x1b" not in shown.getvalue()
    assert shown.getvalue().isascii()
    assert all(proof.claim in shown.getvalue() for proof in result.proofs)


def test_the_page_needs_nothing_from_outside_and_says_all(result: ArenaResult):
    assert result.report is not None
    text = Path(result.report).read_text(encoding="utf-8")
    check_self_contained(text)
    assert text.count("<svg") == 2
    assert f"Seeds from {SMALL.seed} on" in text
    assert "$" not in text
    for proof in result.proofs:
        assert proof.claim in text
    for sentence in result.findings:
        assert sentence in text


def test_a_broken_promise_is_loud(result: ArenaResult):
    """The verdict, the table, the page and the sentences follow the numbers."""
    wrong = broken(result)
    assert not wrong.ok
    stream = io.StringIO()
    print_result(Console(file=stream, width=80), wrong)
    assert "FAILED  vickrey, many bids each" in stream.getvalue()
    page = render(wrong)
    assert "Honesty is not dominant where it should be." in page
    assert "vickrey, one bid each, own tasks: 1 slot; the others bid t2 at 3." in page
    assert page.count('class="failed"') == 2


def test_a_regret_on_the_trace_breaks_a_promise_too(result: ArenaResult):
    """Small rounds alone do not make a proof: the exact 0 on rounds of the trace is part of it."""
    rows = []
    for row in result.contest.rows:
        regret = row.mixed.hindsight
        if row.pricing_rule == "vickrey" and row.kind == "single" and regret is not None:
            regret = msgspec.structs.replace(regret, mean=0.001, high=0.002)
        rows.append(msgspec.structs.replace(row, mixed=msgspec.structs.replace(row.mixed, hindsight=regret)))
    contest = msgspec.structs.replace(result.contest, rows=tuple(rows))
    assert [proof.ok for proof in proofs(result.dominance, contest, result.duel)] == [True, False, True]


def test_sentences_change_with_the_numbers(result: ArenaResult):
    """A strategy that loses to honesty is not called a gain, whatever its name."""
    rows = []
    for row in result.contest.rows:
        standings = []
        for standing in row.standings:
            gain = msgspec.structs.replace(standing.gain, mean=-0.2, low=-0.3, high=-0.1)
            lower = row.standings[0].utility_tokens - 1
            other = standing.strategy != row.standings[0].strategy
            changed = msgspec.structs.replace(standing, gain=gain, utility_tokens=lower)
            standings.append(changed if other else standing)
        rows.append(msgspec.structs.replace(row, standings=tuple(standings)))
    contest = msgspec.structs.replace(result.contest, rows=tuple(rows))
    waiting = findings(result.dominance, contest, result.duel)[-1]
    assert waiting.count("no other earns more than honesty") == 4


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [
        ("seed", -1, "0 to 4294967295"),
        ("seeds", 1, f"2 to {SEEDS_MAX}"),
        ("seeds", SEEDS_MAX + 1, f"2 to {SEEDS_MAX}"),
        ("rounds", 0, f"1 to {ROUNDS_MAX}"),
        ("rounds", ROUNDS_MAX + 1, f"1 to {ROUNDS_MAX}"),
        ("bidders", 1, f"2 to {BIDDERS_MAX}"),
        ("bidders", BIDDERS_MAX + 1, f"2 to {BIDDERS_MAX}"),
        ("report", Path("/no-such-folder/report.html"), "a file in a folder that exists"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_done(field: str, value: object, bound: str):
    stream = io.StringIO()
    with pytest.raises(Invalid, match=f"{field}: expected {bound}"):
        run_arena(msgspec.structs.replace(SMALL, **{field: value}), Console(file=stream))
    assert stream.getvalue() == ""


def callmarket_arena(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "callmarket", "arena", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_command_prints_json_alone_and_the_same_for_the_same_seed(result: ArenaResult, tmp_path: Path):
    small = ["--seed", "5", "--seeds", "2", "--rounds", "2", "--bidders", "6", "--report", "page.html", "--json"]
    ran = callmarket_arena(tmp_path, *small)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    here = json.loads(msgspec.json.encode(result))
    for one in (told, here):
        # Only how long it took, and where the page went, differ from run to run.
        del one["seconds"], one["report"]
    assert told == here
    assert "Where honesty should be dominant" in ran.stderr
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_the_command_names_the_bound(tmp_path: Path):
    ran = callmarket_arena(tmp_path, "--bidders", "100000")
    assert ran.returncode == 2
    assert "'--bidders': Input should be less than or equal to 32" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def numbered(result: ArenaResult) -> ArenaResult:
    """The same arena with numbers of which no two are alike."""
    count = itertools.count(1)

    def estimate() -> Estimate:
        mean = next(count) / 1_000
        return Estimate(mean, mean - 0.0005, mean + 0.0005)

    def field() -> Field:
        return Field(next(count) / 1_000, 1_000.0 * next(count), estimate())

    rows = tuple(
        msgspec.structs.replace(row, regret=estimate(), mixed=field(), all_honest=field())
        for row in result.contest.rows
    )
    dominance = tuple(
        msgspec.structs.replace(one, rounds=2**number, rounds_with_gain=3 * 2**number)
        for number, one in enumerate(result.dominance)
    )
    contest = msgspec.structs.replace(result.contest, rows=rows)
    return msgspec.structs.replace(result, contest=contest, dominance=dominance)


def test_each_number_of_the_page_stands_in_its_place(result: ArenaResult):
    """Under its rule, its kind of bidders, its world, and the others that it was measured with."""
    made = numbered(result)

    def cells(table: str) -> list[str]:
        return re.findall(r"<td[^>]*>([^<]*)</td>", table)

    def row(rule: PricingRule, kind: Kind, world: World = "fresh") -> Row:
        return find_row(made.contest, world, kind, rule)

    fields = [one for rule in RULES for kind in KINDS for one in (row(rule, kind).mixed, row(rule, kind).all_honest)]
    assert cells(report._hindsight(made)) == [percent(one.hindsight) for one in fields if one.hindsight is not None]
    rows = [row(rule, kind, world) for rule in RULES for kind in KINDS for world in WORLDS]
    assert cells(report._regret(made)) == [percent(one.regret) for one in rows]
    assert cells(report._efficiency(made)) == [
        text
        for one in rows
        for text in (
            f"{100 * one.mixed.efficiency:.1f}",
            f"{100 * one.all_honest.efficiency:.1f}",
            f"{one.mixed.revenue_tokens:,.0f}",
            f"{one.all_honest.revenue_tokens:,.0f}",
        )
    ]
    small = [find_dominance(made.dominance, kind, rule, one) for kind in KINDS for one in SITUATIONS for rule in RULES]
    assert cells(report._small_rounds(made)) == [f"{one.rounds_with_gain} of {one.rounds}" for one in small]


def test_a_sentence_counts_the_rounds_in_which_something_is_promised(result: ArenaResult):
    made = numbered(result)
    kept = [one for one in made.dominance if promised(one.pricing_rule, one.kind, one.situation)]
    assert 0 < len(kept) < len(made.dominance)
    rounds, capped = (
        sum(one.rounds for one in kept),
        find_dominance(made.dominance, "multi", "vickrey", "capped and shared"),
    )
    rivals = findings(made.dominance, made.contest, made.duel)[0]
    assert f"in {3 * rounds} of {rounds} small rounds" in rivals
    assert f"in {capped.rounds_with_gain} of {capped.rounds}." in rivals
