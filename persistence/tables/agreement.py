"""Whether the engine's state and the rows that its events make say the same: two paths from one journal.

Rule of this file: pure. It compares what is live, for the engine forgets what has ended.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from callmarket.engine.capital.market import ArtifactMarket
from callmarket.engine.capital.state import Capital
from callmarket.engine.state import State
from callmarket.persistence.tables.capital_shapes import ArtifactMarketRow
from callmarket.persistence.tables.projections import Changes


def disagreements(state: State, changes: Changes) -> Iterator[str]:
    """Compare the engine's state with the rows that its events make: two paths from the same journal. O(state)."""
    ledger = state.ledger
    yield from _unlike(
        "accounts",
        {account.account_id: (account.kind, account.balance, account.held) for account in changes.accounts.values()},
        {
            account_id: (account.kind, account.balance_tokens, account.held_tokens)
            for account_id, account in ledger.accounts.items()
        }
        # Before the first row the two system accounts have no rows yet.
        if state.seq
        else {},
    )
    yield from _bids_and_awards(state, changes)
    yield from _unlike(
        "named holds",
        {
            (hold.account_id, hold.hold_id): (hold.placed_seq, hold.placed_by, hold.amount, hold.reason)
            for hold in changes.holds.new.values()
            if hold.status == "open"
        },
        {
            key: (hold.placed_seq, hold.placed_by, hold.amount_tokens, hold.reason)
            for key, hold in state.holds.open.items()
        },
    )
    # The engine forgets old slots that have ended: compare those that it knows.
    yield from _unlike(
        "slots",
        {key: (slot.market_id, slot.status) for key, slot in changes.slots.new.items() if key in state.slots},
        {key: (slot.market_id, slot.status) for key, slot in state.slots.items()},
    )
    yield from _artifact_markets(state.capital, changes)
    rounds = dict.fromkeys((market.market_id for market in changes.markets), 0)
    for call in changes.rounds:
        rounds[call.market_id] = max(rounds[call.market_id], call.round_no)
    called = {market_id: market.rounds_called for market_id, market in state.markets.items()}
    yield from _unlike("markets and rounds", rounds, called)
    # Where rows were lost, ids go on from the row that says so.
    begun = changes.history_seq
    last_bid_id, last_award_id = (begun + sum(one > begun for one in ids) for ids in (changes.bids, changes.clears))
    counts = (last_bid_id, last_award_id, len(changes.ledger))
    counted = (state.bids_placed, state.awards_granted, ledger.transfers_posted)
    if counts != counted:
        yield f"bids, awards and transfers: the events make {counts}, the engine counted {counted}"


def _bids_and_awards(state: State, changes: Changes) -> Iterator[str]:
    yield from _unlike(
        "open bids",
        {
            bid.id: (bid.market_id, bid.bidder_id, bid.task_id, bid.max_price_tokens, bid.priority_seq)
            for bid in changes.bids.values()
            if bid.status == "open"
        },
        {
            bid.bid_id: (bid.market_id, bid.bidder_id, bid.task_id, bid.max_price_tokens, bid.priority_seq)
            for bid in state.bids.values()
        },
    )
    yield from _unlike(
        "live awards",
        {
            clear.award_id: (
                clear.provider_id,
                clear.slot_id,
                clear.bid_id,
                clear.bidder_id,
                clear.clearing_price_tokens,
            )
            for clear in changes.clears.values()
            if clear.status == "awarded"
        },
        {
            award.award_id: (*award.slot_key, award.bid_id, award.bidder_id, award.price_tokens)
            for award in state.awards.values()
        },
    )


def _artifact_markets(capital: Capital, changes: Changes) -> Iterator[str]:
    rows = changes.capital
    yield from _unlike(
        "artifact markets",
        {market.artifact_id: _market_of_row(market) for market in rows.new.values()},
        {artifact_id: _market_of_engine(market) for artifact_id, market in capital.markets.items()},
    )
    yield from _unlike(
        "open positions",
        {
            row.id: (row.artifact_id, row.account_id, row.side, row.shares_micros, row.cost_micros)
            for row in rows.trading.positions.values()
            if row.shares_micros and row.settled_as is None
        },
        {
            position_id: (
                position.artifact_id,
                position.account_id,
                position.side,
                position.microshares,
                position.cost_microtokens,
            )
            for position_id, position in capital.positions.items()
        },
    )
    yield from _unlike(
        "resting orders",
        {
            row.order_id: (
                row.account_id,
                row.position_id,
                row.side,
                row.effect,
                row.limit_price_micros,
                row.left_micros,
            )
            for row in rows.trading.orders.values()
            if row.status == "open"
        },
        {
            order_id: (
                order.account_id,
                order.position_id,
                order.side,
                order.effect,
                order.limit_price_micros,
                order.left,
            )
            for order_id, order in capital.orders.items()
        },
    )
    yield from _unlike(
        "purses",
        {row.account_id: row.purse_micros for row in rows.purses.values() if row.purse_micros},
        capital.purses,
    )
    # A number is used once, by an order that traded at once, rested, or both.
    ids = {trade.order_id for trade in rows.trading.trades} | rows.trading.orders.keys()
    last_id = max(ids, default=0)
    if max(last_id, changes.history_seq) != capital.orders_placed:
        yield f"orders: the events make {last_id}, the engine counted {capital.orders_placed}"


def _market_of_row(row: ArtifactMarketRow) -> tuple[object, ...]:
    return (
        row.status,
        row.positions_open,
        row.orders_open,
        row.pool_micros + row.fees_micros - row.paid_micros - row.remainder_micros,
        row.subsidy_micros,
        row.long_offset_micros,
        row.short_offset_micros,
        row.returned_micros,
        row.trades,
    )


def _market_of_engine(market: ArtifactMarket) -> tuple[object, ...]:
    maker = market.maker
    return (
        market.phase.status,
        len(market.positions),
        len(market.orders),
        market.funds_microtokens,
        maker.subsidy_microtokens,
        maker.long_offset_microshares,
        maker.short_offset_microshares,
        market.returned_microtokens,
        market.trades,
    )


def _unlike(what: str, by_events: Mapping[Any, object], by_engine: Mapping[Any, object]) -> Iterator[str]:
    if by_events == by_engine:
        return
    for key in sorted(by_events.keys() | by_engine.keys()):
        one, two = by_events.get(key), by_engine.get(key)
        if one != two:
            yield f"{what}: the events make {key} {one}, the engine has {two}"
