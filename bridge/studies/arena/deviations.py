"""One round, and what one bidder could have bid instead while the others' bids stay: whether honesty is dominant.

Rule of this file: nothing is derived and nothing estimated: each reply is tried on the real engine. In rounds of the
real trace they are, for each number of slots, the least that wins it, and shadows of the honest bids. In small rounds
(`small_rounds`) they are more.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Final, get_args

from msgspec import Struct

from callmarket.bridge.studies.arena.market import ArenaMarket
from callmarket.bridge.studies.arena.strategies import just_enough, needed_tokens
from callmarket.engine.commands import PricingRule, TaskScope

RULES: Final[tuple[PricingRule, ...]] = get_args(PricingRule)
FOCAL: Final = 0
# Enough for every round that a market of this file is used for.
WALLET_TOKENS: Final = 10**12
# A second name for a task of one's own ends so.
AGAIN: Final = "-again"

Bids = tuple[tuple[str, int], ...]
"""Tasks and prices, the dearest of a bidder first."""


class Reply(Struct, frozen=True):
    """What the focal bidder bids: for its own tasks, 0 for none, and for `others`, worth nothing to it."""

    own_tokens: tuple[int, ...]
    others: Bids = ()


class OneRound(Struct, frozen=True):
    """A focal bidder's values for its tasks, dearest first, and what each of the others bids for which task.

    `place` is its place in time. The tasks of the focal bidder are called t1, t2 and so on, and where others bid for
    one of these, or two for one, they are rivals. A cap of 0 is none.
    """

    slots: int
    values_tokens: tuple[int, ...]
    others: tuple[Bids, ...]
    place: int
    cap: int = 0
    task_scope: TaskScope = "market"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The focal bidder's tasks."""
        return tuple(f"t{number}" for number in range(1, len(self.values_tokens) + 1))

    @property
    def honest(self) -> Reply:
        """The values, and nothing for the tasks of others."""
        return Reply(self.values_tokens)

    @property
    def foreign(self) -> Bids:
        """The best bid for each task that is not the focal bidder's."""
        best: dict[str, int] = {}
        for task, price in (bid for bids in self.others for bid in bids):
            if task not in self.tasks:
                best[task] = max(price, best.get(task, 0))
        return tuple(best.items())

    @property
    def least_replies(self) -> Iterator[Reply]:
        """For each number of slots, as long as the last is worth it, the least that wins that many; and two shadows.

        Where nobody has rivals no bids for own tasks earn more, but for ties, a token a slot: the tests compare them
        with every bid, under all rules.
        """
        standing = sorted((price for bids in self.others for _, price in bids), reverse=True)
        for slots in range(min(self.slots, len(self.values_tokens)) + 1):
            if slots and needed_tokens(slots, standing, self.slots) > self.values_tokens[slots - 1]:
                break
            yield Reply(just_enough(slots, len(self.values_tokens), standing, self.slots))
        yield from (Reply(self.values_tokens, shadow) for shadow in self.shadows)

    @property
    def shadows(self) -> Iterator[Bids]:
        """A bid for each task of others a token above the best that stands, which is then passed over; and below."""
        yield tuple((task, price + 1) for task, price in self.foreign)
        yield tuple((task, price - 1) for task, price in self.foreign if price > 1)


def round_of(
    slots: int, values_tokens: Sequence[int], others_tokens: Sequence[Sequence[int]], place: int = 0
) -> OneRound:
    """A round in which everybody bids for tasks of its own."""
    numbers = count(len(values_tokens) + 1)
    others = tuple(tuple((f"t{next(numbers)}", price) for price in prices) for prices in others_tokens)
    return OneRound(slots, tuple(values_tokens), others, place)


class Deviation(Struct, frozen=True):
    """The best of the replies that were tried in a round, beside the honest one."""

    round: OneRound
    honest_tokens: int
    reply: Reply
    utility_tokens: int

    @property
    def gain_tokens(self) -> int:
        """What it earns more than honesty; 0 where honesty is as good as anything."""
        return self.utility_tokens - self.honest_tokens


class Table:
    """A market that plays one round as often as one likes."""

    def __init__(self, one: OneRound, pricing_rule: PricingRule) -> None:
        """Open it with a wallet for everybody."""
        wallets = [WALLET_TOKENS] * (1 + len(one.others))
        self._round = one
        self._market = ArenaMarket(pricing_rule, one.slots, wallets, one.cap, one.task_scope)

    def utility_tokens(self, reply: Reply) -> int:
        """Play the round with this reply. A task is worth its value once, by whatever name it is won."""
        own = tuple((task, price) for task, price in zip(self._round.tasks, reply.own_tokens, strict=True) if price > 0)
        bids = list(enumerate(self._round.others, start=1))
        bids.insert(self._round.place, (FOCAL, own + reply.others))
        for seat, named in bids:
            self._market.place(seat, named)
        wins = [win for win in self._market.call().wins if win.seat == FOCAL]
        won = {win.task_id.removesuffix(AGAIN) for win in wins}
        values = dict(zip(self._round.tasks, self._round.values_tokens, strict=True))
        return sum(values.get(task, 0) for task in won) - sum(win.price_tokens for win in wins)

    def audit(self) -> None:
        """Assert that what was paid is where it belongs."""
        self._market.audit()


def best_reply(one: OneRound, pricing_rule: PricingRule, replies: Iterable[Reply]) -> Deviation:
    """Try the replies. Of equals the first, and honesty before all."""
    table = Table(one, pricing_rule)
    best_one = one.honest
    honest = best = table.utility_tokens(best_one)
    for reply in replies:
        utility = table.utility_tokens(reply)
        if utility > best:
            best, best_one = utility, reply
    table.audit()
    return Deviation(one, honest, best_one, best)
