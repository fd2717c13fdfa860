"""Where the auction does better, and where worse: computed from the rows, never written by hand.

Rule of this file: pure; every measure is compared with the best of the others, ties are called ties, and nothing that
the auction loses is left out.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from callmarket.bridge.studies.demo.metrics import MEASURES, Measure, Metrics

LONG_NAMES = {
    "first come": "first come, first served",
    "proportional": "the proportional split",
    "shortest job": "shortest job first",
}

SELECTIVE_FIELDS = ("value_per_token", "total_value_usd", "net_value_usd", "fill_rate", "jain_quests")

# Only the auction has prices, so there is nobody to compare its revenue with.
MEASURES_COMPARED = tuple(one for one in MEASURES if one.field != "revenue_tokens")


# What the selective rows are shown by.
MEASURES_SELECTIVE = tuple(one for one in MEASURES if one.field in SELECTIVE_FIELDS)


class Verdict(Struct, frozen=True):
    """The auction against the best of the others by one measure."""

    field: str
    outcome: Literal["better", "worse", "equal"]
    sentence: str


def shown(one: Measure, metrics: Metrics) -> str:
    """The number as people read it."""
    return one.form.format(getattr(metrics, one.field))


def best(one: Measure, rows: Sequence[Metrics]) -> Metrics:
    """The row that is best by a measure; the first of equals."""
    sign = -1 if one.better == "higher" else 1
    return min(rows, key=lambda row: sign * getattr(row, one.field))


def verdicts(auction: Metrics, others: Sequence[Metrics]) -> list[Verdict]:
    """One verdict per measure, in the order of the measures."""
    return [_verdict(one, auction, best(one, others)) for one in MEASURES_COMPARED]


def _verdict(one: Measure, auction: Metrics, rival: Metrics) -> Verdict:
    mine, theirs = shown(one, auction), shown(one, rival)
    if mine == theirs:
        return Verdict(one.field, "equal", f"{one.title}: {mine}, as {LONG_NAMES[rival.policy]}")
    mine_is_best = best(one, (auction, rival)) is auction
    comparison = f"{one.title}: {mine}, against {theirs} with {LONG_NAMES[rival.policy]}"
    return Verdict(one.field, "better" if mine_is_best else "worse", comparison)
