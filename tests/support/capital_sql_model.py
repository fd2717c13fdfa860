"""The SQL tables of artifact markets written in the plainest way: one event at a time, whole rows, Python's decimals.

Rule of this file: that of `sql_model`, which this is a part of.
"""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from callmarket.engine.capital import events as happened

Row = dict[str, Any]
MILLION = 10**6


def decimal(micros: int | None) -> Decimal | None:
    """Return millionths as a number."""
    return None if micros is None else Decimal(micros) / MILLION


class CapitalModel:
    """What the tables of artifact markets must hold after the events that were added."""

    now: datetime | None
    seq: int

    def __init__(self) -> None:
        self.artifact_markets: dict[str, Row] = {}
        self.states: dict[tuple[str, int], Row] = {}
        self.positions: dict[int, Row] = {}
        self.orders: dict[int, Row] = {}
        self.trades: dict[int, Row] = {}
        self.fills: dict[tuple[int, int], Row] = {}
        self.purses: dict[str, Row] = {}

    def capital_tables(self) -> dict[str, dict[Any, Row]]:
        """Return all tables by name."""
        for market in self.artifact_markets.values():
            prices = {name: decimal(market[f"{name}_micros"]) for name in ("price", "average_price", "settle_price")}
            market.update(prices)
            market["funds_micros"] = (
                market["pool_micros"] + market["fees_micros"] - market["paid_micros"] - market["remainder_micros"]
            )
        for position in self.positions.values():
            position.update(self.generated(position))
        return {
            "artifact_markets": self.artifact_markets,
            "artifact_states": self.states,
            "artifact_positions": self.positions,
            "market_orders": self.orders,
            "market_trades": self.trades,
            "market_fills": self.fills,
            "account_purses": self.purses,
        }

    @staticmethod
    def generated(position: Row) -> Row:
        """Return what the database makes of a position by itself."""
        paid, pnl = position["settlement_micros"], None
        if paid is None:
            status = "open" if position["shares_micros"] else "closed"
        else:
            pnl = paid - position["cost_micros"]
            status = "settled_profit" if pnl > 0 else "settled_loss"
            if position["settled_as"] == "void":
                status = "cancelled"
        price = Decimal(position["paid_micros"]) / position["bought_micros"]
        return {
            "status": status,
            "tokens_committed": -(-position["paid_micros"] // MILLION),
            "entry_price": price.quantize(Decimal("0.000001"), ROUND_HALF_UP),
            "settlement_price": decimal(position["settlement_price_micros"]),
            "settlement_pnl": decimal(pnl),
        }

    def at(self, us: int | None) -> datetime | None:
        """Return a time as Python has it."""
        raise NotImplementedError

    def add_held(self, account_id: str, tokens: int) -> None:
        """Let an account hold more."""
        raise NotImplementedError

    def enter(self, artifact_id: str, state: str, **more: Any) -> None:
        """Note a state of an artifact."""
        row = {
            "artifact_id": artifact_id,
            "entered_seq": self.seq,
            "state": state,
            "announced_as": None,
            "price_micros": None,
            "average_price_micros": None,
            "until_at": None,
            "entered_at": self.now,
            "seq": self.seq,
        }
        self.states[artifact_id, self.seq] = row | more

    def market(self, artifact_id: str, **columns: Any) -> Row:
        """Change a market."""
        market = self.artifact_markets[artifact_id]
        market.update(columns, seq=self.seq)
        return market

    def status(self, artifact_id: str, status: str, **columns: Any) -> Row:
        """Let a market have another status, with what belongs to it."""
        nothing = {"due_at": None, "announced_as": None, "announced_price_micros": None}
        return self.market(artifact_id, **nothing | columns, status=status, status_at=self.now)

    def ArtifactMarketOpened(self, event: happened.ArtifactMarketOpened) -> None:  # noqa: N802 -- named as the event
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        fields["closes_at"] = self.at(fields.pop("closes_at_us"))
        zeros = (
            "long_micros short_micros long_offset_micros short_offset_micros fees_micros returned_micros paid_micros "
            "remainder_micros positions_open orders_open trades volume_micros"
        )
        nothing = "due_at announced_as announced_price_micros settled_as settle_price_micros settled_at closed_at"
        subsidy = event.subsidy_tokens * MILLION
        self.artifact_markets[event.artifact_id] = (
            fields
            | dict.fromkeys(zeros.split(), 0)
            | dict.fromkeys(nothing.split())
            | dict.fromkeys(("opened_at", "status_at", "averaged_at"), self.now)
            | {"status": "open", "price_micros": 500_000, "average_price_micros": 500_000, "seq": self.seq}
            | {"subsidy_micros": subsidy, "pool_micros": subsidy}
        )
        self.enter(event.artifact_id, "listed", average_price_micros=500_000)

    def ArtifactFrozen(self, event: happened.ArtifactFrozen) -> None:  # noqa: N802
        average = {"average_price_micros": event.average_price_micros}
        until = self.at(event.until_us)
        self.status(event.artifact_id, "frozen", due_at=until, averaged_at=self.now, **average)
        self.enter(event.artifact_id, "challenged", until_at=until, **average)

    def ArtifactUnfrozen(self, event: happened.ArtifactUnfrozen) -> None:  # noqa: N802
        self.status(event.artifact_id, "open", averaged_at=self.now)
        self.enter(event.artifact_id, "listed")

    def SettlementAnnounced(self, event: happened.SettlementAnnounced) -> None:  # noqa: N802
        said, price, due = event.settled_as, event.price_micros, self.at(event.due_us)
        self.status(event.artifact_id, "announced", due_at=due, announced_as=said, announced_price_micros=price)
        self.enter(event.artifact_id, "announced", announced_as=said, price_micros=price, until_at=due)

    def ArtifactSettled(self, event: happened.ArtifactSettled) -> None:  # noqa: N802
        self.status(
            event.artifact_id,
            "settled",
            settled_as=event.settled_as,
            settle_price_micros=event.price_micros,
            settled_at=self.now,
            pool_micros=event.pool_microtokens,
            fees_micros=event.fees_microtokens,
        )
        self.enter(event.artifact_id, event.settled_as, price_micros=event.price_micros)

    def ArtifactMarketClosed(self, event: happened.ArtifactMarketClosed) -> None:  # noqa: N802
        self.market(event.artifact_id, closed_at=self.now, remainder_micros=event.remainder_microtokens)

    def SubsidyDecayed(self, event: happened.SubsidyDecayed) -> None:  # noqa: N802
        market = self.market(
            event.artifact_id,
            subsidy_micros=event.subsidy_microtokens,
            long_offset_micros=event.long_offset_microshares,
            short_offset_micros=event.short_offset_microshares,
            pool_micros=event.pool_microtokens,
        )
        market["returned_micros"] += event.returned_microtokens

    def PursesSet(self, event: happened.PursesSet) -> None:  # noqa: N802
        for account_id, micros in zip(event.account_ids, event.microtokens, strict=True):
            row = {"account_id": account_id, "purse_micros": micros, "updated_at": self.now, "seq": self.seq}
            self.purses[account_id] = row

    def SharesTraded(self, event: happened.SharesTraded) -> None:  # noqa: N802
        shares, tokens = sum(event.microshares), sum(event.microtokens)
        market = self.market(
            event.artifact_id,
            price_micros=event.price_after_micros,
            average_price_micros=event.average_price_micros,
            averaged_at=self.now,
            subsidy_micros=event.subsidy_microtokens,
            long_micros=event.long_microshares,
            short_micros=event.short_microshares,
            pool_micros=event.pool_microtokens,
            fees_micros=event.fees_microtokens,
        )
        market["trades"] += 1
        market["volume_micros"] += tokens
        same = "order_id artifact_id account_id position_id side effect price_before_micros price_after_micros"
        self.trades[event.order_id] = {name: getattr(event, name) for name in same.split()} | {
            "traded_at": self.now,
            "shares_micros": shares,
            "tokens_micros": tokens,
            "fee_micros": event.fee_microtokens,
            "realised_micros": event.realised_microtokens,
            "fill_orders": list(event.sources),
            "fill_shares_micros": list(event.microshares),
            "fill_tokens_micros": list(event.microtokens),
            "average_price_micros": event.average_price_micros,
            "long_micros": event.long_microshares,
            "short_micros": event.short_microshares,
            "subsidy_micros": event.subsidy_microtokens,
            "pool_micros": event.pool_microtokens,
            "fees_micros": event.fees_microtokens,
            "loss_bound_micros": event.loss_bound_microtokens,
            "price_after": decimal(event.price_after_micros),
            "seq": self.seq,
        }
        self.fill(event, shares, tokens)

    def OrderMatched(self, event: happened.OrderMatched) -> None:  # noqa: N802
        order = self.orders[event.order_id]
        if event.effect == "open":
            self.add_held(event.account_id, event.left // MILLION - order["left_micros"] // MILLION)
        order.update(left_micros=event.left, seq=self.seq)
        order["filled_shares_micros"] += event.microshares
        order["filled_tokens_micros"] += event.microtokens
        order["fee_micros"] += event.fee_microtokens
        order["realised_micros"] += event.realised_microtokens
        order["returned_micros"] += event.returned
        if event.left == 0:
            order.update(status="filled", ended_at=self.now)
            self.artifact_markets[event.artifact_id]["orders_open"] -= 1
        self.market(event.artifact_id)
        self.fill(event, event.microshares, event.microtokens)

    def fill(self, event: happened.SharesTraded | happened.OrderMatched, shares: int, tokens: int) -> None:
        """Note what an order did, and do it to its position."""
        names = ("order_id", "account_id", "artifact_id", "position_id", "side", "effect")
        same = {name: getattr(event, name) for name in names}
        self.fills[event.order_id, self.seq] = same | {
            "filled_seq": self.seq,
            "filled_at": self.now,
            "shares_micros": shares,
            "tokens_micros": tokens,
            "fee_micros": event.fee_microtokens,
            "realised_micros": event.realised_microtokens,
            "seq": self.seq,
        }
        market, position = self.artifact_markets[event.artifact_id], self.positions.get(event.position_id)
        if position is None:
            zeros = "bought_micros paid_micros shares_micros cost_micros realised_micros"
            nothing = "settled_as settlement_price_micros settlement_micros settled_at"
            position = self.positions[event.position_id] = (
                {"id": event.position_id, "opened_at": self.now}
                | {name: same[name] for name in ("account_id", "artifact_id", "side")}
                | dict.fromkeys(zeros.split(), 0)
                | dict.fromkeys(nothing.split())
            )
        market["positions_open"] -= position["shares_micros"] > 0
        if event.effect == "open":
            for name, more in (("bought", shares), ("paid", tokens), ("shares", shares), ("cost", tokens)):
                position[f"{name}_micros"] += more
        else:
            cost = position["cost_micros"] * shares // position["shares_micros"]
            assert event.realised_microtokens == tokens - event.fee_microtokens - cost, "POS-4"
            position["shares_micros"] -= shares
            position["cost_micros"] -= cost
            position["realised_micros"] += event.realised_microtokens
        market["positions_open"] += position["shares_micros"] > 0
        assert position["shares_micros"] == event.position_microshares
        position.update(traded_at=self.now, seq=self.seq)

    def OrderRested(self, event: happened.OrderRested) -> None:  # noqa: N802
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        left = fields.pop("left")
        fields["expires_at"] = self.at(fields.pop("expires_at_us"))
        zeros = "filled_shares_micros filled_tokens_micros fee_micros realised_micros returned_micros"
        self.orders[event.order_id] = (
            fields
            | {"rested_micros": left, "left_micros": left, "status": "open", "rested_at": self.now, "ended_at": None}
            | dict.fromkeys(zeros.split(), 0)
            | {"limit_price": decimal(event.limit_price_micros), "seq": self.seq}
        )
        self.market(event.artifact_id)["orders_open"] += 1
        if event.effect == "open":
            self.add_held(event.account_id, left // MILLION)

    def OrdersEnded(self, event: happened.OrdersEnded) -> None:  # noqa: N802
        for order_id in event.order_ids:
            order = self.orders[order_id]
            order.update(status=event.reason, ended_at=self.now, seq=self.seq)
            self.market(order["artifact_id"])["orders_open"] -= 1
            if order["effect"] == "open":
                self.add_held(order["account_id"], -(order["left_micros"] // MILLION))

    def PositionsPaid(self, event: happened.PositionsPaid) -> None:  # noqa: N802
        market = self.market(event.artifact_id)
        paid = zip(event.position_ids, event.microtokens, event.realised_microtokens, strict=True)
        for position_id, micros, realised in paid:
            position = self.positions[position_id]
            position.update(
                settled_as=market["settled_as"],
                settlement_price_micros=market["settle_price_micros"],
                settlement_micros=micros,
                settled_at=self.now,
                seq=self.seq,
            )
            position["realised_micros"] += realised
            market["paid_micros"] += micros
            market["positions_open"] -= 1
