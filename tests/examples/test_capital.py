"""The example of capital that follows knowledge: what its README says is so.

Goal: the informed win from those who guess, a manipulator loses, prices get better, and a seed is one world.
Method: the real example on the real engine; means over worlds that are large enough that no seed makes them fail.
"""

from pathlib import Path
from statistics import fmean

from typer import Typer
from typer.testing import CliRunner

from examples.capital.__main__ import run
from examples.capital.loop import MANIPULATOR, Research, play
from examples.capital.report import Outcomes, markdown

WORLDS = 12


def test_knowledge_earns_and_pushing_a_price_costs(seed: int) -> None:
    """Over some worlds the more an agent knows the more it wins, and the prices tell more in the end than before."""
    worlds = [play(world, "by the market") for world in range(seed, seed + WORLDS)]
    won = {kind: fmean(one.profit_tokens[kind] for one in worlds) for kind in worlds[0].profit_tokens}
    assert won["expert"] > won["informed"] > won["guessing"] > won[MANIPULATOR], won
    assert won["informed"] > 0 > won[MANIPULATOR], won
    assert fmean(one.brier[-1] for one in worlds) < fmean(one.brier[0] for one in worlds) - 0.05
    # Prices are worth something, and are paid for by the subsidy: no more than all of it.
    assert fmean(one.bits_learned for one in worlds) > 0
    assert max(one.subsidy_lost_tokens for one in worlds) < 30 * 100


def test_research_goes_to_what_is_pushed(seed: int) -> None:
    """Where the market directs research, the price that is pushed up every morning is lower every evening."""
    ways: tuple[Research, Research] = ("by the market", "evenly")
    market, evenly = ([play(world, way) for world in range(seed, seed + WORLDS)] for way in ways)
    evening = [fmean(fmean(one.pushed_path[1:]) for one in worlds) for worlds in (market, evenly)]
    assert evening[0] < evening[1] - 0.1, evening


def test_a_seed_is_one_world() -> None:
    """The same figures again, whatever was played before."""
    first = play(5, "evenly")
    play(6, "evenly")
    assert play(5, "evenly") == first


def test_the_report_has_a_table_and_a_picture(tmp_path: Path) -> None:
    """The command prints the figures, and writes them where it is told."""
    app = Typer()
    app.command()(run)
    result = CliRunner().invoke(app, ["--seeds", "2", "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "won by an agent: expert" in result.output
    outcomes: Outcomes = {"by the market": [play(1, "by the market")], "evenly": [play(1, "evenly")]}
    assert "| bits learned" in markdown(outcomes)
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "squared error" in report and "capital.svg" in report
    assert (tmp_path / "out" / "capital.svg").read_text(encoding="utf-8").startswith("<?xml")
