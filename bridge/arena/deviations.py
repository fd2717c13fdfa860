"""One round, and everything that one bidder could have bid instead: whether honesty is dominant, exactly.

Rule of this file: nothing is derived and nothing estimated. Rounds are small enough that every bid of the grid can be
tried, each on the real engine; the grid has every whole price that could make a difference.
"""

from collections.abc import Sequence
from itertools import product
from typing import Final, get_args

import numpy as np
from msgspec import Struct

from bridge.arena.market import ArenaMarket
from bridge.arena.scene import KINDS, Kind
from engine.commands import PricingRule

RULES: Final[tuple[PricingRule, ...]] = get_args(PricingRule)

# Values and bids of a drawn round are 1 to 8, so that 0 to 9 is every bid that differs from another.
VALUE_MAX: Final = 8
ROUNDS_DRAWN: Final = 30
FOCAL: Final = 0
OTHERS: Final = {"single": 4, "multi": 2}
TASKS: Final = {"single": 1, "multi": 2}
# Enough for every round that a market of this file is used for.
WALLET_TOKENS: Final = 1_000_000_000


class SmallRound(Struct, frozen=True):
    """A focal bidder's values, dearest first, and what each of the others bids. `place` is its place in time."""

    slots: int
    values_tokens: tuple[int, ...]
    others_tokens: tuple[tuple[int, ...], ...]
    place: int

    @property
    def grid(self) -> range:
        """No bid, and every price up to one more than anybody's."""
        return range(max(*self.values_tokens, *(max(bids) for bids in self.others_tokens)) + 2)


class Deviation(Struct, frozen=True):
    """The best of all bids in a small round, beside the honest ones."""

    round: SmallRound
    honest_tokens: int
    bids_tokens: tuple[int, ...]
    utility_tokens: int

    @property
    def gain_tokens(self) -> int:
        """What lying gains; 0 where honesty is as good as anything."""
        return self.utility_tokens - self.honest_tokens


class Dominance(Struct, frozen=True):
    """What was found under one rule with one kind of bidder. `largest` is None where no deviation gained."""

    kind: Kind
    pricing_rule: PricingRule
    rounds: int
    deviations: int
    rounds_with_gain: int
    largest: Deviation | None

    @property
    def promised(self) -> bool:
        """Whether theory says that honesty is dominant here (Vickrey 1961; Wurman, Walsh and Wellman 1998)."""
        return self.pricing_rule == "vickrey" or (self.pricing_rule, self.kind) == ("first_rejected", "single")


class Table:
    """A market that is asked what bids would have gained, as often as one likes."""

    def __init__(self, small: SmallRound, pricing_rule: PricingRule) -> None:
        """Open it for one round, played again and again."""
        self._round = small
        self._market = ArenaMarket(pricing_rule, small.slots, [WALLET_TOKENS] * (1 + len(small.others_tokens)))

    def utility_tokens(self, bids_tokens: Sequence[int]) -> int:
        """Play the round with these bids for the focal bidder's tasks, 0 for none."""
        bids = list(enumerate(self._round.others_tokens, start=1))
        bids.insert(self._round.place, (FOCAL, tuple(bids_tokens)))
        for seat, prices in bids:
            named = [(f"{seat}.{task}", price) for task, price in enumerate(prices) if price > 0]
            self._market.place(seat, named)
        wins = [win for win in self._market.call().wins if win.seat == FOCAL]
        tasks = [int(win.task_id.partition(".")[2]) for win in wins]
        return sum(self._round.values_tokens[task] for task in tasks) - sum(win.price_tokens for win in wins)

    def best(self) -> Deviation:
        """Try every bid of the grid. Of equals the first, and the honest one before all."""
        honest = best = self.utility_tokens(self._round.values_tokens)
        best_bids = self._round.values_tokens
        for bids in product(self._round.grid, repeat=len(self._round.values_tokens)):
            utility = self.utility_tokens(bids)
            if utility > best:
                best, best_bids = utility, bids
        self._market.audit()
        return Deviation(self._round, honest, best_bids, best)


def draw_round(random: np.random.Generator, kind: Kind) -> SmallRound:
    """Draw a small round in which slots are scarce. Others may bid anything: whether they are honest is nobody's."""
    others, tasks = OTHERS[kind], TASKS[kind]
    values = sorted((int(value) for value in random.integers(1, VALUE_MAX + 1, tasks)), reverse=True)
    bids = random.integers(1, VALUE_MAX + 1, (others, tasks))
    slots = int(random.integers(1, (others + 1) * tasks - 1))
    place = int(random.integers(0, others + 1))
    return SmallRound(slots, tuple(values), tuple(tuple(int(bid) for bid in line) for line in bids), place)


def try_everything(seed: int, rounds: int = ROUNDS_DRAWN) -> list[Dominance]:
    """Try every deviation in the same drawn rounds under each rule, for both kinds of bidders. Some seconds."""
    found = []
    for kind in KINDS:
        random = np.random.Generator(np.random.PCG64([seed, TASKS[kind]]))
        drawn = [draw_round(random, kind) for _ in range(rounds)]
        found += [_dominance(kind, rule, drawn) for rule in RULES]
    return found


def _dominance(kind: Kind, pricing_rule: PricingRule, drawn: Sequence[SmallRound]) -> Dominance:
    best = [Table(small, pricing_rule).best() for small in drawn]
    gainful = [deviation for deviation in best if deviation.gain_tokens > 0]
    tried = sum(len(small.grid) ** len(small.values_tokens) for small in drawn)
    largest = max(gainful, key=lambda deviation: deviation.gain_tokens, default=None)
    return Dominance(kind, pricing_rule, len(drawn), tried, len(gainful), largest)
