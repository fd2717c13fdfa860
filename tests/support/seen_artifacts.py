"""What can be learned of artifact markets from events alone: prices, resting orders, positions.

Rule of this file: that of `tests.support.seen`, of which this is a part.
"""

from collections.abc import Iterator

from callmarket.engine.capital import limits
from callmarket.engine.capital.events import (
    ArtifactFrozen,
    ArtifactMarketOpened,
    ArtifactSettled,
    ArtifactUnfrozen,
    OrderMatched,
    OrderRested,
    OrdersEnded,
    PositionsPaid,
    SettlementAnnounced,
    SharesTraded,
)
from callmarket.engine.events import Event


class SeenArtifacts:
    """The public record of artifact markets so far."""

    def __init__(self) -> None:
        # The price of long of each market that is not settled, and its arbiter.
        self.prices: dict[str, int] = {}
        self.arbiters: dict[str, tuple[str, ...]] = {}
        self.frozen: set[str] = set()
        self.settled: list[str] = []
        self.orders_ever = 0
        self.resting: dict[int, OrderRested] = {}
        # Account, artifact, side and microshares.
        self.positions: dict[int, tuple[str, str, str, int]] = {}

    def observe(self, event: Event) -> None:
        """Take in one event."""
        self._markets(event)
        self._orders(event)

    def resting_prices(self) -> Iterator[tuple[int, str]]:
        """Yield the price of long and the artifact of each resting order."""
        for order in self.resting.values():
            price = order.limit_price_micros
            yield (price if order.side == "long" else limits.MICRO - price), order.artifact_id

    def price_of(self, position_id: int) -> int:
        """Return the price of a position's side, 0 where nothing trades any more."""
        _, artifact, side, _ = self.positions[position_id]
        of_long = self.prices.get(artifact)
        if of_long is None:
            return 0
        return of_long if side == "long" else limits.MICRO - of_long

    def _markets(self, event: Event) -> None:
        match event:
            case ArtifactMarketOpened(artifact_id=artifact):
                self.prices[artifact] = limits.MICRO // 2
                self.arbiters[artifact] = (event.arbiter_id,) if event.arbiter_id else ()
            case SharesTraded(artifact_id=artifact):
                self.prices[artifact] = event.price_after_micros
            case ArtifactFrozen(artifact_id=artifact):
                self.frozen.add(artifact)
            case ArtifactUnfrozen(artifact_id=artifact) | SettlementAnnounced(artifact_id=artifact):
                self.frozen.discard(artifact)
            case ArtifactSettled(artifact_id=artifact):
                self.frozen.discard(artifact)
                del self.prices[artifact]
                self.settled.append(artifact)
            case _:
                pass

    def _orders(self, event: Event) -> None:
        match event:
            case SharesTraded() | OrderMatched():
                self.orders_ever = max(self.orders_ever, event.order_id)
                self.positions.pop(event.position_id, None)
                if event.position_microshares:
                    of_whom = event.account_id, event.artifact_id, event.side
                    self.positions[event.position_id] = (*of_whom, event.position_microshares)
                if isinstance(event, OrderMatched) and not event.left:
                    self.resting.pop(event.order_id, None)
            case OrderRested():
                self.orders_ever = max(self.orders_ever, event.order_id)
                self.resting[event.order_id] = event
            case OrdersEnded(order_ids=order_ids):
                for order_id in order_ids:
                    self.resting.pop(order_id, None)
            case PositionsPaid(position_ids=position_ids):
                for position_id in position_ids:
                    self.positions.pop(position_id, None)
            case _:
                pass
