"""What the commands of artifact markets cause.

Rule of this folder: that of `engine/decide`: every refusal before the first event, in the order of `Reject`.
"""

from typing import assert_never

from callmarket.engine.capital.commands import (
    CancelOrder,
    CapitalCommand,
    ClosePosition,
    DecaySubsidy,
    FreezeArtifact,
    OpenArtifactMarket,
    OpenPosition,
    SettleArtifact,
    UnfreezeArtifact,
)
from callmarket.engine.commands import Entry
from callmarket.engine.decide.capital import markets, orders
from callmarket.engine.events import Events
from callmarket.engine.state import State


def decide_capital(state: State, entry: Entry, command: CapitalCommand) -> Events:
    """The events that a command of artifact markets causes now."""
    match command:
        case OpenPosition():
            return orders.open_position(state, entry, command)
        case ClosePosition():
            return orders.close_position(state, entry, command)
        case CancelOrder():
            return orders.cancel_order(state, entry, command)
        case OpenArtifactMarket():
            return markets.open_market(state, entry, command)
        case FreezeArtifact():
            return markets.freeze(state, entry, command)
        case UnfreezeArtifact():
            return markets.unfreeze(state, entry, command)
        case SettleArtifact():
            return markets.settle(state, entry, command)
        case DecaySubsidy():
            return markets.decay(state, entry, command)
        case _ as never:
            assert_never(never)
