"""The figures of the report, each as one SVG element that needs nothing from outside.

Rule of this file: it draws what it is given. One colour means one thing throughout: blue is the auction, red is what
went wrong (priced out, killed), the other policies are quieter.
"""

import io
import re
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from callmarket.bridge.studies.demo.metrics import waits_s
from callmarket.bridge.studies.demo.result import AUCTION, FigureInputs, episodes
from callmarket.bridge.studies.demo.scenario.simulation import CYCLE_US, Run

INK: Final = "#1f2733"
QUIET: Final = "#8a94a3"
FAINT: Final = "#e6e9ee"
BLUE: Final = "#1f5fd6"
RED: Final = "#d6323a"
COLOURS: Final = {AUCTION: BLUE, "first come": "#7d8794", "proportional": "#b7791f", "shortest job": "#1d8a5b"}
# Wallets are told apart by name only where there is a story: these many that were priced out longest.
WALLETS_NAMED: Final = 4
WALLET_FLOOR: Final = 0.005
WALLET_COLOURS: Final = ("#1f5fd6", "#b7791f", "#1d8a5b", "#7c4dbe")

# Any, because newer type stubs of matplotlib want the keys as literals and older ones do not know them.
STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "callmarket",
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.titlesize": 10.0,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "path.simplify": True,
}


def price_over_time(played: FigureInputs) -> str:
    """Arrivals above, the clearing price below, and where the engine was killed."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 4.3), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2.4))
        minutes = _minutes(played)
        edges = np.concatenate([minutes - CYCLE_US / 60e6, minutes[-1:]])
        arrived = np.array([_minute(played, task.arrived_us) for task in played.workload.tasks])
        counts, _ = np.histogram(arrived, edges)
        top.bar(edges[:-1], counts, width=CYCLE_US / 60e6, align="edge", color="#c3cad5", linewidth=0)
        top.set_ylabel("arrivals\nper call")
        prices = np.array([np.nan if cycle.price_tokens is None else cycle.price_tokens for cycle in played.cycles])
        bottom.fill_between(minutes, prices / 1000, step="post", color=BLUE, alpha=0.10, linewidth=0)
        bottom.plot(minutes, prices / 1000, drawstyle="steps-post", color=BLUE, linewidth=1.5)
        bottom.set_ylabel("clearing price,\nthousand tokens")
        bottom.set_xlabel("virtual minutes since the first arrival")
        bottom.set_ylim(0)
        bottom.set_xlim(0, minutes[-1])
        _mark_end_of_arrivals(top, bottom, played)
        if played.killed_at_us is not None:
            _mark_kill(bottom, played, label=False)
            _mark_kill(top, played, label=True)
        return svg(figure, "Arrivals and clearing price over time")


def wallets_over_time(played: FigureInputs) -> str:
    """What every wallet has available, as a multiple of its beginning; those priced out longest by name."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 4.8), layout="constrained")
        axes = figure.subplots()
        minutes = _minutes(played)
        starts = np.array([bidder.wallet_tokens for bidder in played.workload.bidders])
        levels = np.array([cycle.available for cycle in played.cycles]) / starts
        # A logarithm has no zero: an empty wallet is drawn at the foot of the figure.
        levels = np.maximum(levels, WALLET_FLOOR)
        out = np.array([cycle.priced_out for cycle in played.cycles])
        named = [int(index) for index in np.argsort(-_returned(played), kind="stable")[:WALLETS_NAMED]]
        for bidder in range(len(starts)):
            if bidder not in named:
                axes.plot(minutes, levels[:, bidder], color="#cfd5de", linewidth=0.9)
        for colour, bidder in zip(WALLET_COLOURS, named, strict=False):
            name = played.workload.bidders[bidder].bidder_id.partition(":")[2]
            axes.plot(minutes, levels[:, bidder], color=colour, linewidth=1.5, label=name)
            dry = np.where(out[:, bidder], levels[:, bidder], np.nan)
            axes.plot(minutes, dry, color=RED, linewidth=3, alpha=0.75, solid_capstyle="butt")
        axes.plot([], [], color=RED, linewidth=3, alpha=0.75, label="priced out")
        axes.plot([], [], color="#cfd5de", linewidth=1.2, label="the other bidders")
        axes.set_yscale("log")
        ticks = (0.01, 0.1, 1, 10)
        axes.set_yticks((WALLET_FLOOR, *ticks), ["empty", *(f"{tick:g}x" for tick in ticks)])
        axes.minorticks_off()
        axes.axhline(1, color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.set_ylabel("available tokens / what the wallet began with")
        axes.set_xlabel("virtual minutes since the first arrival")
        axes.set_xlim(0, minutes[-1])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=3, fontsize=9, handlelength=1.6)
        if played.killed_at_us is not None:
            _mark_kill(axes, played, label=False)
        return svg(figure, "Wallets over time")


