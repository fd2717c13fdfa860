"""The bidders that are shipped: what each offers for its tasks.

Rule of this file: pure; a strategy knows its own values and wallet and what the market publishes, never the values of
others or the pricing rule. Prices are whole tokens, never above the value, 0 for no bid.
"""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import ClassVar, Final, Protocol

from msgspec import Struct

HONEST: Final = "truthful"

# What a quest bids by default (BRG-1 of the demo's quests): six tenths of the value.
SHADE: Final = 0.6
# Each further bid of a bidder that reduces demand is worth four fifths of what honesty would say of it, compounding.
REDUCTION: Final = 0.8
# A paced bidder never bids less than a ninth of its values.
MULTIPLIER_MAX: Final = 8.0


class View(Struct, frozen=True, gc=False):
    """What a bidder knows before it bids.

    `last_price_tokens` is what a slot went for in the round before: its clearing price, or the lowest price that a
    winner paid where each paid its own. `standing_tokens` are the bids in the book, dearest first: others' alone, and
    only those that came before, so for late bidders nearly all.
    """

    rounds: int
    slots: int
    wallet_tokens: int
    spent_tokens: int
    last_price_tokens: int
    standing_tokens: Sequence[int]


class Strategy(Protocol):
    """How a bidder bids. One object plays one game, so it may remember."""

    late: ClassVar[bool]
    """Whether it waits until the early ones have bid."""

    def offers(self, values_tokens: Sequence[int], view: View) -> Sequence[int]:
        """Return a price for each task; the values are the dearest first. Called once a round."""


class Truthful:
    """Bids what each task is worth."""

    late: ClassVar[bool] = False

    def offers(self, values_tokens: Sequence[int], view: View) -> Sequence[int]:  # noqa: ARG002
        """The values themselves."""
        return values_tokens


class Shaded:
    """Bids six tenths of it."""

    late: ClassVar[bool] = False

    def offers(self, values_tokens: Sequence[int], view: View) -> Sequence[int]:  # noqa: ARG002
        """The values, shaded."""
        return [int(SHADE * value) for value in values_tokens]


class Paced:
    """Spreads its wallet over the rounds: it shades by a multiplier that grows while it spends faster than that.

    The adaptive pacing of Balseiro and Gur (Management Science 65(9), 2019): a bid is value / (1 + m), and m moves by a
    step against the difference of the budget of a round and what was spent in it. Here the difference is counted in
    budgets of a round, so that the step, 1 / sqrt(rounds), has no unit.
    """

    late: ClassVar[bool] = False

    def __init__(self) -> None:
        """Begin honest."""
        self._multiplier = 0.0
        self._begun = False

    def offers(self, values_tokens: Sequence[int], view: View) -> Sequence[int]:
        """The values over 1 + m."""
        if self._begun:
            budget = view.wallet_tokens / view.rounds
            step = (view.spent_tokens - budget) / budget / sqrt(view.rounds)
            self._multiplier = min(MULTIPLIER_MAX, max(0.0, self._multiplier + step))
        self._begun = True
        return [int(value / (1 + self._multiplier)) for value in values_tokens]


class Sniping:
    """Bids late, and no more than the book says is needed for as many slots as are worth it."""

    late: ClassVar[bool] = True

    def offers(self, values_tokens: Sequence[int], view: View) -> Sequence[int]:
        """The least that wins the most slots without paying more than any is worth."""
        wanted = max(
            (
                slots
                for slots, value in enumerate(values_tokens[: view.slots], 1)
                if needed_tokens(slots, view.standing_tokens, view.slots) <= value
            ),
            default=0,
        )
        return just_enough(wanted, len(values_tokens), view.standing_tokens, view.slots)


class DemandReducing:
    """Is honest about its best task, and shades each further one more, to keep down the price of the first.

    Ausubel, Cramton, Pycia, Rostek and Weretka (Review of Economic Studies 81(4), 2014): where all units go at one
    price, bidders of several shade the later ones. How much depends on the others; this is a plain geometric rule.
    """

    late: ClassVar[bool] = False

    def offers(self, values_tokens: Sequence[int], view: View) -> Sequence[int]:  # noqa: ARG002
        """The values, the i-th (from 0) times 0.8 to the i-th."""
        return [int(REDUCTION**rank * value) for rank, value in enumerate(values_tokens)]


class BestReply:
    """Bids late, for as many slots as earn most if each costs what the dearest of them takes.

    In one round against bids that stand no bid earns more under any rule but `vickrey`, save the token by which it
    outbids, on each slot. Where slots have one price, fewer of them may earn more.
    """

    late: ClassVar[bool] = True

    def offers(self, values_tokens: Sequence[int], view: View) -> Sequence[int]:
        """The least that wins the slots that earn most; of equals the fewest."""
        most = min(view.slots, len(values_tokens))
        earned = [
            sum(values_tokens[:slots]) - slots * needed_tokens(slots, view.standing_tokens, view.slots)
            for slots in range(most + 1)
        ]
        return just_enough(earned.index(max(earned)), len(values_tokens), view.standing_tokens, view.slots)


def needed_tokens(slots_wanted: int, standing_tokens: Sequence[int], slots: int) -> int:
    """The least price at which `slots_wanted` bids win against the others: a token more than the bid they push out."""
    pushed_out = slots - slots_wanted
    return standing_tokens[pushed_out] + 1 if pushed_out < len(standing_tokens) else 1


def just_enough(slots_wanted: int, tasks: int, standing_tokens: Sequence[int], slots: int) -> tuple[int, ...]:
    """The least that wins `slots_wanted` slots, for the first of the tasks, and no bid for the others."""
    price = needed_tokens(slots_wanted, standing_tokens, slots)
    return (price,) * slots_wanted + (0,) * (tasks - slots_wanted)


STRATEGIES: Final[Mapping[str, Callable[[], Strategy]]] = {
    HONEST: Truthful,
    "shaded": Shaded,
    "paced": Paced,
    "sniping": Sniping,
    "reducing": DemandReducing,
    "best reply": BestReply,
}
