"""What every way to a market owes who trades in artifacts: each verb and each question of artifact markets.

Goal: a client can be moved from one way to another and notices nothing. Method: the same tests for each way of `WAYS`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from callmarket import Exchange, Invalid, ManualClock, NotFound, Refused, open_exchange
from callmarket.bridge.api.capital.receipts import Fill
from callmarket.bridge.api.market import Market
from callmarket.engine.reject import Reject
from tests.bridge.conftest import START_US
from tests.contract.conftest import acting_as
from tests.support.small_market import at

LATE = datetime(2200, 1, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000
SOON = at(START_US + HOUR_US)


def furnish(api: Market, *account_ids: str, tokens: int = 1_000, **rules: Any) -> None:
    for account_id in account_ids:
        api.open_account(account_id)
        api.mint(account_id, tokens, "grant:initial")
    api.mint("lmsr_subsidy_pool", 1_000, "fund:markets")
    api.open_artifact_market("paper", 70, **rules)


def test_from_opening_to_payout(api: Market) -> None:
    """LMSR-1, ORD-2, POS-1 to POS-4, STL-2 to STL-4: each verb's good path, in units of people."""
    furnish(api, "a", "b", closes_at=LATE)
    bought = api.open_position("paper", "a", "yes", 70)
    # 70 tokens of a subsidy of 70 halve the doubt: from .5 to .75.
    assert bought.stamp.durable
    assert (bought.side, bought.effect, bought.order_id, bought.position_id) == ("long", "open", 1, 1)
    assert bought.market is not None
    assert (bought.market.price_before, bought.market.price_after) == (0.5, 0.75)
    assert bought.fills == (Fill(None, bought.shares, bought.tokens, bought.average_price or 0),)
    assert (bought.position_shares, bought.fee_tokens, bought.resting) == (bought.shares, 0.0, None)
    assert 0 <= bought.returned_tokens <= 0.000001
    assert bought.market.payout_if_long_tokens == bought.shares
    assert bought.market.loss_bound_tokens == 70
    rested = api.open_position(
        "paper", "b", "short", 40, limit_price=Decimal("0.2"), time_in_force="gtd", expires_at=SOON
    )
    assert (rested.shares, rested.fills, rested.market, rested.average_price) == (0, (), None, None)
    assert rested.resting is not None
    assert (rested.resting.limit_price, rested.resting.tokens, rested.resting.expires_at) == (0.2, 40, SOON)
    assert api.wallet("b").held_tokens == 40
    sold = api.close_position(bought.position_id, 10.5, limit_price="0.6")
    assert (sold.effect, sold.shares) == ("close", 10.5)
    assert sold.position_shares == pytest.approx(bought.shares - 10.5)
    assert sold.fee_tokens == pytest.approx(0.05 * sold.tokens, abs=0.000002)
    cancelled = api.cancel_order(rested.order_id)
    assert (cancelled.effect, cancelled.returned_tokens, cancelled.returned_shares) == ("open", 40, 0)
    assert api.wallet("b").available_tokens == 1_000
    frozen = api.freeze_artifact("paper", SOON)
    assert (frozen.until, frozen.price_average) == (SOON, 0.5)
    assert api.unfreeze_artifact("paper").durable
    settled = api.settle_artifact("paper", "validated")
    assert (settled.settled_as, settled.price, settled.due_at, settled.more_due) == ("validated", 1, None, False)
    assert (settled.positions, settled.positions_paid, settled.paid_tokens) == (1, 1, sold.position_shares)
    market = api.artifact_market("paper")
    assert (market.status, market.settled_as, market.settle_price) == ("settled", "validated", 1)
    assert market.bids == market.asks == market.depth == ()
    movements = [movement.reason for movement in api.statement("a").items]
    assert movements[:2] == ["capital:settle", "capital:trade"]


def test_subsidy_in_tokens_or_as_b_and_what_else_has_a_default(api: Market, clock: ManualClock) -> None:
    """LMSR-1: b ln 2, rounded up; 90 days; and a retry closes when the first would."""
    api.mint("lmsr_subsidy_pool", 1_000, "fund:markets")
    opened = api.open_artifact_market("by-b", b=Decimal(100), command_id="once")
    assert (opened.subsidy_tokens, opened.b) == (70, 100.988653)
    assert opened.closes_at == at(START_US) + timedelta(days=90)
    clock.set_us(START_US + HOUR_US)
    again = api.open_artifact_market("by-b", b=100, command_id="once")
    assert (again.closes_at, again.stamp.seq, again.stamp.repeated) == (opened.closes_at, opened.stamp.seq, True)
    found = api.artifact_market("by-b")
    assert (found.exit_fee, found.exposure_limit, found.decay, found.decay_floor) == (0.05, 0.5, 0, 0.25)
    assert (found.dispute_window, found.arbiter_id, found.amm.b) == (timedelta(0), None, 100.988653)
    assert api.wallet("lmsr_subsidy_pool").balance_tokens == 930


