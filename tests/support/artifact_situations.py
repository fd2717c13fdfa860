"""Names what is remarkable in artifact markets as a stream goes by, for the test that streams get there.

Rule of this file: it reads commands and events alone. SITUATIONS is the list that a set of streams has to reach.
"""

from collections.abc import Iterator
from typing import cast

from callmarket.engine.capital import limits
from callmarket.engine.capital.commands import CancelOrder, ClosePosition, SettleArtifact
from callmarket.engine.capital.events import (
    ArtifactFrozen,
    ArtifactMarketClosed,
    ArtifactMarketOpened,
    ArtifactSettled,
    ArtifactUnfrozen,
    OrderMatched,
    OrderRested,
    OrdersEnded,
    PositionsPaid,
    PursesSet,
    SettlementAnnounced,
    SharesTraded,
    SubsidyDecayed,
)
from callmarket.engine.commands import Entry, ExpireDue
from callmarket.engine.events import Event, Events, TransferPosted

SITUATIONS = {
    "two orders that open (ORD-4)",
    "two orders that close (ORD-4)",
    "shares that change hands (ORD-4)",
    "the maker, an order and the maker again (ORD-2)",
    "an order that is stopped by its steps (ORD-2)",
    "an order that ends one of its own (ORD-8)",
    "an order that ends one past its deadline (ORD-8)",
    "an order filled in part by another (ORD-4)",
    "a rest that is too small and given back (ORD-7)",
    "an order that trades and rests (ORD-5)",
    "an order that rests at once (ORD-5)",
    "an order that closes and rests (ORD-6)",
    "a close of some shares (POS-4)",
    "a close of ever so little (ORD-7)",
    "a fee that takes all (POS-3)",
    "an order cancelled while nothing trades (STL-7)",
    "a price at its bound (LMSR-4)",
    "a side that is full (LMSR-5)",
    "a trade that the purse alone pays or keeps (CAP-3)",
    "a decay beside resting orders (LMSR-9)",
    "a decay down to its floor (LMSR-9)",
    "a trade after a decay (LMSR-9)",
    "a market settled as validated (STL-2)",
    "a market settled as flagged (STL-2)",
    "a market settled as deprecated (STL-2)",
    "a market settled as void (STL-6)",
    "a market settled as listed (STL-5)",
    "a settlement at a price that was named (STL-2)",
    "a void market with less than its costs (STL-6)",
    "a settlement paid by several rows (STL-4)",
    "a settlement announced and carried out (STL-9)",
    "a settlement announced anew (STL-9)",
    "a settlement taken back (STL-9)",
    "a market frozen again (STL-7)",
    "a market that a sweep opens again (STL-7)",
    "a subsidy of which some is lost (LMSR-6)",
    "a market of which more comes back than was paid in (STL-3)",
}


