"""What artifact markets promise whatever is asked of them, checked beside an engine as a stream goes by.

Rule of this file: each promise follows from one rule and what the engine says of itself, without the naive market. So a
wrong engine is found even where both readings of the rules are wrong in the same way.
"""

import random
from typing import NamedTuple

from callmarket.engine import limits as shard_limits
from callmarket.engine.capital import limits
from callmarket.engine.capital.commands import ClosePosition, OpenPosition, SettleArtifact
from callmarket.engine.capital.events import (
    ArtifactMarketClosed,
    ArtifactSettled,
    OrderMatched,
    OrderRested,
    OrdersEnded,
    PositionsPaid,
    PursesSet,
    SharesTraded,
    SubsidyDecayed,
)
from callmarket.engine.commands import Entry, ExpireDue
from callmarket.engine.core import Engine
from callmarket.engine.events import Events, TransferPosted

MICRO = limits.MICRO


class Before(NamedTuple):
    """What a command finds: the subsidy and the pool of each market, and the limits of its resting orders."""

    subsidies: dict[str, int]
    pools: dict[str, int]
    resting: dict[int, int]

    @staticmethod
    def of(engine: Engine) -> "Before":
        """Note what there is now. O(markets + orders)."""
        capital = engine.state.capital
        makers = {artifact: market.maker for artifact, market in capital.markets.items()}
        return Before(
            {artifact: maker.subsidy_microtokens for artifact, maker in makers.items()},
            {artifact: maker.pool_microtokens for artifact, maker in makers.items()},
            {order_id: order.limit_price_micros for order_id, order in capital.orders.items()},
        )


class Promises:
    """The promises of one stream. `owed` is what settlements have still to pay, by artifact."""

    def __init__(self) -> None:
        self.owed: dict[str, int] = {}

    def check(self, engine: Engine, entry: Entry, events: Events, before: Before) -> None:
        """Check what one command caused."""
        for event in events:
            if isinstance(event, SharesTraded):
                self.of_receipt(engine, entry, event)
            if isinstance(event, OrderMatched):
                price = before.resting[event.order_id]
                no_worse_than_limit(event.effect, price, event.microshares, event.microtokens)
            if isinstance(event, SubsidyDecayed):
                of_decay(event, before)
            if isinstance(event, PursesSet):
                assert all(0 <= purse < MICRO for purse in event.microtokens), "CAP-3"
            self.of_settlement(event)
        of_steps(entry, events)

    def of_receipt(self, engine: Engine, entry: Entry, event: SharesTraded) -> None:
        """ORD-3, LMSR-4, LMSR-6: no fill is worse than the limit, and the pool can pay either side."""
        command = entry.command
        assert isinstance(command, OpenPosition | ClosePosition)
        worst = limits.PRICE_MICROS_MAX if event.effect == "open" else limits.PRICE_MICROS_MIN
        limit = command.limit_price_micros or worst
        for microshares, microtokens in zip(event.microshares, event.microtokens, strict=True):
            no_worse_than_limit(event.effect, limit, microshares, microtokens)
        of_side = event.price_after_micros if event.side == "long" else MICRO - event.price_after_micros
        assert of_side <= limit + 1 if event.effect == "open" else of_side >= limit - 1, ("ORD-3", limit, event)
        assert limits.PRICE_MICROS_MIN <= event.price_after_micros <= limits.PRICE_MICROS_MAX, ("LMSR-4", event)
        assert event.pool_microtokens >= max(event.long_microshares, event.short_microshares), ("LMSR-6", event)
        if event.effect == "open":
            assert isinstance(command, OpenPosition)
            assert sum(event.microtokens) <= command.amount_tokens * MICRO, ("LMSR-3", event)

    def of_settlement(self, event: object) -> None:
        """STL-3, STL-6: what is paid and what remains are all that there was, and no payout is more than is left."""
        match event:
            case ArtifactSettled(artifact_id=artifact):
                self.owed[artifact] = event.pool_microtokens + event.fees_microtokens
            case PositionsPaid(artifact_id=artifact):
                assert min(event.microtokens) >= 0, event
                self.owed[artifact] -= sum(event.microtokens)
                assert self.owed[artifact] >= 0, ("more is paid than the pool has", event)
            case ArtifactMarketClosed(artifact_id=artifact):
                assert self.owed.pop(artifact) == event.remainder_microtokens, event
            case _:
                pass


def no_worse_than_limit(effect: str, limit: int, microshares: int, microtokens: int) -> None:
    """ORD-3: but for a microtoken."""
    value = limit * microshares
    fair = (microtokens - 1) * MICRO <= value if effect == "open" else (microtokens + 1) * MICRO >= value
    assert fair, ("ORD-3", effect, limit, microshares, microtokens)


def of_decay(event: SubsidyDecayed, before: Before) -> None:
    """LMSR-9: less liquidity, and nobody pays for it."""
    assert event.subsidy_microtokens < before.subsidies[event.artifact_id], ("LMSR-9", event)
    assert event.returned_microtokens == before.pools[event.artifact_id] - event.pool_microtokens >= 0, event


def of_steps(entry: Entry, events: Events) -> None:
    """ORD-2, SET-6: every command is bounded."""
    if isinstance(entry.command, OpenPosition | ClosePosition):
        fills = sum(len(event.sources) for event in events if isinstance(event, SharesTraded))
        ends = sum(isinstance(event, OrdersEnded) for event in events)
        assert fills + ends <= limits.ORDER_FILLS_MAX, "ORD-2"
        assert sum(isinstance(event, OrderRested) for event in events) <= 1
    if isinstance(entry.command, SettleArtifact | ExpireDue):
        ended = sum(len(event.order_ids) for event in events if isinstance(event, OrdersEnded))
        paid = sum(len(event.position_ids) for event in events if isinstance(event, PositionsPaid))
        assert ended + paid <= shard_limits.SWEEP_ITEMS_MAX, "STL-4"


def can_pay_at_every_price(engine: Engine, rng: random.Random) -> None:
    """LMSR-6, STL-3: whatever price is named, the pool pays all positions. O(positions)."""
    for market in engine.state.capital.markets.values():
        if market.phase.status == "settled":
            continue
        for price in (0, MICRO, rng.randint(0, MICRO)):
            worth = {"long": price, "short": MICRO - price}
            payouts = [one.microshares * worth[one.side] // MICRO for one in market.positions.values()]
            assert sum(payouts) <= market.maker.pool_microtokens, (price, market.rules)


def conserves_every_token(engine: Engine) -> None:
    """LED-1: all balances sum to zero; the escrow never owes. With CAP-2 in `State.check`. O(accounts)."""
    balances = {name: account.balance_tokens for name, account in engine.state.ledger.accounts.items()}
    assert sum(balances.values()) == 0, balances
    assert min(balance for name, balance in balances.items() if name != "issuance") >= 0, balances


def minted(events: Events) -> int:
    """Return what is made, less what is destroyed."""
    transfers = [event for event in events if isinstance(event, TransferPosted)]
    made = sum(one.amount_tokens for one in transfers if one.debit_account_id == "issuance")
    return made - sum(one.amount_tokens for one in transfers if one.credit_account_id == "issuance")
