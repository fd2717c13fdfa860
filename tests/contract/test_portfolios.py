"""What every way to a market owes who asks for portfolios, and what the platform's names for them answer.

Goal: as `test_verbs`. Method: accounts that trade in artifact markets for some weeks, by a clock that the test sets;
the figures are worked out beside it.
"""

from datetime import timedelta
from typing import Any, cast

import pytest

from callmarket import Conflict, Exchange, Invalid, ManualClock, NotFound
from callmarket.bridge.api.market import Market
from callmarket.bridge.fleet.portfolio import (
    compute_exposure,
    compute_pnl,
    compute_sharpe,
    get_portfolio,
    get_top_performers,
)
from tests.bridge.conftest import START_US
from tests.contract.conftest import acting_as
from tests.support.aged import DAY_US, let_pass
from tests.support.small_market import at

HOUR_US = DAY_US // 24


@pytest.fixture
def market(owner: Exchange, api: Any) -> Market:
    """Agents a and b with a thousand tokens each, and markets for two artifacts."""
    owner.mint("lmsr_subsidy_pool", 1_000, "fund:markets")
    for account_id in ("a", "b"):
        owner.open_account(account_id)
        owner.mint(account_id, 1_000, "grant:initial")
    for artifact_id in ("h1", "h2"):
        owner.put_artifact(artifact_id, "hypothesis")
        owner.open_artifact_market(artifact_id, 70, closes_at=at(START_US + 200 * DAY_US))
    return cast(Market, api)


def test_a_portfolio_is_what_there_is(market: Market, owner: Exchange, clock: ManualClock) -> None:
    """PRT-1, PRT-2: wallet, purse, equity, exposure; at the average price, and as what closing would bring."""
    a = acting_as(market, "a")
    first = a.open_position("h1", "a", "long", 70)
    resting = a.open_position(
        "h2", "a", "short", 30, limit_price=0.4, time_in_force="gtd", expires_at=at(START_US + 90 * DAY_US)
    )
    found = get_portfolio(market, "a")
    assert (found.account_id, found.positions_open, found.artifacts) == ("a", 1, 2)
    assert (found.wallet_tokens, found.held_tokens) == (930, 30)
    assert found.committed_tokens == pytest.approx(100, abs=0.01)
    assert found.exposure == pytest.approx(100 / 1_000, abs=1e-3)
    # The average has not moved yet: half a token a share.
    (position,) = found.positions
    assert (position.price_average, position.price) == (0.5, pytest.approx(0.75, abs=1e-3))
    assert position.value_tokens == pytest.approx(position.shares / 2, abs=1e-5)
    assert position.unrealised_tokens == pytest.approx(position.value_tokens - position.cost_tokens, abs=1e-5)
    assert found.equity_tokens == pytest.approx(930 + found.purse_tokens + position.value_tokens, abs=1e-5)
    quote = market.quote_close(first.position_id)
    assert found.exit_value_tokens == position.exit_value_tokens == pytest.approx(quote.tokens - quote.fee_tokens)
    assert found.exit_value_tokens == pytest.approx(70 * 0.95, abs=1e-3), "what it cost, less the exit fee"
    assert found.realised_tokens == 0
    assert 0 < found.seq <= found.durable_seq

    rows = compute_exposure(market, "a")
    assert list(rows) == ["h1", "h2"]
    assert rows["h1"].net_long_shares == rows["h1"].long_shares == position.shares
    assert (rows["h2"].net_long_shares, rows["h2"].cost_tokens, rows["h2"].exit_value_tokens) == (0, 0, 0)
    assert rows["h2"].committed_tokens == pytest.approx(30, abs=0.01)
    assert rows["h1"].exposure == position.exposure

    # Six hours on, half of the move counts.
    let_pass(owner, clock, 6 * HOUR_US)
    assert get_portfolio(market, "a").positions[0].price_average == pytest.approx(0.625, abs=1e-3)
    a.cancel_order(resting.order_id)
    closed = a.close_position(first.position_id)
    found = get_portfolio(market, "a")
    assert (found.positions, found.committed_tokens, found.exposure, found.artifacts) == ((), 0, 0, 0)
    assert found.realised_tokens == pytest.approx(-70 * 0.05, abs=1e-3) == closed.realised_tokens
    assert found.equity_tokens == pytest.approx(1_000 + found.realised_tokens, abs=1e-6)
    told = compute_pnl(market, "a")
    assert (told.realised_tokens, told.unrealised_tokens, told.exit_value_tokens) == (found.realised_tokens, 0, 0)
    assert (told.positions_closed, told.positions_open, told.total_tokens) == (1, 0, told.realised_tokens)