class ArtifactObserver:
    """Names the situations in artifact markets as they go by."""

    def __init__(self) -> None:
        self.subsidies: dict[str, ArtifactMarketOpened] = {}
        # Open if it is not here.
        self.statuses: dict[str, str] = {}
        self.decayed: set[str] = set()
        self.resting: dict[int, OrderRested] = {}
        self.paid_rows: dict[str, int] = {}

    def situations(self, entry: Entry, events: Events) -> Iterator[str]:
        """Yield what is remarkable in one entry and its events."""
        for event in events:
            yield from self.of_orders(entry, event, events)
            yield from self.of_settlements(entry, event)
            yield from self.of_halts(entry, event)
            yield from self.of_liquidity(event)
        moved = any(isinstance(event, TransferPosted) for event in events)
        if isinstance(events[0], SharesTraded) and not moved and any(isinstance(event, PursesSet) for event in events):
            yield "a trade that the purse alone pays or keeps (CAP-3)"

    def of_orders(self, entry: Entry, event: Event, events: Events) -> Iterator[str]:
        """Yield what is remarkable in how orders trade, rest and end."""
        match event:
            case SharesTraded():
                yield from self.of_trade(entry, event, events)
            case OrderMatched():
                other = cast("SharesTraded", events[0])
                effects = {event.effect, other.effect}
                both = f"two orders that {event.effect} (ORD-4)"
                yield both if len(effects) == 1 else "shares that change hands (ORD-4)"
                if event.left:
                    yield "an order filled in part by another (ORD-4)"
                else:
                    del self.resting[event.order_id]
                if event.returned:
                    yield "a rest that is too small and given back (ORD-7)"
            case OrderRested():
                self.resting[event.order_id] = event
                traded = isinstance(events[0], SharesTraded)
                yield "an order that trades and rests (ORD-5)" if traded else "an order that rests at once (ORD-5)"
                if event.effect == "close":
                    yield "an order that closes and rests (ORD-6)"
            case OrdersEnded():
                for order_id in event.order_ids:
                    del self.resting[order_id]
                if event.reason == "self_trade":
                    yield "an order that ends one of its own (ORD-8)"
                if event.reason == "expired" and not isinstance(entry.command, ExpireDue):
                    yield "an order that ends one past its deadline (ORD-8)"
                if isinstance(entry.command, CancelOrder) and event.artifact_ids[0] in self.statuses:
                    yield "an order cancelled while nothing trades (STL-7)"
            case _:
                pass

    def of_trade(self, entry: Entry, event: SharesTraded, events: Events) -> Iterator[str]:
        """Yield what is remarkable in a receipt."""
        sources = event.sources
        if any(sources[i] == 0 and 0 in sources[i + 2 :] for i in range(len(sources))):
            yield "the maker, an order and the maker again (ORD-2)"
        ends = sum(isinstance(one, OrdersEnded) for one in events)
        if len(sources) + ends == limits.ORDER_FILLS_MAX:
            yield "an order that is stopped by its steps (ORD-2)"
        if isinstance(entry.command, ClosePosition) and event.position_microshares:
            yield "a close of some shares (POS-4)"
        if event.effect == "close" and sum(event.microshares) < limits.ORDER_REST_MIN:
            yield "a close of ever so little (ORD-7)"
        if event.fee_microtokens and event.fee_microtokens == sum(event.microtokens):
            yield "a fee that takes all (POS-3)"
        if event.price_after_micros in (limits.PRICE_MICROS_MIN, limits.PRICE_MICROS_MAX):
            yield "a price at its bound (LMSR-4)"
        if limits.SIDE_MICROSHARES_MAX in (event.long_microshares, event.short_microshares):
            yield "a side that is full (LMSR-5)"
        if event.artifact_id in self.decayed:
            yield "a trade after a decay (LMSR-9)"

    def of_settlements(self, entry: Entry, event: Event) -> Iterator[str]:
        """Yield what is remarkable in how markets are settled and paid."""
        match event:
            case ArtifactSettled(artifact_id=artifact):
                yield f"a market settled as {event.settled_as} ({_rule(event.settled_as)})"
                if isinstance(entry.command, SettleArtifact) and entry.command.price_micros is not None:
                    yield "a settlement at a price that was named (STL-2)"
                if (
                    event.price_micros is None
                    and event.pool_microtokens + event.fees_microtokens < event.cost_microtokens
                ):
                    yield "a void market with less than its costs (STL-6)"
                if self.statuses.get(artifact) == "announced" and isinstance(entry.command, ExpireDue):
                    yield "a settlement announced and carried out (STL-9)"
                self.statuses[artifact] = "settled"
            case PositionsPaid(artifact_id=artifact):
                self.paid_rows[artifact] = self.paid_rows.get(artifact, 0) + 1
                if self.paid_rows[artifact] > 1:
                    yield "a settlement paid by several rows (STL-4)"
            case ArtifactMarketClosed(artifact_id=artifact):
                subsidy = self.subsidies[artifact].subsidy_tokens * limits.MICRO
                if event.remainder_microtokens < subsidy and artifact not in self.decayed:
                    yield "a subsidy of which some is lost (LMSR-6)"
                if event.remainder_microtokens > subsidy:
                    yield "a market of which more comes back than was paid in (STL-3)"
            case SettlementAnnounced(artifact_id=artifact):
                if self.statuses.get(artifact) == "announced":
                    yield "a settlement announced anew (STL-9)"
                self.statuses[artifact] = "announced"
            case _:
                pass

    def of_halts(self, entry: Entry, event: Event) -> Iterator[str]:
        """Yield what is remarkable in how markets stop and go on."""
        match event:
            case ArtifactFrozen(artifact_id=artifact):
                if self.statuses.get(artifact) == "announced":
                    yield "a settlement taken back (STL-9)"
                if self.statuses.get(artifact) == "frozen":
                    yield "a market frozen again (STL-7)"
                self.statuses[artifact] = "frozen"
            case ArtifactUnfrozen(artifact_id=artifact):
                del self.statuses[artifact]
                if isinstance(entry.command, ExpireDue):
                    yield "a market that a sweep opens again (STL-7)"
            case _:
                pass

    def of_liquidity(self, event: Event) -> Iterator[str]:
        """Yield what is remarkable in how liquidity comes and goes."""
        match event:
            case ArtifactMarketOpened(artifact_id=artifact):
                self.subsidies[artifact] = event
            case SubsidyDecayed(artifact_id=artifact):
                self.decayed.add(artifact)
                rules = self.subsidies[artifact]
                if any(order.artifact_id == artifact for order in self.resting.values()):
                    yield "a decay beside resting orders (LMSR-9)"
                if (
                    event.subsidy_microtokens
                    == rules.subsidy_tokens * limits.MICRO * rules.decay_floor_ppm // limits.PPM
                ):
                    yield "a decay down to its floor (LMSR-9)"
            case _:
                pass


def _rule(settled_as: str) -> str:
    return {"void": "STL-6", "listed": "STL-5"}.get(settled_as, "STL-2")
