"""The figures of the economy's report, each as one SVG element.

Rule of this file: it draws what it is given, in the style of the demo. Red is what went wrong: priced out, burnt.
"""

from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from callmarket.bridge.api.units import at_us
from callmarket.bridge.studies.demo.figures import BLUE, QUIET, RED, STYLE, svg
from callmarket.bridge.studies.economy.bidders import Habit
from callmarket.bridge.studies.economy.play import BEGINS_US, DAY_US
from callmarket.bridge.studies.economy.result import EconomyResult

COLOURS: Final[dict[Habit, str]] = {"careful": "#c3cad5", "reckless": BLUE, "quest": "#b7791f", "idle": "#1d8a5b"}
# The three reckless ones are told apart.
SHADES: Final = ("#1f5fd6", "#7c4dbe", "#0f8f9f")
GREEN: Final = "#1d8a5b"


def wallets(result: EconomyResult) -> str:
    """Every wallet at the end of each day, and when its owner was priced out."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 5.0), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        days = np.arange(1, len(result.days) + 1)
        told: set[Habit] = set()
        shades = iter(SHADES)
        reckless = []
        for one in result.accounts:
            balances = np.array(result.wallets[one.account_id]) / 1000
            if one.habit == "reckless":
                colour = next(shades, BLUE)
                reckless.append((one.account_id, colour))
                top.plot(days, balances, color=colour, linewidth=1.9, label=f"{one.account_id}, reckless", zorder=3)
                continue
            label = None if one.habit in told else one.habit
            told.add(one.habit)
            top.plot(days, balances, color=COLOURS[one.habit], linewidth=1.1, label=label)
        top.set_ylabel("tokens at the end\nof the day, thousands")
        top.set_ylim(0)
        top.legend(loc="upper left", ncols=2, fontsize=9, handlelength=1.6)
        for line, (name, _) in enumerate(reckless):
            stretches = [
                (_day(one.refused_at), _day(one.back_at) if one.back_at else float(days[-1]))
                for one in result.returns
                if one.account_id == name
            ]
            bottom.broken_barh([(a, max(b - a, 0.02)) for a, b in stretches], (line - 0.32, 0.64), color=RED)
        bottom.set_yticks(range(len(reckless)), [name for name, _ in reckless])
        for label, (_, colour) in zip(bottom.get_yticklabels(), reckless, strict=True):
            label.set_color(colour)
        bottom.set_ylim(len(reckless) - 0.4, -0.6)
        bottom.grid(visible=False, axis="y")
        bottom.set_title("priced out: less than a slot cost", loc="left", color=RED, fontsize=9)
        bottom.set_xlabel("day")
        bottom.set_xlim(0, days[-1])
        return svg(figure, "Wallets day by day")


def supply(result: EconomyResult) -> str:
    """What was made and destroyed each day, by what, and all tokens."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 4.9), layout="constrained")
        top, axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.6))
        days = np.array([day.day for day in result.days])

        def column(name: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
            return np.array([getattr(day, name) / 1000 for day in result.days])

        granted, rewarded, earned = column("granted_tokens"), column("rewarded_tokens"), column("earned_tokens")
        idle = column("demurrage_tokens")
        axes.bar(days, rewarded, color="#a9c3f3", width=0.72, label="rewards for impact")
        axes.bar(days, earned, bottom=rewarded, color=BLUE, width=0.72, label="reviews")
        axes.bar(days, granted, bottom=rewarded + earned, color=QUIET, width=0.72, label="first tokens")
        spent = column("burnt_tokens") - idle
        axes.bar(days, -spent, color="#eab3b6", width=0.72, label="compute, burnt")
        axes.bar(days, -idle, bottom=-spent, color=RED, width=0.72, label="demurrage, burnt")
        axes.axhline(0, color=QUIET, linewidth=0.8)
        axes.set_ylabel("thousand tokens a day")
        axes.set_xlabel("day")
        axes.set_xlim(0.3, days[-1] + 0.7)
        axes.legend(loc="upper right", ncols=3, fontsize=9, handlelength=1.4)
        top.plot(days, column("supply_tokens"), color="#1f2733", linewidth=1.8)
        top.set_ylim(0)
        top.set_ylabel("supply,\nthousand tokens")
        return svg(figure, "Supply day by day")


def concentration(result: EconomyResult) -> str:
    """How unequal the wallets are, and how many bids were refused."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        days = [day.day for day in result.days]
        left.plot(days, [day.gini for day in result.days], color=GREEN, linewidth=1.8)
        left.set_ylim(0, 1)
        left.set_ylabel("Gini coefficient\nof the wallets")
        right.bar(days, [day.bids_refused for day in result.days], color=RED, width=0.72)
        right.set_ylabel("bids refused for\nlack of tokens")
        for axes in (left, right):
            axes.set_xlabel("day")
            axes.set_xlim(0.3, days[-1] + 0.7)
        return svg(figure, "Concentration and refusals")


def _day(at: object) -> float:
    return (at_us("at", at) - BEGINS_US) / DAY_US  # type: ignore[arg-type]
