"""The picture of the report.

Rule of this file: drawn from outcomes alone; figures that can be read are in the table.
"""

from pathlib import Path
from statistics import fmean, stdev

from matplotlib.figure import Figure

from examples.capital.loop import DAYS, MANIPULATOR
from examples.capital.report import Outcomes


def draw(outcomes: Outcomes, path: Path) -> None:
    """Draw prices of one world, the error by day, the profits, and the price that is pushed."""
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    one_world, error, profit, push = figure.subplots(2, 2).flat
    market = outcomes["by the market"]
    for holds, prices in market[0].paths:
        one_world.plot(range(DAYS + 1), prices, color="#0072b2" if holds else "#d55e00", alpha=0.55, linewidth=1)
    one_world.set(title="Prices in one world (blue holds, orange does not)", xlabel="day", ylim=(0, 1))
    for way, some in outcomes.items():
        days = range(1, DAYS + 1)
        error.plot(days, [fmean(one.brier[day - 1] for one in some) for day in days], label=f"research {way}")
        weighted = [fmean(one.brier_of_capital[day - 1] for one in some) for day in days]
        error.plot(days, weighted, linestyle=":", color=error.lines[-1].get_color(), label="... by capital")
        push.plot(range(DAYS + 1), [fmean(one.pushed_path[day] for one in some) for day in range(DAYS + 1)], label=way)
    error.set(title="Squared error of prices", xlabel="day", ylim=(0, None))
    error.legend()
    push.set(title=f"Evening price of what a {MANIPULATOR} pushes up, in vain", xlabel="day", ylim=(0, 1))
    push.legend(title="research")
    kinds = list(market[0].profit_tokens)
    won = [[one.profit_tokens[kind] for one in market] for kind in kinds]
    errors = [stdev(some) / len(some) ** 0.5 if len(some) > 1 else 0.0 for some in won]
    colors = ["#009e73" if fmean(some) > 0 else "#d55e00" for some in won]
    profit.bar(kinds, [fmean(some) for some in won], yerr=errors, color=colors)
    profit.axhline(0, color="black", linewidth=0.8)
    profit.set(title="Won by an agent, in tokens (research by the market)")
    for axes in (one_world, error, push):
        axes.set_xticks(range(0, DAYS + 1, 5))
    figure.savefig(path)