def test_pages_of_a_portfolio(market: Market) -> None:
    a = acting_as(market, "a")
    for number in range(5):
        a.open_position(("h1", "h2")[number % 2], "a", "short", 5)
    first = market.get_portfolio("a", limit=3)
    second = market.get_portfolio("a", limit=3, after=first.next)
    assert [one.position_id for one in (*first.positions, *second.positions)] == [1, 2, 3, 4, 5]
    assert (second.next, second.positions_open) == (None, 5)
    page = market.compute_exposure("a", limit=1)
    assert [one.artifact_id for one in page.items] == ["h1"]
    assert [one.artifact_id for one in market.compute_exposure("a", limit=1, after=page.next).items] == ["h2"]
    assert page.items[0].net_long_shares < 0


def test_days_and_what_they_say(market: Market, owner: Exchange, clock: ManualClock) -> None:
    """PRT-3, PRT-4, PRT-5: days without trades count, gifts do not; too few say nothing."""
    a = acting_as(market, "a")
    assert compute_sharpe(market, "a").reason == "insufficient_history"
    assert market.get_portfolio_days("a").days == ()
    opened = a.open_position("h1", "a", "long", 70)
    let_pass(owner, clock, DAY_US)
    owner.mint("a", 500, "grant:more")
    let_pass(owner, clock, 2 * DAY_US)
    told = market.get_portfolio_days("a")
    assert [day.began_at.date().day for day in told.days] == [15, 16, 17]
    assert [(day.in_tokens, day.out_tokens) for day in told.days] == [(1_000, 0), (500, 0), (0, 0)]
    first, second, third = told.days
    # Sixteen hours later most of the move of the price counts; the day began with nothing.
    assert (first.start_tokens, first.day_return) == (0, None)
    assert first.earned_tokens > 0 and first.end_tokens == pytest.approx(1_000 + first.earned_tokens, abs=1e-6)
    assert second.start_tokens == first.end_tokens and third.start_tokens == second.end_tokens
    assert second.day_return == pytest.approx(second.earned_tokens / (first.end_tokens + 500), abs=1e-6)
    assert told.earned_tokens == pytest.approx(third.end_tokens - 1_500, abs=1e-5)
    assert told.drawdown_worst == told.drawdown_last == 0

    a.close_position(opened.position_id)
    let_pass(owner, clock, 12 * DAY_US)
    found = compute_sharpe(market, "a")
    assert (found.period_days, found.returns, found.reason) == (30, 14, None)
    assert found.sharpe is not None and found.standard_error is not None and found.days_needed is not None
    assert compute_sharpe(market, "a", 7).reason == "insufficient_history"
    assert market.get_portfolio_days("a", 365).drawdown_worst > 0, "the exit fee"
    # The next ten days nothing happens at all.
    let_pass(owner, clock, 11 * DAY_US)
    quiet = compute_sharpe(market, "a", 10)
    assert (quiet.returns, quiet.sharpe, quiet.reason) == (10, None, "zero_variance")