def test_dispute_window_and_decay(api: Market) -> None:
    """STL-9, LMSR-9: announced, taken back; and fifty trades later there is less liquidity at the same price."""
    furnish(api, "a", closes_at=LATE, dispute_window=timedelta(hours=1), decay=2, arbiter_id=None)
    announced = api.settle_artifact("paper", "flagged", 0.2)
    assert (announced.price, announced.due_at, announced.positions_paid) == (0.2, SOON, 0)
    assert api.artifact_market("paper").status == "announced"
    api.freeze_artifact("paper", SOON)
    assert api.artifact_market("paper").settled_as is None
    api.unfreeze_artifact("paper")
    with pytest.raises(Refused) as caught:
        api.decay_subsidy("paper")
    assert caught.value.reason is Reject.DECAY_NOT_DUE


def test_decay_lowers_the_subsidy(api: Market, owner: Exchange, clock: ManualClock) -> None:
    """LMSR-9: what the maker no longer needs is in the pool again."""
    furnish(api, "a", closes_at=LATE, decay=2, exposure_limit=1)
    for _ in range(50):
        owner.open_position("paper", "a", "long", 1)
    clock.set_us(START_US + HOUR_US)
    before = api.artifact_market("paper")
    decayed = api.decay_subsidy("paper")
    after = api.artifact_market("paper")
    assert decayed.subsidy_tokens == after.subsidy_tokens < before.subsidy_tokens == 70
    assert after.price == pytest.approx(before.price, abs=0.000002)
    assert after.amm.loss_bound_tokens == pytest.approx(70 - decayed.returned_tokens, abs=0.000002)


def test_book_has_levels_and_depth_and_no_null(api: Market) -> None:
    """ORD-2, ORD-6: orders at one price are one level; an empty book has empty lists."""
    furnish(api, "a", "b", closes_at=LATE)
    empty = api.artifact_market("paper")
    assert (empty.status, empty.price, empty.price_average, empty.bids, empty.asks) == ("open", 0.5, 0.5, (), ())
    assert [(point.price, point.side) for point in empty.depth] == [
        *((price, "short") for price in (0.25, 0.4, 0.45, 0.48, 0.49)),
        *((price, "long") for price in (0.51, 0.52, 0.55, 0.6, 0.75)),
    ]
    assert empty.depth[-1].tokens == pytest.approx(70, abs=0.00001)
    for account_id in ("a", "b"):
        api.open_position("paper", account_id, "long", 10, limit_price=0.4, time_in_force="gtd", expires_at=LATE)
    api.open_position("paper", "b", "short", 12, limit_price=0.4, time_in_force="gtd", expires_at=LATE)
    book = api.artifact_market("paper")
    (bid,), (ask,) = book.bids, book.asks
    assert (bid.price, bid.tokens, bid.shares, bid.orders) == (0.4, 20, pytest.approx(50, abs=0.00001), 2)
    assert (ask.price, ask.shares, ask.orders) == (0.6, pytest.approx(30, abs=0.00001), 1)
    assert ask.tokens == pytest.approx(18, abs=0.00001)
    # What rests at .4 and .6 has to be bought too, for who goes further.
    at_price = {point.price: point for point in book.depth}
    before = {point.price: point for point in empty.depth}
    assert at_price[0.55] == before[0.55]
    assert at_price[0.6].shares == pytest.approx(before[0.6].shares + 30, abs=0.00001)
    assert at_price[0.4].tokens == pytest.approx(before[0.4].tokens + 30, abs=0.00001)
    assert (book.orders, book.is_complete, book.seq, book.durable_seq) == (3, True, book.seq, book.seq)