def bidders_over_time(played: FigureInputs) -> str:
    """One line per bidder: when it won slots and when it was priced out."""
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        bidders = played.workload.bidders
        cells = np.zeros((len(bidders), len(played.cycles)))
        for number, cycle in enumerate(played.cycles):
            cells[list(set(cycle.won)), number] = 1
            cells[np.flatnonzero(cycle.priced_out), number] = 2
        figure = Figure(figsize=(10.4, 5.6), layout="constrained")
        axes = figure.subplots()
        minutes = _minutes(played)
        axes.imshow(
            cells, aspect="auto", interpolation="nearest", cmap=ListedColormap(["#f1f3f6", "#a9c3f3", RED]),
            extent=(0.0, float(minutes[-1]), len(bidders) - 0.5, -0.5), vmin=0, vmax=2,
        )  # fmt: skip
        for line in range(1, len(bidders)):
            axes.axhline(line - 0.5, color="white", linewidth=1.6)
        axes.set_yticks(range(len(bidders)), [bidder.bidder_id for bidder in bidders], fontsize=8)
        axes.tick_params(axis="y", length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.set_xlabel("virtual minutes since the first arrival")
        handles = [
            axes.plot([], [], color=colour, linewidth=7, label=label)[0]
            for colour, label in (("#a9c3f3", "won at least one slot"), (RED, "priced out"))
        ]
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.4, 1.07), ncols=2, fontsize=9)
        axes.set_xlim(0, minutes[-1])
        return svg(figure, "Who won and who was priced out, call by call")


