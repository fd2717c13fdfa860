"""One round, and what one bidder could have bid instead while the others' bids stay: whether honesty is dominant.

Rule of this file: nothing is derived and nothing estimated: each bid is tried on the real engine. In rounds drawn small
enough that is every bid there is; in rounds of the real trace it is, for each number of slots, the least that wins it.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Final, get_args

import numpy as np
from msgspec import Struct

from bridge.arena.market import ArenaMarket
from bridge.arena.scene import KINDS, Kind
from bridge.arena.strategies import just_enough, needed_tokens
from engine.commands import PricingRule

RULES: Final[tuple[PricingRule, ...]] = get_args(PricingRule)

# Values and bids of a drawn round are 1 to 8, so that 0 to 9 is every bid that differs from another.
VALUE_MAX: Final = 8
ROUNDS_DRAWN: Final = 30
FOCAL: Final = 0
OTHERS: Final = {"single": 4, "multi": 2}
TASKS: Final = {"single": 1, "multi": 2}
# Enough for every round that a market of this file is used for.
WALLET_TOKENS: Final = 10**12


class OneRound(Struct, frozen=True):
    """A focal bidder's values, dearest first, and what each of the others bids. `place` is its place in time."""

    slots: int
    values_tokens: tuple[int, ...]
    others_tokens: tuple[tuple[int, ...], ...]
    place: int

    @property
    def every_bid(self) -> Iterator[tuple[int, ...]]:
        """All there is: for each task no bid, or any whole price up to one more than anybody's value or bid."""
        top = max(max(prices) for prices in (self.values_tokens, *self.others_tokens))
        return product(range(top + 2), repeat=len(self.values_tokens))

    @property
    def least_bids(self) -> Iterator[tuple[int, ...]]:
        """For each number of slots, as long as the last is worth it, the least that wins so many.

        No bid earns more, but for ties, a token a slot. The tests compare them with every bid, under all rules.
        """
        standing = sorted((price for prices in self.others_tokens for price in prices), reverse=True)
        for slots in range(min(self.slots, len(self.values_tokens)) + 1):
            if slots and needed_tokens(slots, standing, self.slots) > self.values_tokens[slots - 1]:
                return
            yield just_enough(slots, len(self.values_tokens), standing, self.slots)


class Deviation(Struct, frozen=True):
    """The best of the bids that were tried in a round, beside the honest ones."""

    round: OneRound
    honest_tokens: int
    bids_tokens: tuple[int, ...]
    utility_tokens: int

    @property
    def gain_tokens(self) -> int:
        """What it earns more than honesty; 0 where honesty is as good as anything."""
        return self.utility_tokens - self.honest_tokens


class Dominance(Struct, frozen=True):
    """What was found under one rule with one kind of bidder. `largest` is None where no deviation gained."""

    kind: Kind
    pricing_rule: PricingRule
    rounds: int
    deviations: int
    rounds_with_gain: int
    largest: Deviation | None


def promised(pricing_rule: PricingRule, kind: Kind) -> bool:
    """Whether honesty should be dominant: where what a bidder pays does not depend on its own bids.

    Vickrey 1961; for one bid each also Wurman, Walsh and Wellman 1998.
    """
    return pricing_rule == "vickrey" or (pricing_rule, kind) == ("first_rejected", "single")


class _Table:
    """A market that plays one round as often as one likes."""

    def __init__(self, one: OneRound, pricing_rule: PricingRule) -> None:
        self._round = one
        self._market = ArenaMarket(pricing_rule, one.slots, [WALLET_TOKENS] * (1 + len(one.others_tokens)))

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

    def audit(self) -> None:
        """Assert that what was paid is where it belongs."""
        self._market.audit()


def best_reply(one: OneRound, pricing_rule: PricingRule, replies: Iterable[tuple[int, ...]]) -> Deviation:
    """Try the replies. Of equals the first, and honesty before all."""
    table = _Table(one, pricing_rule)
    honest = best = table.utility_tokens(one.values_tokens)
    best_bids = one.values_tokens
    for bids in replies:
        utility = table.utility_tokens(bids)
        if utility > best:
            best, best_bids = utility, bids
    table.audit()
    return Deviation(one, honest, best_bids, best)


def draw_round(random: np.random.Generator, kind: Kind) -> OneRound:
    """Draw a small round in which slots are scarce. Others may bid anything, honest or not."""
    others, tasks = OTHERS[kind], TASKS[kind]
    values = sorted((int(value) for value in random.integers(1, VALUE_MAX + 1, tasks)), reverse=True)
    bids = random.integers(1, VALUE_MAX + 1, (others, tasks))
    slots = int(random.integers(1, (others + 1) * tasks - 1))
    place = int(random.integers(0, others + 1))
    return OneRound(slots, tuple(values), tuple(tuple(int(bid) for bid in line) for line in bids), place)


def try_everything(seed: int, rounds: int = ROUNDS_DRAWN) -> list[Dominance]:
    """Try every deviation in the same drawn rounds under each rule, for both kinds of bidders. Some seconds."""
    found = []
    for kind in KINDS:
        random = np.random.Generator(np.random.PCG64([seed, TASKS[kind]]))
        drawn = [draw_round(random, kind) for _ in range(rounds)]
        found += [_dominance(kind, rule, drawn) for rule in RULES]
    return found


def _dominance(kind: Kind, pricing_rule: PricingRule, drawn: Sequence[OneRound]) -> Dominance:
    best = [best_reply(small, pricing_rule, small.every_bid) for small in drawn]
    gainful = [deviation for deviation in best if deviation.gain_tokens > 0]
    largest = max(gainful, key=lambda deviation: deviation.gain_tokens, default=None)
    tried = sum(sum(1 for _ in small.every_bid) for small in drawn)
    return Dominance(kind, pricing_rule, len(drawn), tried, len(gainful), largest)
