"""What every way to a market owes who commits tokens to artifacts and spends the budgets that come of it.

Goal: as `test_verbs`. Method: one life of an artifact by each way, from the first stake to the last refusal; and lists,
page by page.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from callmarket import Conflict, Exchange, Invalid, ManualClock, NotFound, Refused
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.market import Market
from callmarket.bridge.fleet.research import (
    compute_resource_budget,
    get_resource_budget_rankings,
    pay_bounty,
    post_bounty,
    record_resource_spending,
    resource_budgets_by_artifact,
    stake,
    unstake,
    withdraw_bounty,
)
from callmarket.engine.reject import Reject
from tests.bridge.conftest import START_US
from tests.support.aged import DAY_US, let_pass
from tests.support.small_market import at

SOON = at(START_US) + timedelta(days=8)


@pytest.fixture
def market(api: Any) -> Market:
    """Accounts a, b and c with a thousand tokens each, and an artifact priced at 0.25."""
    for account_id in ("a", "b", "c"):
        api.open_account(account_id)
        api.mint(account_id, 1_000, "grant:initial")
    api.put_artifact("h1", "hypothesis", "Sleep clears amyloid")
    api.set_market_price("h1", 0.25)
    return cast(Market, api)


def test_capital_becomes_a_budget_and_a_bounty_is_paid(market: Market, owner: Exchange, clock: ManualClock) -> None:
    """BRG-3, RES-1, RES-6, RES-7, RES-9: budget from demand, bounties, uncertainty; spending deducted; ranked."""
    hold = stake(market, "s1", "a", "h1", 500)
    assert (hold.account_id, hold.amount_tokens, hold.status) == ("a", 500, "open")
    # What has come a moment ago funds nothing, after a day half as much as when it stays.
    budget = compute_resource_budget(market, "h1")
    assert (budget.committed_tokens, budget.demand_tokens, budget.budget_tokens) == (500, 0, 0)
    let_pass(owner, clock, DAY_US)
    assert compute_resource_budget(market, "h1").demand_tokens == 250
    let_pass(owner, clock)
    soon = at(clock()) + timedelta(days=8)
    bounty = post_bounty(market, "b1", "a", "h1", 100, expires_at=soon, description="again")
    assert (bounty.status, bounty.bounty_source, bounty.claimant_id, bounty.expires_at) == ("open", "a", None, soon)
    assert market.wallet("a").available_tokens == 400

    # (0.1 * 500 + 100) * (0.5 + 0.5 * 0.5) = 112.5
    budget = compute_resource_budget(market, "h1")
    assert (budget.demand_tokens, budget.base_budget_tokens, budget.bounty_tokens) == (500, 50.0, 100)
    assert (budget.market_price, budget.research_price, budget.uncertainty_multiplier) == (0.25, 0.25, 0.5)
    assert (budget.budget_tokens, budget.spent_tokens, budget.left_tokens, budget.left_llm_tokens) == (112, 0, 112, 112)
    assert 0 < budget.seq <= budget.durable_seq

    claimed = market.claim_bounty("b1", "a", "b")
    assert (claimed.status, claimed.claimant_id) == ("claimed", "b")
    assert market.claim_bounty("b1", "a", "b").claimant_id == "b"
    with pytest.raises(Conflict, match="bounty_id: expected an open bounty: 'b' has claimed it, got 'b1'"):
        market.claim_bounty("b1", "a", "c")
    with pytest.raises(Conflict, match="'b' has claimed it"):
        withdraw_bounty(market, "b1", "a")
    paid = pay_bounty(market, "b1", "a", 60)
    assert (paid.status, paid.tokens_paid, paid.tokens_offered, paid.claimant_id) == ("paid", 60, 100, "b")
    assert pay_bounty(market, "b1", "a", 60) == paid
    assert (market.wallet("a").balance_tokens, market.wallet("b").balance_tokens) == (940, 1_060)
    assert market.wallet("a").held_tokens == 500

    # 0.1 * 500 * 0.75 = 37.5
    assert compute_resource_budget(market, "h1").budget_tokens == 37
    spent = record_resource_spending(market, "h1", 30, "task", "t1", impact=1.5)
    assert (spent.tokens, spent.impact, spent.efficiency_score) == (30, 1.5, 0.05)
    again = record_resource_spending(market, "h1", 30, "task", "t1", impact=1.5)
    assert again.allocation_id == spent.allocation_id
    with pytest.raises(Conflict, match="tokens: expected at most 7, what is left for 'h1', got 8"):
        record_resource_spending(market, "h1", 8, "task", "t2")
    with pytest.raises(Conflict, match=r"with 30 tokens and impact 1\.5, got 't1'"):
        record_resource_spending(market, "h1", 31, "task", "t1", impact=1.5)
    assert resource_budgets_by_artifact(market) == {"h1": 7}
    (ranked,) = get_resource_budget_rankings(market, "hypothesis").items
    assert (ranked.artifact_id, ranked.spent_tokens, ranked.left_tokens) == ("h1", 30, 7)
    assert get_resource_budget_rankings(market, "dataset").items == ()

    assert unstake(market, "s1", "a").status == "released"
    assert compute_resource_budget(market, "h1").left_tokens == 0
    assert market.wallet("a").held_tokens == 0


def test_of_what_was_spent_for_a_reference_nothing_is_another_when_it_is_told_again(
    market: Market, owner: Exchange, clock: ManualClock
) -> None:
    """BRG-3: its tokens and its impact, of which none is not nought; another kind of reference is another spending."""
    stake(market, "s1", "a", "h1", 1_000)
    let_pass(owner, clock)
    for reference_id, impact in (("some", 1.5), ("none", None), ("nought", 0)):
        market.record_resource_spending("h1", 10, "task", reference_id, impact)
        for tokens, other in ((10, 1.500001), (10, 0 if impact is None else None), (9, impact), (11, impact)):
            with pytest.raises(Conflict, match="reference_id: expected a reference that is not recorded yet"):
                market.record_resource_spending("h1", tokens, "task", reference_id, other)
        again = market.record_resource_spending("h1", 10, "task", reference_id, impact)
        assert (again.tokens, again.impact) == (10, impact)
    assert market.record_resource_spending("h1", 45, "paper", "some").tokens == 45, "all that is left"
    with pytest.raises(Conflict, match="tokens: expected at most 0"):
        market.record_resource_spending("h1", 1, "task", "more")


def test_an_artifact_may_be_worth_nothing_or_all_and_have_a_long_title(market: Market) -> None:
    assert market.put_artifact("h1", "hypothesis", "\u00e9" * 200).title == "\u00e9" * 200
    assert [market.set_market_price("h1", price).market_price for price in (0, 1, 1e-6)] == [0.0, 1.0, 1e-6]


def test_lists_page_by_page(market: Market) -> None:
    for number in (3, 1, 2):
        market.put_artifact(f"x{number}", "paper")
    for number in range(5):
        post_bounty(market, f"b{number}", "a", f"x{1 + number % 2}", 10 + number, expires_at=SOON)
    withdraw_bounty(market, "b4", "a")
    market.claim_bounty("b3", "a", "b")
    for number in range(3):
        record_resource_spending(market, "x1", 1 + number, "task", f"t{number}")

    def walk(ask: Callable[..., Page[Any]], *which: Any) -> list[Any]:
        items: list[Any] = []
        after: str | None = None
        for _ in range(10):
            page = ask(*which, limit=2, after=after)
            items += page.items
            after = page.next
            if after is None:
                return items
            assert len(page.items) == 2
        raise AssertionError("pages without end")

    assert [one.artifact_id for one in walk(market.artifacts)] == ["h1", "x1", "x2", "x3"]
    assert [one.artifact_id for one in walk(market.artifacts, "paper")] == ["x1", "x2", "x3"]
    assert [one.bounty_id for one in walk(market.bounties)] == ["b4", "b3", "b2", "b1", "b0"]
    assert [one.bounty_id for one in walk(market.bounties, "x1")] == ["b4", "b2", "b0"]
    assert [one.bounty_id for one in walk(market.bounties, None, "open")] == ["b2", "b1", "b0"]
    assert [one.bounty_id for one in walk(market.bounties, None, "claimed")] == ["b3"]
    assert [one.bounty_id for one in walk(market.bounties, "x1", "withdrawn")] == ["b4"]
    assert [one.reference_id for one in walk(market.resource_allocations, "x1")] == ["t2", "t1", "t0"]
    with pytest.raises(Invalid, match="after"):
        market.artifacts(after=market.bounties(limit=1).next)


def test_what_makes_no_sense_is_refused_by_its_field(market: Market, clock: ManualClock) -> None:
    for ask, field in (
        (lambda: market.put_artifact("", "paper"), "artifact_id"),
        (lambda: market.put_artifact("x", "two words"), "artifact_type"),
        (lambda: market.put_artifact("x", "paper", "line\nbreak"), "title"),
        (lambda: market.put_artifact("x", "paper", cast(Any, b"title")), "title"),
        (lambda: market.put_artifact("x", "paper", "x" * 201), "title"),
        (lambda: market.set_market_price("h1", 1.000001), "market_price"),
        (lambda: market.set_market_price("h1", -0.1), "market_price"),
        (lambda: market.set_market_price("h1", float("nan")), "market_price"),
        (lambda: market.record_resource_spending("h1", 0, "task", "t"), "tokens"),
        (lambda: market.record_resource_spending("h1", cast(int, 1.0), "task", "t"), "tokens"),
        (lambda: market.record_resource_spending("h1", 1, "", "t"), "reference_type"),
        (lambda: market.record_resource_spending("h1", 1, "task", ""), "reference_id"),
        (lambda: market.record_resource_spending("h1", 1, "task", "t", -1), "impact"),
        (lambda: market.get_resource_budget_rankings(limit=0), "limit"),
        (lambda: market.get_resource_budget_rankings(limit=1_001), "limit"),
        (lambda: market.bounties(status=cast(Any, "gone")), "status"),
        (lambda: market.bounties(limit=0), "limit"),
        (lambda: market.bounties(limit=1_001), "limit"),
        (lambda: market.artifacts(limit=0), "limit"),
        (lambda: market.artifacts(limit=1_001), "limit"),
        (lambda: market.artifacts("two words"), "artifact_type"),
        (lambda: market.resource_allocations("h1", limit=0), "limit"),
        (lambda: market.resource_allocations("h1", limit=1_001), "limit"),
    ):
        with pytest.raises(Invalid) as caught:
            ask()
        assert caught.value.field == field
        assert "regex" not in str(caught.value)
        assert not isinstance(caught.value, NotFound | Conflict)
    for ask in (
        lambda: market.artifact("none"),
        lambda: market.set_market_price("none", 0.5),
        lambda: market.compute_resource_budget("none"),
        lambda: market.record_resource_spending("none", 1, "task", "t"),
        lambda: market.resource_allocations("none"),
        lambda: market.bounty("none", "a"),
        lambda: market.claim_bounty("none", "a", "b"),
        lambda: stake(market, "s", "a", "none", 1),
        lambda: post_bounty(market, "x", "a", "none", 1, expires_at=SOON),
        lambda: unstake(market, "none", "a"),
        lambda: pay_bounty(market, "none", "a"),
        lambda: withdraw_bounty(market, "none", "a"),
    ):
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(Refused) as refused:
        stake(market, "s", "a", "h1", 1_001)
    assert refused.value.reason is Reject.FUNDS_INSUFFICIENT
    assert market.holds("a").items == ()
    # A stake and a bounty are holds, which is nothing that their caller has to know.
    for field, ask in (
        ("tokens", lambda: stake(market, "s", "a", "h1", 0)),
        ("stake_id", lambda: stake(market, "no id", "a", "h1", 1)),
        ("tokens", lambda: post_bounty(market, "x", "a", "h1", 0, expires_at=SOON)),
        ("bounty_id", lambda: post_bounty(market, "no id", "a", "h1", 1, expires_at=SOON)),
        ("description", lambda: post_bounty(market, "x", "a", "h1", 1, expires_at=SOON, description="x" * 513)),
    ):
        with pytest.raises(Invalid) as caught:
            ask()
        assert caught.value.field == field
    market.place_hold("taken", "a", 1, "other")
    with pytest.raises(Refused, match="HOLD_EXISTS: stake_id 'taken'"):
        stake(market, "taken", "a", "h1", 1)
