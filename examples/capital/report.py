"""What came of many worlds: each figure with its error, as a table.

Rule of this file: it reads outcomes and shows; nothing is decided here.
"""

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from examples.capital.loop import Outcome, Research

Outcomes = dict[Research, list[Outcome]]


def mean(values: Sequence[float]) -> str:
    """A mean with its standard error."""
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    digits = 3 if abs(fmean(values)) < 1 else 1
    return f"{fmean(values):,.{digits}f} +- {error:.{digits}f}"


def rows(outcomes: Outcomes) -> list[tuple[str, ...]]:
    """Each figure with its value by way of spending on research."""
    kinds = list(next(iter(outcomes.values()))[0].profit_tokens)

    def of(figure: Callable[[Outcome], float]) -> tuple[str, ...]:
        return tuple(mean([figure(one) for one in some]) for some in outcomes.values())

    return [
        ("squared error of prices, first evening", *of(lambda one: one.brier[0])),
        ("... last evening (0.25: nothing is known)", *of(lambda one: one.brier[-1])),
        ("... last evening, by the capital in each", *of(lambda one: one.brier_of_capital[-1])),
        *((f"won by an agent: {kind}, tokens", *of(_profit_of(kind))) for kind in kinds),
        ("price of the pushed artifact, mornings", *of(lambda one: fmean(one.pushed))),
        ("... its price in the evenings", *of(lambda one: fmean(one.pushed_path[1:]))),
        ("bits learned, all artifacts", *of(lambda one: one.bits_learned)),
        ("subsidy spent, tokens", *of(lambda one: one.subsidy_lost_tokens)),
        ("trades", *of(lambda one: one.trades)),
    ]


def markdown(outcomes: Outcomes) -> str:
    """The table as Markdown."""
    head = ["", *(f"research {way}" for way in outcomes)]
    lines = [head, ["---"] * len(head), *map(list, rows(outcomes))]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _profit_of(kind: str) -> Callable[[Outcome], float]:
    return lambda one: one.profit_tokens[kind]
