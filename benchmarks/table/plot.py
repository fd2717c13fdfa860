"""How a call grows with the book and with k, drawn from what a run has written.

    .venv/bin/python -m benchmarks.table.plot build/bench.json benchmarks/growth.svg

Rule of this file: medians, both axes logarithmic, one line for each peer, dashed where a crash loses what it holds;
text stays text.
"""

import argparse
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from benchmarks.table.results import Figure, Results, load

OURS: Final = "ours"
COLOURS: Final = {"durable": "#c2410c", "engine": "#ea8a3e"}
OTHERS: Final = ("#1d4ed8", "#0891b2", "#7c3aed", "#15803d", "#64748b", "#a16207", "#be185d", "#334155", "#4d7c0f")
INK: Final = "#334155"
GROWTH_K: Final = 100


def draw(results: Results, path: Path) -> None:
    """Write both charts as one SVG."""
    calls = [one for one in results.figures if one.kind == "call"]
    largest = max(one.resting for one in calls)
    k = min({one.size for one in calls}, key=lambda size: abs(size - GROWTH_K))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "callmarket", "font.family": "sans-serif"}):
        figure = Drawing(figsize=(12, 6.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _lines(left, results, [one for one in calls if one.size == k], "resting")
        _lines(right, results, [one for one in calls if one.resting == largest], "size")
        left.set(title=f"k = {k:,}, by the size of the book", xlabel="bids resting", ylabel="median of a call")
        right.set(title=f"{largest:,} bids resting, by k", xlabel="k, the slots that are sold")
        handles, labels = left.get_legend_handles_labels()
        legend = figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=10, labelcolor=INK)
        legend.set_title("dashed: a crash loses it", prop={"size": 10})
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})


def _lines(axes: Axes, results: Results, calls: list[Figure], by: str) -> None:
    others = iter(OTHERS)
    for peer in results.lacks:
        points = sorted((getattr(one, by), one.p50_us) for one in calls if one.peer == peer)
        ours = peer.startswith(OURS)
        colour = COLOURS["durable" if "durable" in peer else "engine"] if ours else next(others)
        axes.plot(
            *zip(*points, strict=True),
            color=colour,
            linestyle="dashed" if "durability" in results.lacks[peer] else "solid",
            linewidth=3 if ours else 1.4,
            marker="o",
            markersize=6 if ours else 4,
            label=peer,
            zorder=3 if ours else 2,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: in_time(value))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.tick_params(labelleft=True, colors=INK, labelsize=10)
    axes.grid(visible=True, color="#e2e8f0", linewidth=0.8)
    axes.grid(visible=True, which="minor", axis="y", color="#f1f5f9", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#94a3b8")


def in_time(value_us: float) -> str:
    """A power of ten as people say it."""
    for unit, us in (("s", 1e6), ("ms", 1e3), ("µs", 1.0)):
        if value_us >= us:
            return f"{value_us / us:,.0f} {unit}"
    return f"{value_us:g} µs"


def main() -> None:
    """Draw what a run has written."""
    parser = argparse.ArgumentParser(prog="benchmarks.table.plot", description="Draw the growth of a call as SVG.")
    parser.add_argument("results", type=Path, help="the JSON of a run")
    parser.add_argument("svg", type=Path, help="where to draw")
    asked = parser.parse_args()
    draw(load(asked.results), asked.svg)


if __name__ == "__main__":
    main()
