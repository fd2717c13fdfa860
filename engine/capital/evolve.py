"""What an event changes in artifact markets.

Rule of this file: that of `engine/evolve.py`, which leads here: one function per event, no decision, no refusal.
"""

from typing import assert_never

from callmarket.engine.capital.events import (
    ArtifactFrozen,
    ArtifactMarketClosed,
    ArtifactMarketOpened,
    ArtifactSettled,
    ArtifactUnfrozen,
    CapitalEvent,
    OrderMatched,
    OrderRested,
    OrdersEnded,
    PositionsPaid,
    PursesSet,
    SettlementAnnounced,
    SharesTraded,
    SubsidyDecayed,
)
from callmarket.engine.capital.maker import price_at
from callmarket.engine.capital.market import ArtifactMarket, Payout, Phase
from callmarket.engine.capital.orders import Order
from callmarket.engine.capital.positions import Position
from callmarket.engine.capital.state import Capital
from callmarket.engine.ledger import Ledger


def evolve(capital: Capital, ledger: Ledger, at_us: int, event: CapitalEvent) -> None:  # noqa: C901 -- one dispatch
    """Apply one event that happened at this time."""
    match event:
        case SharesTraded():
            _shares_traded(capital, at_us, event)
        case OrderMatched():
            _order_matched(capital, ledger, event)
        case OrderRested():
            _order_rested(capital, ledger, event)
        case OrdersEnded():
            for order_id in event.order_ids:
                order = capital.orders[order_id]
                ledger.release(order.account_id, order.held_tokens)
                capital.remove_order(order)
            for artifact_id in event.artifact_ids:
                _forget_if_paid(capital, artifact_id)
        case PursesSet():
            for account_id, microtokens in zip(event.account_ids, event.microtokens, strict=True):
                if microtokens:
                    capital.purses[account_id] = microtokens
                else:
                    del capital.purses[account_id]
        case ArtifactMarketOpened():
            capital.open(ArtifactMarket(event, at_us))
        case ArtifactFrozen():
            market = capital.markets[event.artifact_id]
            market.average = market.average_at(at_us)
            capital.enter(market, Phase("frozen", event.until_us))
        case ArtifactUnfrozen():
            market = capital.markets[event.artifact_id]
            market.average = market.average.resumed(at_us)
            capital.enter(market, Phase("open", market.rules.closes_at_us))
        case SettlementAnnounced():
            market = capital.markets[event.artifact_id]
            market.average = market.average_at(at_us)
            capital.enter(market, Phase("announced", event.due_us, event.settled_as, event.price_micros))
        case ArtifactSettled():
            _artifact_settled(capital, at_us, event)
        case PositionsPaid():
            _positions_paid(capital, event)
        case ArtifactMarketClosed():
            market = capital.markets[event.artifact_id]
            assert market.maker.pool_microtokens == event.remainder_microtokens, event
            market.maker.pool_microtokens = 0
        case SubsidyDecayed():
            _subsidy_decayed(capital, at_us, event)
        case _ as never:
            assert_never(never)


def _shares_traded(capital: Capital, at_us: int, event: SharesTraded) -> None:
    market = capital.markets[event.artifact_id]
    market.average = market.average_at(at_us)
    maker = market.maker
    maker.long_microshares = event.long_microshares
    maker.short_microshares = event.short_microshares
    maker.pool_microtokens = event.pool_microtokens
    maker.price_micros = event.price_after_micros
    market.fees_microtokens = event.fees_microtokens
    market.trades += 1
    market.prices.append(event.price_after_micros)
    capital.orders_placed = event.order_id
    microshares = sum(event.microshares)
    if event.effect == "open":
        capital.add_shares(
            Position(
                event.position_id,
                event.artifact_id,
                event.account_id,
                event.side,
                microshares,
                sum(event.microtokens),
                0,
            )
        )
    else:
        capital.take_shares(capital.positions[event.position_id], microshares)


def _order_matched(capital: Capital, ledger: Ledger, event: OrderMatched) -> None:
    order = capital.orders[event.order_id]
    held_tokens = order.held_tokens
    if event.effect == "open":
        cost = event.microtokens
        capital.add_shares(
            Position(event.position_id, event.artifact_id, event.account_id, event.side, event.microshares, cost, 0)
        )
    else:
        capital.take_shares(capital.positions[event.position_id], event.microshares)
    if event.left:
        capital.reduce_order(order, event.left)
    else:
        capital.remove_order(order)
    ledger.release(event.account_id, held_tokens - order.held_tokens)


def _order_rested(capital: Capital, ledger: Ledger, event: OrderRested) -> None:
    order = Order(
        event.order_id,
        event.artifact_id,
        event.account_id,
        event.position_id,
        event.side,
        event.effect,
        event.limit_price_micros,
        event.left,
        event.expires_at_us,
    )
    capital.orders_placed = event.order_id
    capital.add_order(order)
    ledger.hold(order.account_id, order.held_tokens)


def _artifact_settled(capital: Capital, at_us: int, event: ArtifactSettled) -> None:
    market = capital.markets[event.artifact_id]
    market.average = market.average_at(at_us)
    capital.enter(market, Phase("settled", None, event.settled_as, event.price_micros))
    market.payout = Payout.of(event)
    market.maker.pool_microtokens += market.fees_microtokens
    market.fees_microtokens = 0
    capital.paying[event.artifact_id] = None
    _forget_if_paid(capital, event.artifact_id)


def _positions_paid(capital: Capital, event: PositionsPaid) -> None:
    market = capital.markets[event.artifact_id]
    for position_id, microtokens in zip(event.position_ids, event.microtokens, strict=True):
        position = capital.positions[position_id]
        capital.take_shares(position, position.microshares)
        market.maker.pool_microtokens -= microtokens
    _forget_if_paid(capital, event.artifact_id)


def _forget_if_paid(capital: Capital, artifact_id: str) -> None:
    market = capital.markets[artifact_id]
    if not market.orders and not market.positions:
        capital.paying.pop(artifact_id, None)


def _subsidy_decayed(capital: Capital, at_us: int, event: SubsidyDecayed) -> None:
    market = capital.markets[event.artifact_id]
    market.average = market.average_at(at_us)
    maker = market.maker
    maker.subsidy_microtokens = event.subsidy_microtokens
    maker.long_offset_microshares = event.long_offset_microshares
    maker.short_offset_microshares = event.short_offset_microshares
    maker.pool_microtokens = event.pool_microtokens
    maker.price_micros = price_at(maker.long - maker.short, event.subsidy_microtokens)
    market.returned_microtokens += event.returned_microtokens
    market.decayed_at_us = at_us
    market.decays += 1