def waits(played: FigureInputs) -> str:
    """The share of all tasks that had a slot, by seconds waited and policy."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.1, 3.7), layout="constrained")
        axes = figure.subplots()
        count = len(played.workload.tasks)
        for run in reversed(played.runs):
            seconds = np.sort(waits_s(played.workload, run))
            share = np.arange(1, len(seconds) + 1) / count
            every = max(1, len(seconds) // 300)
            xs, ys = np.append(seconds[::every], seconds[-1:]), np.append(share[::every], share[-1:])
            width = 2.2 if run.policy == AUCTION else 1.5
            axes.plot(xs, ys, color=COLOURS[run.policy], linewidth=width, drawstyle="steps-post")
        _label_ends(axes, [(run, float(np.mean(run.started_us >= 0))) for run in played.runs], at=121.0)
        axes.set_xlim(0, 120)
        axes.set_ylim(0, 1)
        axes.set_yticks(np.linspace(0, 1, 6), [f"{share:.0%}" for share in np.linspace(0, 1, 6)])
        axes.set_xlabel("seconds from arrival to slot")
        axes.set_ylabel("share of all tasks")
        return svg(figure, "Waiting time by policy")


def value_against_cost(played: FigureInputs) -> str:
    """How impact accrued with the compute that was burned for it, by policy."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.1, 3.7), layout="constrained")
        axes = figure.subplots()
        ends = []
        for run in reversed(played.runs):
            order = np.argsort(np.where(run.ended_us < 0, np.iinfo(np.int64).max, run.ended_us), kind="stable")
            cost = np.concatenate([[0.0], np.cumsum(run.cost_tokens[order]) / 1e6])
            value = np.concatenate([[0.0], np.cumsum(run.impact_micros[order]) / 1e6])
            every = max(1, len(cost) // 200)
            xs, ys = np.append(cost[::every], cost[-1:]), np.append(value[::every], value[-1:])
            axes.plot(xs, ys, color=COLOURS[run.policy], linewidth=2.2 if run.policy == AUCTION else 1.5)
            axes.plot(cost[-1:], value[-1:], "o", color=COLOURS[run.policy], markersize=7)
            ends.append((run.policy, float(cost[-1]), float(value[-1])))
        right = max(cost for _, cost, _ in ends)
        top = max(value for _, _, value in ends)
        for policy, cost_end, value_end in ends:
            near = cost_end > 0.75 * right
            axes.annotate(
                policy, (cost_end, value_end), xytext=(0, -14) if near else (9, -4), textcoords="offset points",
                ha="center" if near else "left", color=COLOURS[policy], fontsize=9,
                weight="bold" if policy == AUCTION else "normal",
                path_effects=[withStroke(linewidth=3, foreground="white")],
            )  # fmt: skip
        axes.set_xlim(0, right * 1.12)
        axes.set_ylim(0, top * 1.1)
        axes.set_xlabel("compute burned, $")
        axes.set_ylabel("impact delivered, $")
        return svg(figure, "Value against cost by policy")


def _label_ends(axes: Axes, ends: Sequence[tuple[Run, float]], at: float) -> None:
    """Name the curves at their right ends, pushed apart where they would overlap."""
    ordered = sorted(ends, key=lambda end: end[1])
    places = np.array([share for _, share in ordered])
    for _ in range(100):
        overlap = np.maximum(0.0, 0.065 - np.diff(places))
        places[:-1] -= overlap / 2
        places[1:] += overlap / 2
    for (run, _), place in zip(ordered, places, strict=True):
        weight = "bold" if run.policy == AUCTION else "normal"
        axes.text(at, float(place), run.policy, color=COLOURS[run.policy], fontsize=9, va="center", weight=weight)


def _mark_kill(axes: Axes, played: FigureInputs, *, label: bool) -> None:
    assert played.killed_at_us is not None
    at = _minute(played, played.killed_at_us)
    axes.axvline(at, color=RED, linewidth=1.2, linestyle=(0, (4, 2)))
    if label:
        _label_above(axes, at, "SIGKILL, recovered", RED)


def _mark_end_of_arrivals(top: Axes, bottom: Axes, played: FigureInputs) -> None:
    at = float(played.workload.minutes)
    for axes in (top, bottom):
        axes.axvline(at, color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
    _label_above(top, at, "last arrivals", QUIET)


def _label_above(axes: Axes, at: float, text: str, colour: str) -> None:
    axes.annotate(
        text, (at, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
        color=colour, fontsize=9, ha="center", va="bottom",
    )  # fmt: skip


def _returned(played: FigureInputs) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """For each bidder the calls at which it was priced out, of the stretches after which it won again."""
    calls = np.zeros(len(played.workload.bidders), np.int64)
    for bidder, first, last, won_after in episodes(played.cycles):
        calls[bidder] += (last - first + 1) * won_after
    return calls


def _minute(played: FigureInputs, at_us: int) -> float:
    return (at_us - played.workload.starts_at_us) / 60e6


def _minutes(played: FigureInputs) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array([_minute(played, cycle.at_us) for cycle in played.cycles])


def svg(figure: Figure, title: str) -> str:
    """The figure as an SVG element for an HTML page: no metadata, no namespaces, as wide as its place."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'^<svg ([^>]*?)height="[^"]*"', r"<svg \1", text)
    text = re.sub(r'^<svg ([^>]*?)width="[^"]*"', rf'<svg role="img" aria-label="{title}" \1', text)
    # Two figures on one page must not share the names of their clip paths and markers.
    prefix = re.sub(r"\W+", "-", title.lower())
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    return re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
