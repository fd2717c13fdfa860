"""The figures of the arena's report.

Rule of this file: it draws what it is given, in the style of the demo's figures. One colour is one pricing rule.
"""

from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from callmarket.bridge.studies.arena.contest import Estimate, Row
from callmarket.bridge.studies.arena.deviations import RULES
from callmarket.bridge.studies.arena.findings import BIDS
from callmarket.bridge.studies.arena.result import ArenaResult, find_row
from callmarket.bridge.studies.arena.scenario import KINDS, WORLDS
from callmarket.bridge.studies.arena.strategies import HONEST, STRATEGIES
from callmarket.bridge.studies.demo.figures import BLUE, INK, QUIET, RED, STYLE, svg

COLOURS: Final = {"first_rejected": BLUE, "last_accepted": "#b7791f", "pay_as_bid": RED, "vickrey": "#1d8a5b"}
# Paying one's bid is so costly to the honest that its dots would press all others onto the axis; the table has them.
RULES_DRAWN: Final = tuple(rule for rule in RULES if rule != "pay_as_bid")
LABEL_ABOVE: Final = 6


def hindsight(result: ArenaResult) -> str:
    """The regret of honesty against bids that stay, by rule, for one bid each and for many."""
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(10.4, 3.4), layout="constrained")
        for axes, kind in zip(figure.subplots(1, 2, sharey=True), KINDS, strict=True):
            _draw_hindsight(axes, [find_row(result.contest, "fresh", kind, rule) for rule in RULES])
            axes.set_title(BIDS[kind], loc="left")
            axes.tick_params(axis="x", length=0)
        figure.axes[0].set_ylabel("regret, % of value won")
        return svg(figure, "Regret of honesty in hindsight")


def _draw_hindsight(axes: Axes, rows: list[Row]) -> None:
    for number, row in enumerate(rows):
        estimate = row.mixed.hindsight
        assert estimate is not None
        axes.bar(number, 100 * estimate.mean, width=0.56, color=COLOURS[row.pricing_rule])
        if estimate.high > 0:
            _draw_interval(axes, number, estimate, INK)
        text = "0" if estimate.high == 0 else f"{100 * estimate.mean:.1f}"
        axes.annotate(
            text, (number, 100 * estimate.high), xytext=(0, LABEL_ABOVE), textcoords="offset points", ha="center"
        )
    axes.set_xticks(range(len(rows)), [row.pricing_rule for row in rows])
    axes.set_ylim(0, 95)


def gains(result: ArenaResult) -> str:
    """What each strategy earns more than honesty, by world and rule."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 6.2), layout="constrained")
        grid = figure.subplots(2, len(WORLDS) + 1, sharex=True, sharey="row")
        for line, kind in zip(grid, KINDS, strict=True):
            for axes, world in zip(line, WORLDS, strict=False):
                _draw_gains(axes, [find_row(result.contest, world, kind, rule) for rule in RULES_DRAWN])
                axes.set_title(f"{BIDS[kind]}, {world}", loc="left")
            line[0].set_ylabel("earned more than honesty,\n% of value won")
        _draw_gains(grid[1][-1], [find_row(result.duel, "fresh", "multi", rule) for rule in RULES_DRAWN])
        grid[1][-1].set_title("two bidders, fresh", loc="left")
        legend = grid[0][-1]
        legend.set_axis_off()
        for rule in RULES_DRAWN:
            legend.plot([], [], "o", color=COLOURS[rule], label=rule)
        legend.legend(loc="upper left", fontsize=10)
        return svg(figure, "What each strategy earns more than honesty")


def _draw_gains(axes: Axes, rows: list[Row]) -> None:
    others = [name for name in STRATEGIES if name != HONEST]
    axes.axhline(0, color=QUIET, linewidth=1.0)
    for number, row in enumerate(rows):
        offset = 0.22 * (number - (len(rows) - 1) / 2)
        by_name = {standing.strategy: standing.gain for standing in row.standings}
        places = np.arange(len(others)) + offset
        for place, name in zip(places, others, strict=True):
            _draw_interval(axes, float(place), by_name[name], COLOURS[row.pricing_rule])
        means = [100 * by_name[name].mean for name in others]
        axes.plot(places, means, "o", color=COLOURS[row.pricing_rule], markersize=5)
    axes.set_xticks(range(len(others)), others, rotation=40, ha="right", rotation_mode="anchor")
    axes.grid(visible=False, axis="x")


def _draw_interval(axes: Axes, place: float, estimate: Estimate, colour: str) -> None:
    axes.vlines(place, 100 * estimate.low, 100 * estimate.high, color=colour, linewidth=1.3)
