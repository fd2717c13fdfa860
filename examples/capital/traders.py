"""Who trades: agents that know something, agents that know nothing, and one that wants a price and not a profit.

Rule of this file: a trader sees prices and its own signals. What is true is told to nobody before the settlement.
"""

from random import Random
from typing import Final

from msgspec import Struct

from callmarket.engine.capital.commands import Side
from examples.capital.world import World

# Of its wallet, what a trader puts into one trade.
_SHARE: Final = 0.04
# A belief this near to the price is not worth a trade: about half of what getting out again costs.
_EDGE: Final = 0.03


class Trader(Struct, frozen=True):
    """An agent. `accuracy` is how often a signal of its own is right: 0.5 tells nothing."""

    account_id: str
    kind: str
    accuracy: float

    def trade_on(self, world: World, artifact_id: str, *, says_long: bool) -> bool:
        """Move a price towards what it should be after one more signal. Whether anything was traded.

        The price has what the others know, so the odds of it times those of the signal are what is known now (Bayes).
        """
        price = world.price(artifact_id)
        odds = price / (1 - price) * _likelihood(self.accuracy, says_long=says_long)
        belief = odds / (1 + odds)
        tokens = int(world.wealth_tokens(self.account_id) * _SHARE)
        if tokens < 1 or abs(belief - price) < _EDGE:
            return False
        if belief > price:
            return world.buy(self.account_id, artifact_id, "long", tokens, belief)
        return world.buy(self.account_id, artifact_id, "short", tokens, 1 - belief)


def _likelihood(accuracy: float, *, says_long: bool) -> float:
    """How much more likely a signal is if the artifact holds."""
    ratio = accuracy / (1 - accuracy)
    return ratio if says_long else 1 / ratio


def signal(rng: Random, accuracy: float, *, holds: bool) -> bool:
    """What a look at an artifact says, right so often."""
    return holds if rng.random() < accuracy else not holds


def trade_on_nothing(rng: Random, world: World, account_id: str, artifact_id: str) -> None:
    """A trade on a whim."""
    tokens = int(world.wealth_tokens(account_id) * _SHARE)
    side: Side = rng.choice(("long", "short"))
    if tokens >= 1:
        world.buy(account_id, artifact_id, side, tokens)
