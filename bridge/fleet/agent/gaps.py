"""Which gap in knowledge is looked at next: what promised most so far, and what most is paid for.

Rule of this file: pure functions. The same gaps and budgets give the same order, whatever order they come in.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.errors import shown
from callmarket.bridge.api.units import float_of
from callmarket.engine.limits import SEQ_MAX, TOKENS_MAX

logger: Final = logging.getLogger(__name__)

# The seeds' blend.
UCB_SHARE: Final = 0.7
BUDGET_SHARE: Final = 0.3


class Gap(Struct, frozen=True):
    """Something that may be worked on, how often it was, and what that brought on average (between 0 and 1).

    `artifact_id` is what it is about, under which its budget is found; empty if that is nothing.
    """

    gap_id: str
    visits: int
    mean_reward: float
    artifact_id: str = ""


class ScoredGap(Struct, frozen=True):
    """A gap, and why it stands where it does. Both parts are weighted; `ucb` is infinite for one never visited."""

    gap: Gap
    score: float
    ucb: float
    budget: float


def get_top_gap(gaps: Sequence[Gap], budgets_tokens: Mapping[str, float]) -> Gap | None:
    """The gap to look at next; None if there is none. `budgets_tokens` has the resource budgets by artifact. O(n)."""
    scored = score_gaps(gaps, budgets_tokens)
    return min(scored, key=_place).gap if scored else None


def score_gaps(gaps: Iterable[Gap], budgets_tokens: Mapping[str, float]) -> list[ScoredGap]:
    """All gaps, best first: 70 % UCB1 and 30 % of the budget as a share of the largest among these gaps.

    UCB1 is mean + sqrt(2 ln n / visits), n being all visits (Auer, Cesa-Bianchi and Fischer 2002, "Finite-time
    Analysis of the Multiarmed Bandit Problem", figure 1): each gap is visited once before any is visited twice, so
    those never visited come first, the better paid ones before. Equal ones stand in the order of their ids.

    A gap whose reward is outside 0 to 1, or whose visits are no whole number from 0 to `SEQ_MAX`, is passed over, and a
    budget that is no number from 0 to `TOKENS_MAX` counts as none; the log names both. So one wrong row of a platform
    does not keep its agents from the others.
    """
    known = [gap for gap in gaps if _is_sound(gap)]
    tokens = [_budget_of(gap, budgets_tokens) for gap in known]
    most_tokens = max(tokens, default=0.0)
    visits = sum(gap.visits for gap in known)
    scored = []
    for gap, own_tokens in zip(known, tokens, strict=True):
        ucb = UCB_SHARE * _ucb1(gap, visits)
        # Where nothing is paid for, what was learned decides alone.
        budget = BUDGET_SHARE * (own_tokens / most_tokens if most_tokens else 0.0)
        scored.append(ScoredGap(gap, ucb + budget, ucb, budget))
    return sorted(scored, key=_place)


def _ucb1(gap: Gap, visits: int) -> float:
    if gap.visits == 0:
        return math.inf
    return float_of(gap.mean_reward) + math.sqrt(2 * math.log(visits) / gap.visits)


def _place(scored: ScoredGap) -> tuple[float, float, str]:
    return -scored.score, -scored.budget, scored.gap.gap_id


def _budget_of(gap: Gap, budgets_tokens: Mapping[str, float]) -> float:
    given = budgets_tokens.get(gap.artifact_id, 0.0) if gap.artifact_id else 0.0
    tokens = float_of(given)
    if not 0 <= tokens <= TOKENS_MAX:
        _complain(f"budgets_tokens[{gap.artifact_id!r}]", given, f"a number from 0 to {TOKENS_MAX}")
        return 0.0
    return tokens


def _is_sound(gap: Gap) -> bool:
    if type(gap.visits) is not int or not 0 <= gap.visits <= SEQ_MAX:
        _complain(f"visits of {gap.gap_id}", gap.visits, f"a whole number from 0 to {SEQ_MAX}")
        return False
    if not 0 <= float_of(gap.mean_reward) <= 1:
        _complain(f"mean_reward of {gap.gap_id}", gap.mean_reward, "0 to 1, for which UCB1 is made")
        return False
    return True


def _complain(field: str, value: object, expected: str) -> None:
    logger.warning("%s: expected %s, got %s", field, expected, shown(value))
