"""A quote is the trade that follows, and a preview the settlement: to the millionth, in random markets.

Goal: nobody is told what does not come. Method: random lives of artifact markets; before each order and settlement the
market is asked, then the engine decides the command, and what was told is held against what happened.
"""

from typing import Any

import pytest

from callmarket.bridge.api.capital.book import book_of
from callmarket.bridge.api.capital.holdings import position_of
from callmarket.bridge.api.capital.payouts import SettlementPreview
from callmarket.bridge.api.capital.quoting import ArtifactQuote, trades
from callmarket.bridge.api.capital.receipts import trade_of
from callmarket.bridge.api.contract.queries import Moment
from callmarket.bridge.api.contract.results import refusal_of
from callmarket.bridge.api.operations.artifact_books import preview_settlement
from callmarket.bridge.api.operations.positions import quote_close, quote_open
from callmarket.bridge.api.units import datetime_of, number_of
from callmarket.engine.capital.commands import ClosePosition, OpenPosition, SettleArtifact
from callmarket.engine.capital.events import ArtifactMarketClosed, ArtifactSettled, PositionsPaid
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.capital.orders import Order
from callmarket.engine.capital.route import Route
from callmarket.engine.commands import Command, Entry
from callmarket.engine.events import Events, Rejected
from callmarket.engine.ids import OrderId, PositionId
from tests.support.capital_stories import CapitalStory

SEEDS = 6
COMMANDS = 400
SAME = ("shares", "tokens", "average_price", "fee_tokens", "realised_tokens", "returned_tokens", "fills", "resting")


def terms(command: OpenPosition | ClosePosition) -> dict[str, Any]:
    """The limits of an order in units of people."""
    limit, expires = command.limit_price_micros, command.expires_at_us
    return {
        "limit_price": None if limit is None else number_of(limit),
        "time_in_force": command.time_in_force,
        "expires_at": None if expires is None else datetime_of(expires),
    }


class AskedStory(CapitalStory):
    """A life in which the market is asked before each order and each settlement."""

    def __init__(self, seed: int) -> None:
        self.traded = self.refused = self.rested = self.settled = self.closed = 0
        super().__init__(seed)

    def do(self, actor: str, command: Command) -> None:
        self.at_us += self.rng.choice((0, 1, 1_000_003, 60_000_000))
        state = self.engine.state
        moment = Moment(state, state.seq, self.at_us)
        before = state.encode()
        asked = self.ask(moment, command)
        assert state.encode() == before, "a question changes nothing"
        entry = Entry(len(self.sealer.rows) + 1, self.at_us, actor, command)
        events = self.sealer.apply(entry).events
        if isinstance(asked, ArtifactQuote):
            assert isinstance(command, OpenPosition | ClosePosition)
            self.compare(asked, command, events)
        elif asked is not None:
            self.compare_settlement(asked, events)

    def ask(self, moment: Moment, command: Command) -> ArtifactQuote | SettlementPreview | None:
        capital = moment.state.capital
        match command:
            case OpenPosition(artifact_id=artifact_id) if artifact_id in capital.markets:
                plan = quote_open.state_query(
                    artifact_id, command.account_id, command.side, command.amount_tokens, **terms(command)
                )
                return plan.answer(moment)
            case ClosePosition(position_id=position_id, microshares=microshares):
                shares = None if microshares is None else number_of(microshares)
                return quote_close.state_query(position_id, shares, **terms(command)).answer(moment)
            case SettleArtifact(artifact_id=artifact_id) if artifact_id in capital.markets:
                price = None if command.price_micros is None else number_of(command.price_micros)
                return preview_settlement.state_query(artifact_id, command.settled_as, price, limit=3).answer(moment)
            case _:
                return None

    def compare(self, quote: ArtifactQuote, command: OpenPosition | ClosePosition, events: Events) -> None:
        first = events[0]
        if isinstance(first, Rejected):
            self.refused += 1
            assert (quote.refusal, quote.shares, quote.fills) == (refusal_of(first), 0, ())
            return
        trade = trade_of(events, command.amount_tokens if isinstance(command, OpenPosition) else 0)
        assert quote.refusal is None
        for name in SAME:
            assert getattr(quote, name) == getattr(trade, name), name
        self.rested += trade.resting is not None
        if trade.market is None:
            assert quote.price_after == quote.price_before
            return
        self.traded += 1
        assert (quote.price_before, quote.price_after) == (trade.market.price_before, trade.market.price_after)
        state = self.engine.state
        if quote.effect == "open" and quote.resting is None:
            found = position_of(state, state.capital.positions[trade.position_id], state.at_us)
            assert found.exit_value_tokens == quote.exit_value_tokens
            self.compare_exit(quote.exit_value_tokens, trade.position_id)

    def compare_exit(self, told: float | None, position_id: PositionId) -> None:
        """What was told of getting out is what the order to close is decided to bring (POS-3)."""
        state = self.engine.state
        close = quote_close.state_query(position_id).answer(Moment(state, state.seq, state.at_us))
        if close.refusal is None:
            self.closed += 1
            assert close.tokens - close.fee_tokens == pytest.approx(told, abs=0.0000001)

    def compare_settlement(self, preview: SettlementPreview, events: Events) -> None:
        first = events[0]
        if isinstance(first, Rejected):
            assert preview.refusal == refusal_of(first)
            return
        assert preview.refusal is None
        assert preview.price == (None if first.price_micros is None else number_of(first.price_micros))  # type: ignore[union-attr]
        if not isinstance(first, ArtifactSettled):
            assert preview.due_at is not None
            return
        self.settled += 1
        paid = [
            (position_id, number_of(amount))
            for event in events
            if isinstance(event, PositionsPaid)
            for position_id, amount in zip(event.position_ids, event.microtokens, strict=True)
        ]
        assert (preview.positions, preview.orders) == (first.positions, first.orders)
        assert [(one.position_id, one.payout_tokens) for one in preview.payouts] == paid[:3]
        (closed,) = (event for event in events if isinstance(event, ArtifactMarketClosed))
        assert preview.remainder_tokens == number_of(closed.remainder_microtokens)
        assert preview.paid_tokens == pytest.approx(sum(amount for _, amount in paid), abs=0.00001)