def test_who_was_right_leads(market: Market, owner: Exchange, clock: ManualClock) -> None:
    """PRT-6, PRT-7: where it was judged, in five artifacts or more, with all that was realised there."""
    a, b = acting_as(market, "a"), acting_as(market, "b")
    names = [f"p{number}" for number in range(6)]
    for name in names:
        owner.open_artifact_market(name, 20, closes_at=at(START_US + 200 * DAY_US))
        a.open_position(name, "a", "long", 10)
        b.open_position(name, "b", "short", 20)
    # What goes wrong is sold: it counts all the same.
    for position in market.positions("b").items[:2]:
        b.close_position(position.position_id)
    # Half a fortune at a price that nobody has judged.
    b.open_position("h1", "b", "long", 100)
    let_pass(owner, clock, DAY_US)
    assert get_top_performers(market) == ()
    for name in names[:4]:
        owner.settle_artifact(name, "validated")
    owner.settle_artifact("h2", "void")
    assert get_top_performers(market) == (), "four are too few"
    owner.settle_artifact(names[4], "deprecated")

    best, worst = get_top_performers(market)
    assert (best.account_id, worst.account_id, best.artifacts, worst.artifacts) == ("a", "b", 5, 5)
    assert best.profit_tokens == pytest.approx(sum(one.realised_tokens for one in [compute_pnl(market, "a")]), abs=1e-6)
    assert best.profit_tokens > 0 > worst.profit_tokens
    assert worst.profit_tokens == pytest.approx(compute_pnl(market, "b").realised_tokens, abs=1e-6)
    assert best.profit_error_tokens is not None and best.bits_error is not None
    by_bits = get_top_performers(market, order="bits")
    assert [one.account_id for one in by_bits] == ["a", "b"]
    record = market.get_track_record("a")
    assert (record.artifacts, record.forecasts, record.is_complete) == (5, 5, True)
    assert record.bits == by_bits[0].bits > 0 > by_bits[1].bits
    # Ten of twenty tokens of subsidy, held to the end: S * bits in each.
    assert record.bits * 20 == pytest.approx(best.profit_tokens, abs=0.01)
    (decile,) = [one for one in record.calibration if one.forecasts]
    assert (decile.price_from, decile.forecasts, decile.outcome) == (0.6, 5, 0.8)
    assert decile.price == pytest.approx(1 - 0.5 * 2**-0.5, abs=1e-5)
    assert get_top_performers(market, order="sharpe") == (), "a single day"

    let_pass(owner, clock, 25 * DAY_US)
    ranked = get_top_performers(market, order="sharpe")
    assert [one.returns for one in ranked] == [25, 25]
    assert [one.sharpe for one in ranked] == [compute_sharpe(market, one.account_id, 90).sharpe for one in ranked]
    assert get_top_performers(market, limit=1)[0] == get_top_performers(market)[0]
    assert market.get_top_performers(period_days=20).items == (), "judged before"


def test_a_market_prices_its_artifact(market: Market, owner: Exchange, clock: ManualClock) -> None:
    """BRG-3, RES-12: with its average; staff do not, and what was settled is worth what it was settled at."""
    acting_as(market, "a").open_position("h1", "a", "long", 70)
    assert market.artifact("h1").market_price == 0.5
    let_pass(owner, clock, 6 * HOUR_US)
    found = market.artifact("h1")
    assert (found.market_price, found.priced_by) == (pytest.approx(0.625, abs=1e-3), "its market")
    assert found.market_price == pytest.approx(market.artifact_market("h1").price_average, abs=1e-6)
    with pytest.raises(Conflict, match="artifact_id: expected an artifact that no market prices, got 'h1'"):
        market.set_market_price("h1", 0.1)
    market.put_artifact("h1", "paper", "renamed")
    owner.settle_artifact("h1", "flagged")
    assert market.artifact("h1").market_price == 0.25
    with pytest.raises(Conflict, match="no market prices"):
        market.set_market_price("h1", 0.1)
    market.put_artifact("plain", "paper")
    assert market.set_market_price("plain", 0.1).market_price == 0.1


def test_what_makes_no_sense_is_refused_by_its_field(market: Market) -> None:
    for ask, field in (
        (lambda: market.get_portfolio("two words"), "account_id"),
        (lambda: market.get_portfolio("a", limit=101), "limit"),
        (lambda: market.get_portfolio("a", after="nonsense"), "after"),
        (lambda: market.compute_exposure("a", limit=0), "limit"),
        (lambda: market.compute_sharpe("a", 0), "period_days"),
        (lambda: market.compute_sharpe("a", 367), "period_days"),
        (lambda: market.get_portfolio_days("a", cast(int, 1.5)), "period_days"),
        (lambda: market.get_track_record("a", 367), "period_days"),
        (lambda: market.get_top_performers(51), "limit"),
        (lambda: market.get_top_performers(order=cast(Any, "marks")), "order"),
        (lambda: market.get_top_performers(period_days=0), "period_days"),
    ):
        with pytest.raises(Invalid) as caught:
            ask()
        assert caught.value.field == field
        assert not isinstance(caught.value, NotFound)
    for unknown in (
        lambda: market.get_portfolio("none"),
        lambda: market.compute_pnl("none"),
        lambda: market.compute_exposure("none"),
        lambda: market.compute_sharpe("none"),
        lambda: market.get_portfolio_days("none"),
        lambda: market.get_track_record("none"),
    ):
        with pytest.raises(NotFound):
            unknown()


def test_a_month_is_a_month(market: Market) -> None:
    assert timedelta(microseconds=DAY_US) == timedelta(days=1)
    told = compute_sharpe(market, "a")
    assert (told.account_id, told.period_days, told.returns, told.sharpe) == ("a", 30, 0, None)
