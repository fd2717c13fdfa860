"""How tokens are divided over names.

Rule of this file: pure, whole tokens, exact, and the same for the same weights in any order.
"""

from collections.abc import Mapping
from fractions import Fraction


def split(tokens: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Divide tokens in proportion to weights by the method of largest remainders (Hamilton), exactly.

    The rest from rounding down goes to the largest remainders, by name where they are equal. Nobody gets
    anything if all weights are 0. Weights are finite and not negative.
    """
    exact = {name: Fraction(weight) for name, weight in sorted(weights.items())}
    total = sum(exact.values())
    if not total:
        return dict.fromkeys(exact, 0)
    quotas = {name: tokens * weight / total for name, weight in exact.items()}
    parts = {name: quota.numerator // quota.denominator for name, quota in quotas.items()}
    over = tokens - sum(parts.values())
    for name in sorted(parts, key=lambda name: parts[name] - quotas[name])[:over]:
        parts[name] += 1
    return parts


def split_again(weights: Mapping[str, int], used: Mapping[str, int]) -> dict[str, int]:
    """Divide the sum of the weights again, after some of it was used: nobody gets less than that.

    A quest that has used more than its part keeps what it has used and no more; the others share the rest by their
    weights. If nothing was used, each gets its weight. The sum is that of the weights, or of what was used if that is
    more.
    """
    total = sum(weights.values())
    parts = dict.fromkeys(weights.keys() | used.keys(), 0)
    over: dict[str, int] = {}
    while True:
        rest = max(0, total - sum(over.values()))
        parts = split(rest, {name: weights.get(name, 0) for name in parts if name not in over})
        more = {name: used.get(name, 0) for name, part in parts.items() if used.get(name, 0) > part}
        if not more:
            return parts | over
        over |= more