def test_what_is_told_is_what_comes(seed: int) -> None:
    """ORD-1 to ORD-8, POS-2 to POS-5, STL-2, STL-3, STL-6."""
    story = AskedStory(seed)
    for one in range(seed, seed + SEEDS):
        story = AskedStory(one)
        story.go_on(COMMANDS)
        assert story.traded, one
    assert min(story.traded, story.refused, story.rested, story.closed) > 0


def test_depth_is_what_an_order_takes_to_move_the_price(seed: int) -> None:
    """LMSR-3, ORD-2: for each point, an order without an end up to that price buys these shares for these tokens."""
    compared = with_orders = 0
    for one in range(seed, seed + SEEDS):
        story = CapitalStory(one)
        for _ in range(20):
            story.go_on(COMMANDS // 20)
            for market in story.engine.state.capital.markets.values():
                for point in book_of(market, 100).depth:
                    long_price = round(point.price * MICRO)
                    order = Order(
                        order_id=OrderId(0),
                        artifact_id=market.rules.artifact_id,
                        account_id="nobody",
                        position_id=PositionId(0),
                        side=point.side,
                        effect="open",
                        limit_price_micros=long_price if point.side == "long" else MICRO - long_price,
                        left=2**62,
                        expires_at_us=0,
                    )
                    # At time 0 nothing that rests has expired.
                    route = Route(market, order, 0)
                    if not route.at_limit:
                        continue
                    compared += 1
                    with_orders += any(fill.order is not None for fill in route.fills)
                    assert point.shares == pytest.approx(number_of(route.microshares), abs=0.0001)
                    assert point.tokens == pytest.approx(number_of(route.microtokens), abs=0.0001)
    assert compared > 100
    assert with_orders


def test_a_market_that_does_not_trade_tells_no_exit_value(seed: int) -> None:
    """STL-7: nobody could have it now."""
    story = CapitalStory(seed)
    for _ in range(COMMANDS):
        story.go_on(1)
        state = story.engine.state
        for position in list(state.capital.positions.values())[:3]:
            market = state.capital.markets[position.artifact_id]
            told = position_of(state, position, state.at_us).exit_value_tokens
            assert (told is not None) == trades(market, state.at_us)
