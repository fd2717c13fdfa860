"""What an account has in artifact markets now: by artifact, at the average price, and what closing all would bring.

Rule of this file: it looks at the state and changes nothing. What closing would bring is found by the walk of an order,
so it is what the order would get, fee and price impact included.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.capital.quoting import exit_microtokens, trades
from callmarket.bridge.api.portfolio.days import value
from callmarket.engine.capital.commands import Side
from callmarket.engine.capital.market import ArtifactMarket
from callmarket.engine.capital.positions import Position
from callmarket.engine.ids import PositionId
from callmarket.engine.state import State

# Walks of orders that one question makes, under the lock of the sequencer: 10 ms.
EXITS_MAX: Final = 300


class ArtifactStanding(Struct):
    """An account in one artifact. `committed_microtokens`: what its positions cost, and what resting orders may."""

    artifact_id: str
    long_microshares: int = 0
    short_microshares: int = 0
    cost_microtokens: int = 0
    committed_microtokens: int = 0

    @property
    def net_long_microshares(self) -> int:
        """Below 0 of an account that is short."""
        return self.long_microshares - self.short_microshares

    def sides(self) -> Iterator[tuple[Side, int]]:
        """Each side of which there are shares."""
        if self.long_microshares:
            yield "long", self.long_microshares
        if self.short_microshares:
            yield "short", self.short_microshares


class Standing(Struct, frozen=True):
    """An account in all artifacts.

    `change_microtokens` are what purse and resting orders have of started tokens, which is in no wallet.
    """

    wallet_tokens: int
    held_tokens: int
    change_microtokens: int
    positions: int
    artifacts: dict[str, ArtifactStanding]

    @property
    def cost_microtokens(self) -> int:
        """What all positions have cost."""
        return sum(one.cost_microtokens for one in self.artifacts.values())

    @property
    def committed_microtokens(self) -> int:
        """That, and what is left to resting orders that open some."""
        return sum(one.committed_microtokens for one in self.artifacts.values())


def standing_of(state: State, account_id: str) -> Standing:
    """What an account has. O(its positions and orders): 10 ms for ten thousand."""
    capital, account = state.capital, state.ledger.accounts[account_id]
    artifacts: dict[str, ArtifactStanding] = {}
    positions = capital.positions_by_account.get(account_id, {})
    for position in positions.values():
        one = artifacts.setdefault(position.artifact_id, ArtifactStanding(position.artifact_id))
        if position.side == "long":
            one.long_microshares += position.microshares
        else:
            one.short_microshares += position.microshares
        one.cost_microtokens += position.cost_microtokens
    change = capital.purses.get(account_id, 0)
    for order in capital.orders_by_account.get(account_id, {}).values():
        if order.opens:
            artifacts.setdefault(order.artifact_id, ArtifactStanding(order.artifact_id))
            change += order.change_microtokens
    for one in artifacts.values():
        one.committed_microtokens = capital.markets[one.artifact_id].committed.get(account_id, 0)
    return Standing(account.balance_tokens, account.held_tokens, change, len(positions), artifacts)


def value_of(market: ArtifactMarket, standing: ArtifactStanding, now_us: int) -> int:
    """The shares at the average price of their market, in microtokens."""
    average = market.average_at(now_us).micros
    return sum(value(side, microshares, average) for side, microshares in standing.sides())


def exit_of(market: ArtifactMarket, standing: ArtifactStanding, account_id: str, now_us: int) -> int | None:
    """What one order for all shares of each side would get now, after the fee; None while nothing trades. 60 us.

    Where there are both sides it is a little less than both would get one after the other.
    """
    if not trades(market, now_us):
        return None
    return sum(
        exit_microtokens(
            market, Position(PositionId(0), standing.artifact_id, account_id, side, microshares, 0, 0), now_us
        )
        for side, microshares in standing.sides()
    )