def test_a_quote_is_the_trade_that_follows(api: Market) -> None:
    """ORD-2, POS-2, POS-5: to the millionth, through maker and orders; and what it would be refused for."""
    furnish(api, "a", "b", closes_at=LATE)
    api.open_position("paper", "b", "short", 30, limit_price=0.45, time_in_force="gtd", expires_at=LATE)
    asked: dict[str, Any] = {"limit_price": 0.7, "time_in_force": "gtd", "expires_at": LATE}
    quote = api.quote_open("paper", "a", "long", 100, **asked)
    trade = api.open_position("paper", "a", "long", 100, **asked)
    assert trade.market is not None
    assert {fill.order_id for fill in quote.fills} == {None, 1}
    for field in ("shares", "tokens", "average_price", "fee_tokens", "fills", "resting", "returned_tokens"):
        assert getattr(quote, field) == getattr(trade, field), field
    assert (quote.price_before, quote.price_after) == (trade.market.price_before, trade.market.price_after)
    assert (quote.refusal, quote.payout_if_right_tokens) == (None, trade.shares)
    assert quote.exposure_after == pytest.approx(0.1, abs=0.0001)
    held = api.quote_close(trade.position_id)
    assert held.tokens - held.fee_tokens == pytest.approx(quote.exit_value_tokens)
    (position,) = api.positions("a").items
    assert position.exit_value_tokens == quote.exit_value_tokens
    sold = api.close_position(trade.position_id)
    for field in ("shares", "tokens", "average_price", "fee_tokens", "realised_tokens", "fills"):
        assert getattr(held, field) == getattr(sold, field), field
    refused = api.quote_open("paper", "a", "long", 900).refusal
    assert refused is not None
    with pytest.raises(Refused) as caught:
        api.open_position("paper", "a", "long", 900)
    error = caught.value
    assert error.reason is Reject.EXPOSURE_EXCEEDED
    assert (refused.reason, refused.field, refused.value, refused.bound) == (
        error.reason,
        error.field,
        error.value,
        error.bound,
    )


def test_what_an_account_has_is_listed_in_pages(api: Market) -> None:
    """POS-1, ORD-6: open positions and resting orders, of one artifact or all."""
    furnish(api, "a", closes_at=LATE)
    api.open_artifact_market("other", 10, closes_at=LATE)
    for artifact_id in ("paper", "other", "paper"):
        api.open_position(artifact_id, "a", "long", 5)
    api.close_position(1, 2, limit_price=0.9, time_in_force="gtd", expires_at=SOON)
    first = api.positions("a", limit=2)
    second = api.positions("a", limit=2, after=first.next)
    assert [row.position_id for row in (*first.items, *second.items)] == [1, 2, 3]
    assert second.next is None
    one = first.items[0]
    assert (one.account_id, one.artifact_id, one.side, one.reserved_shares) == ("a", "paper", "long", 2)
    assert one.entry_price == pytest.approx(one.cost_tokens / one.shares, abs=0.000001)
    assert one.exit_value_tokens is not None
    assert one.exit_value_tokens < one.cost_tokens
    assert [row.position_id for row in api.positions("a", "other").items] == [2]
    (order,) = api.orders("a").items
    assert (order.order_id, order.position_id, order.effect, order.shares, order.tokens) == (4, 1, "close", 2, 0)
    assert (order.limit_price, order.expires_at) == (0.9, SOON)
    assert api.orders("a", "other").items == ()
    markets = api.artifact_markets(limit=1)
    assert [row.artifact_id for row in (*markets.items, *api.artifact_markets(after=markets.next).items)] == [
        "other",
        "paper",
    ]
    assert [(row.artifact_id, row.positions, row.orders) for row in api.artifact_markets("open").items] == [
        ("other", 1, 0),
        ("paper", 2, 1),
    ]
    assert api.artifact_markets("settled").items == ()


def test_a_settlement_is_previewed_with_every_payout(api: Market) -> None:
    """STL-3, STL-6: the sums are those of the settlement itself; nothing is done before."""
    furnish(api, "a", "b", closes_at=LATE)
    long = api.open_position("paper", "a", "long", 50)
    short = api.open_position("paper", "b", "no", 20)
    seen = api.preview_settlement("paper", "flagged", 0.1, limit=1)
    more = api.preview_settlement("paper", "flagged", 0.1, limit=1, after=seen.next)
    assert [payout.position_id for payout in (*seen.payouts, *more.payouts)] == [1, 2]
    assert (seen.price, seen.positions, seen.refusal, more.next) == (0.1, 2, None, None)
    assert seen.payouts[0].payout_tokens == pytest.approx(0.1 * long.shares, abs=0.000001)
    assert more.payouts[0].payout_tokens == pytest.approx(0.9 * short.shares, abs=0.000001)
    void = api.preview_settlement("paper", "void")
    assert (void.price, void.paid_tokens) == (None, void.cost_tokens)
    wrong = api.preview_settlement("paper", "validated", 0.5)
    assert wrong.refusal is not None
    assert (wrong.refusal.reason, wrong.refusal.field, wrong.refusal.value, wrong.refusal.bound, wrong.payouts) == (
        Reject.SETTLE_PRICE_RANGE,
        "price",
        0.5,
        0.7,
        (),
    )
    settled = api.settle_artifact("paper", "flagged", 0.1)
    assert (settled.paid_tokens, settled.positions_paid) == (seen.paid_tokens, 2)
    assert api.preview_settlement("paper", "void").refusal is not None


