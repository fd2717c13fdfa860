"""What it costs to direct research by pushing a price, or by tokens that come for a cycle, and what it gains.

Goal: neither moves a budget by more than it has been there for (BRG-3, PRC-1), and the figures of docs/portfolios.md
are so. Method: the attack is played in a real market; what it would have gained before is reckoned by the formula as it
was, with the last price and with all that lies there.
"""

import pytest

from callmarket import Exchange, ManualClock
from callmarket.bridge.api.operations.resource_budgets import ResourceBudgetDetail
from callmarket.bridge.fleet.research import stake, unstake
from tests.bridge.conftest import START_US
from tests.support.aged import let_pass
from tests.support.small_market import at, furnish

MINUTE_US = 60 * 10**6
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
STAKED = 10_000
SUBSIDY = 70


@pytest.fixture
def market(market: Exchange, clock: ManualClock) -> Exchange:
    """An artifact of which three agents are sure, at .95 for a month, with stakes of ten thousand; and an attacker."""
    furnish(market, "x", "y", "z", "attacker", tokens=20_000)
    market.mint("lmsr_subsidy_pool", 10 * SUBSIDY, "fund:markets")
    for artifact_id in ("sure", "other"):
        market.put_artifact(artifact_id, "hypothesis")
        market.open_artifact_market(artifact_id, SUBSIDY, closes_at=at(START_US + 200 * DAY_US), exposure_limit=1)
    for account_id, price in (("x", 0.7), ("y", 0.9), ("z", 0.95)):
        market.acting_as(account_id).open_position("sure", account_id, "long", 1_000, limit_price=price)
    stake(market.acting_as("x"), "s", "x", "sure", STAKED)
    let_pass(market, clock)
    return market


def with_last_price(market: Exchange, budget: ResourceBudgetDetail) -> int:
    """What the budget was before prices were averaged."""
    price = market.artifact_market("sure").price
    return int((budget.committed_tokens / 10 + budget.bounty_tokens) * (1 - abs(price - 0.5)))


def test_a_price_that_is_pushed_for_a_cycle(market: Exchange, clock: ManualClock) -> None:
    """BRG-3, RES-12: from .95 to .5 and back is 82 % more by the last price, a ninth of that after an hour."""
    attacker = market.acting_as("attacker")
    before = market.compute_resource_budget("sure")
    assert before.research_price == pytest.approx(0.95, abs=1e-3)
    balance = market.wallet("attacker").balance_tokens
    pushed = attacker.open_position("sure", "attacker", "short", 20_000, limit_price=0.5)
    assert market.artifact_market("sure").price == pytest.approx(0.5, abs=1e-4)
    assert balance - market.wallet("attacker").balance_tokens == pytest.approx(64.8, abs=1), "tokens in front"

    let_pass(market, clock, MINUTE_US)
    at_once = market.compute_resource_budget("sure")
    assert with_last_price(market, at_once) / before.budget_tokens == pytest.approx(1.82, abs=0.02)
    assert at_once.budget_tokens / before.budget_tokens == pytest.approx(1.002, abs=0.002)
    let_pass(market, clock, HOUR_US - MINUTE_US)
    later = market.compute_resource_budget("sure")
    assert later.budget_tokens / before.budget_tokens == pytest.approx(1 + 0.82 * 0.109, abs=0.005)

    attacker.close_position(pushed.position_id)
    cost = balance - market.get_portfolio("attacker").equity_tokens
    assert cost == pytest.approx(64.8 * 0.05, abs=0.1), "the exit fee, if nobody pushes back"
    assert market.artifact_market("sure").price == pytest.approx(0.95, abs=1e-3)


def test_tokens_that_come_for_a_cycle_fund_nothing(market: Exchange, clock: ManualClock) -> None:
    """BRG-3, RES-13: a stake that goes again cost nothing and funded a tenth of it while it lay there."""
    attacker = market.acting_as("attacker")
    before = market.compute_resource_budget("sure")
    stake(attacker, "t", "attacker", "sure", 20_000)
    at_once = market.compute_resource_budget("sure")
    assert with_last_price(market, at_once) - with_last_price(market, before) == pytest.approx(
        20_000 / 10 * 0.55, abs=2
    )
    assert at_once.budget_tokens == before.budget_tokens
    let_pass(market, clock, HOUR_US)
    later = market.compute_resource_budget("sure")
    assert later.demand_tokens - before.demand_tokens == pytest.approx(20_000 * 0.0285, abs=2)
    unstake(attacker, "t", "attacker")
    assert market.compute_resource_budget("sure").budget_tokens == pytest.approx(before.budget_tokens, abs=1)
    assert market.wallet("attacker").balance_tokens == 20_000


def test_tokens_do_not_take_the_place_of_others(market: Exchange, clock: ManualClock) -> None:
    """BRG-3, RES-13: what leaves stops funding at once, and what comes in its place begins anew."""
    unstake(market.acting_as("x"), "s", "x")
    stake(market.acting_as("attacker"), "t", "attacker", "sure", STAKED)
    found = market.compute_resource_budget("sure")
    assert found.committed_tokens >= STAKED
    assert found.demand_tokens < 300, "the positions"


def test_orders_that_move_about_fund_no_more_than_at_rest(market: Exchange, clock: ManualClock) -> None:
    """BRG-3, RES-13: a resting order costs nothing and is bound by nothing: a day of it is a seventh of a week."""
    attacker = market.acting_as("attacker")
    funded = 0
    for number in range(7):
        name = f"turn{number}"
        market.put_artifact(name, "hypothesis")
        market.open_artifact_market(name, 1, closes_at=at(clock() + 100 * DAY_US), exposure_limit=1)
        resting = attacker.open_position(
            name,
            "attacker",
            "long",
            10_000,
            limit_price=0.001,
            time_in_force="gtd",
            expires_at=at(clock() + 90 * DAY_US),
        )
        let_pass(market, clock, DAY_US)
        left = market.compute_resource_budget(name).left_tokens
        market.record_resource_spending(name, left, "task", "t")
        funded += left
        attacker.cancel_order(resting.order_id)
    assert 990 <= funded <= 1_000, "a tenth of them, as if they had been bound for the week"


def test_the_average_is_judged_by_holders(market: Exchange) -> None:
    """BRG-3, RES-12: a price that one account made moves no budget."""
    market.acting_as("attacker").open_position("other", "attacker", "long", 5_000)
    assert market.compute_resource_budget("other").research_price == 0.5
