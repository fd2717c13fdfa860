"""The table: one row for each step of each peer, one column for each size of the book.

Rule of this file: Markdown, so that what the terminal shows is what benchmarks/README.md has.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from benchmarks.table.results import Figure, Results

NOTHING: Final = "-"


def table(results: Results) -> str:
    """All of it as text that ends with a line break."""
    sizes = sorted({one.resting for one in results.figures})
    cells = [["", *(f"{size:,} resting" for size in sizes), "does not"], *_rows(results, sizes)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def heading(results: Results) -> str:
    """What the table is of, how it was made, and what is missing; ends with a line break."""
    lines = [
        f"Microseconds: median / p99 / worst. Python {results.python}, PostgreSQL {results.postgres},"
        f" {results.machine}; seed {results.seed}, {results.took_s:,.0f} s.",
        f"Before: {results.before}. After: {results.after}.",
        f"{results.calls_compared:,} calls of the others sold what ours sold.",
    ]
    lines += [f"Not measured: {name}: {why}." for name, why in results.absent.items()]
    return "\n".join(lines) + "\n"


def _rows(results: Results, sizes: list[int]) -> Iterator[list[str]]:
    def step(one: Figure) -> tuple[str, int]:
        return one.kind, one.size

    # As they were measured, which is the same order for each size of the book.
    order = list(dict.fromkeys(map(step, results.figures)))
    by_step = sorted(results.figures, key=lambda one: order.index(step(one)))
    for (kind, size), figures in groupby(by_step, key=step):
        yield [f"**{title(kind, size)}**", *("" for _ in sizes), ""]
        found = {(one.peer, one.resting): spread(one) for one in figures}
        yield from _peers(results, sizes, found)
    yield ["**memory, bytes a bid**", *("" for _ in sizes), ""]
    yield from _peers(
        results, sizes, {(one.peer, one.resting): whole(one.memory_bytes_per_bid) for one in results.footprints}
    )
    yield ["**disk, bytes a bid**", *("" for _ in sizes), ""]
    on_disk = [one for one in results.footprints if one.disk_bytes_per_bid is not None]
    yield from _peers(results, sizes, {(one.peer, one.resting): whole(one.disk_bytes_per_bid) for one in on_disk})


def _peers(results: Results, sizes: list[int], found: dict[tuple[str, int], str]) -> Iterator[list[str]]:
    for peer, lacks in results.lacks.items():
        values = [found.get((peer, size), NOTHING) for size in sizes]
        if any(value != NOTHING for value in values):
            yield [peer, *values, lacks]


def title(kind: str, size: int) -> str:
    """A step in words."""
    return {
        "place": "place one bid",
        "batch": f"place a batch of {size}, of which a bid",
        "cancel": "cancel one bid",
        "call": f"call, k = {size:,}",
    }[kind]


def spread(one: Figure) -> str:
    """Median, p99 and worst."""
    return " / ".join(map(short, (one.p50_us, one.p99_us, one.worst_us)))


def short(value_us: float) -> str:
    """Two or three digits that mean something."""
    if value_us < 10:
        return f"{value_us:.2g}" if value_us < 1 else f"{value_us:.1f}"
    digits = len(str(int(value_us)))
    return f"{round(value_us, 3 - digits):,.0f}"


def whole(value: int | None) -> str:
    """A number of bytes."""
    return NOTHING if value is None else f"{value:,}"