REFUSALS: list[tuple[Reject, str, Callable[[Market], object]]] = [
    (Reject.ARTIFACT_MARKET_EXISTS, "artifact_id", lambda api: api.open_artifact_market("paper", 1)),
    (Reject.SUBSIDY_EXHAUSTED, "subsidy_tokens", lambda api: api.open_artifact_market("new", 500)),
    (Reject.TTL_PAST, "closes_at", lambda api: api.open_artifact_market("new", 1, closes_at=at(1))),
    (Reject.ACCOUNT_UNKNOWN, "arbiter_id", lambda api: api.open_artifact_market("new", 1, arbiter_id="nobody")),
    (Reject.ARTIFACT_MARKET_UNKNOWN, "artifact_id", lambda api: api.open_position("new", "a", "long", 1)),
    (Reject.FUNDS_INSUFFICIENT, "amount_tokens", lambda api: api.open_position("paper", "a", "long", 60)),
    (Reject.TTL_MISSING, "expires_at", lambda api: api.open_position("paper", "a", "long", 1, time_in_force="gtd")),
    (Reject.UNFILLABLE, "time_in_force", lambda api: api.open_position("paper", "a", "long", 1, limit_price=0.1)),
    (Reject.CONFLICT_OF_INTEREST, "account_id", lambda api: api.open_position("paper", "judge", "long", 1)),
    (Reject.POSITION_UNKNOWN, "position_id", lambda api: api.close_position(99)),
    (Reject.SHARES_INSUFFICIENT, "shares", lambda api: api.close_position(1, 100)),
    (Reject.ORDER_UNKNOWN, "order_id", lambda api: api.cancel_order(99)),
    (Reject.ORDER_CLOSED, "order_id", lambda api: api.cancel_order(1)),
    (Reject.UNTIL_TOO_FAR, "until", lambda api: api.freeze_artifact("paper", LATE)),
    (Reject.ARTIFACT_NOT_FROZEN, "artifact_id", lambda api: api.unfreeze_artifact("paper")),
    (Reject.SETTLE_PRICE_RANGE, "price", lambda api: api.settle_artifact("paper", "deprecated", 0.5)),
    (Reject.DECAY_NOT_DUE, "trades", lambda api: api.decay_subsidy("paper")),
]


def test_every_verb_can_be_refused_by_field_value_and_bound(api: Market, owner: Exchange) -> None:
    owner.open_account("judge")
    owner.open_account("a")
    owner.mint("a", 110, "grant:initial")
    owner.mint("lmsr_subsidy_pool", 80, "fund:markets")
    owner.open_artifact_market("paper", 70, closes_at=LATE, arbiter_id="judge", exposure_limit=1)
    owner.open_position("paper", "a", "long", 10)
    owner.place_hold("stake", "a", 50, "stake")
    before = owner.wallet("a")
    for reason, field, ask in REFUSALS:
        with pytest.raises(Refused) as caught:
            ask(api)
        assert (caught.value.reason, caught.value.field) == (reason, field)
    with pytest.raises(Refused) as caught:
        api.close_position(1, "77.25")
    (held,) = api.positions("a").items
    assert (caught.value.value, caught.value.bound) == (77.25, held.shares)
    with pytest.raises(Refused) as caught:
        api.open_position("paper", "a", "long", 1, limit_price=0.1)
    assert (caught.value.value, caught.value.bound) == ("ioc", 1.0)
    after = owner.wallet("a")
    assert (after.balance_tokens, after.held_tokens) == (before.balance_tokens, before.held_tokens)


INVALID: list[tuple[str, Callable[[Market], object]]] = [
    ("subsidy_tokens", lambda api: api.open_artifact_market("new")),
    ("b", lambda api: api.open_artifact_market("new", 70, b=100)),
    ("b", lambda api: api.open_artifact_market("new", b=0)),
    ("subsidy_tokens", lambda api: api.open_artifact_market("new", 0)),
    ("subsidy_tokens", lambda api: api.open_artifact_market("new", 501)),
    ("subsidy_tokens", lambda api: api.open_artifact_market("new", b=722)),
    ("artifact_id", lambda api: api.open_artifact_market("a/b", 70)),
    ("exit_fee", lambda api: api.open_artifact_market("new", 70, exit_fee=1.5)),
    ("dispute_window", lambda api: api.open_artifact_market("new", 70, dispute_window=timedelta(days=31))),
    ("side", lambda api: api.open_position("paper", "a", "up", 1)),  # type: ignore[arg-type]
    ("amount_tokens", lambda api: api.open_position("paper", "a", "long", 0)),
    ("limit_price", lambda api: api.open_position("paper", "a", "long", 1, limit_price=0.0001)),
    ("limit_price", lambda api: api.open_position("paper", "a", "long", 1, limit_price="1")),
    ("limit_price", lambda api: api.open_position("paper", "a", "long", 1, limit_price="many")),
    ("limit_price", lambda api: api.quote_open("paper", "a", "long", 1, limit_price=2)),
    ("shares", lambda api: api.close_position(1, 0)),
    ("shares", lambda api: api.close_position(1, -1.5)),
    ("price", lambda api: api.settle_artifact("paper", "validated", 1.1)),
    ("limit", lambda api: api.positions("a", limit=101)),
    ("depth", lambda api: api.artifact_market("paper", 0)),
    ("after", lambda api: api.positions("a", after="x")),
]


@pytest.mark.parametrize(
    ("field", "ask"), INVALID, ids=[f"{number}-{field}" for number, (field, _) in enumerate(INVALID)]
)
def test_what_is_out_of_bounds_is_named(owner: Exchange, field: str, ask: Callable[[Market], object]) -> None:
    """At the edge, and nothing is recorded."""
    before = owner.read(lambda state: state.seq)
    with pytest.raises(Invalid) as caught:
        ask(owner)
    assert caught.value.field == field
    assert owner.read(lambda state: state.seq) == before


def test_what_is_out_of_bounds_is_named_by_every_way(api: Market) -> None:
    for field, ask in INVALID:
        with pytest.raises(Invalid) as caught:
            ask(api)
        assert caught.value.field == field, caught.value


def test_what_is_not_there_is_not_found(api: Market) -> None:
    furnish(api, "a")
    for ask in (
        lambda: api.artifact_market("none"),
        lambda: api.preview_settlement("none", "void"),
        lambda: api.quote_open("none", "a", "long", 1),
        lambda: api.quote_open("paper", "none", "long", 1),
        lambda: api.quote_close(7),
        lambda: api.positions("none"),
        lambda: api.orders("none"),
    ):
        with pytest.raises(NotFound):
            ask()


def test_an_order_is_carried_out_once(api: Market) -> None:
    """IDM-1: a retry has the very receipt of the first time."""
    furnish(api, "a", closes_at=LATE)
    first = api.open_position("paper", "a", "short", 10, command_id="once")
    again = api.open_position("paper", "a", "short", 10, command_id="once")
    assert again.stamp.repeated
    assert (again.position_id, again.fills, again.market) == (first.position_id, first.fills, first.market)
    assert len(api.positions("a").items) == 1


def test_own_orders_that_are_met_are_named(api: Market) -> None:
    """ORD-8."""
    furnish(api, "a", closes_at=LATE)
    mine = acting_as(api, "a")
    rested = mine.open_position("paper", "a", "short", 10, limit_price=0.45, time_in_force="gtd", expires_at=LATE)
    bought = mine.open_position("paper", "a", "long", 30)
    assert bought.self_traded == (rested.order_id,)
    assert api.orders("a").items == ()


def test_what_is_due_is_swept(api: Market, clock: ManualClock) -> None:
    """SET-6, STL-5: orders past their deadline, and markets that nobody has settled."""
    furnish(api, "a", closes_at=SOON)
    api.open_position("paper", "a", "long", 20)
    api.open_position("paper", "a", "long", 5, limit_price=0.3, time_in_force="gtd", expires_at=at(START_US + 1))
    clock.set_us(START_US + 1)
    swept = api.refund_unfilled()
    assert (swept.orders_ended, swept.positions_paid, swept.more_due) == (1, 0, False)
    clock.set_us(START_US + HOUR_US)
    swept = api.refund_unfilled()
    assert (swept.orders_ended, swept.positions_paid, swept.more_due) == (0, 1, False)
    market = api.artifact_market("paper")
    assert (market.status, market.settled_as) == ("settled", "listed")


def test_the_setting_bounds_what_a_market_may_be_opened_with(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLMARKET_SUBSIDY_TOKENS_MAX", "50")
    with open_exchange(database_url, clock=clock) as market:
        market.mint("lmsr_subsidy_pool", 1_000, "fund:markets")
        assert market.open_artifact_market("small", 50).subsidy_tokens == 50
        with pytest.raises(Invalid, match="subsidy_tokens: expected at most 50, by the market's setting, got 51"):
            market.open_artifact_market("large", 51)
