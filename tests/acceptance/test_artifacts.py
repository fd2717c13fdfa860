"""From capital to research, from outside: a served market, its clients, its route and its tables.

Goal: each point of docs/acceptance.md that says how the parts act together. What one part does is proved beside it.
"""

from datetime import timedelta
from typing import Any

import psycopg

from callmarket import Client
from callmarket.bridge.fleet.agent import Gap, get_top_gap
from callmarket.bridge.fleet.portfolio import (
    compute_exposure,
    compute_pnl,
    compute_sharpe,
    get_portfolio,
    get_top_performers,
)
from callmarket.bridge.fleet.research import (
    compute_resource_budget,
    get_resource_budget_rankings,
    order_by_resource_budget,
    pay_bounty,
    post_bounty,
    record_resource_spending,
    resource_budgets_by_artifact,
    stake,
)
from callmarket.bridge.fleet.tasks.model import Task
from tests.support.aged import age_stakes
from tests.support.service_process import ServiceProcess

Sql = psycopg.Connection[dict[str, Any]]


def test_capital_directs_research(client: Client, service: ServiceProcess, service_url: str, sql: Sql) -> None:
    """RES-1, RES-2, RES-3, RES-4, RES-5, RES-6, RES-7, RES-9: the whole way, and back to whoever did the work.

    Stakes and a bounty become budgets, budgets an order of work, and what the work has cost is deducted from them.
    """
    for account_id in ("res-a", "res-b"):
        client.open_account(account_id)
        client.mint(account_id, 10_000, "grant:initial")
    for artifact_id, price in (("res-sure", 1.0), ("res-open", 0.5)):
        client.put_artifact(artifact_id, "res-hypothesis", f"The {artifact_id}")
        client.set_market_price(artifact_id, price)
        stake(client, f"stake-{artifact_id}", "res-a", artifact_id, 4_000)
        # What has just come funds nothing yet.
        told = compute_resource_budget(client, artifact_id)
        assert (told.committed_tokens, told.budget_tokens) == (4_000, 0)
    age_stakes(service_url)
    expires_at = client.refund_unfilled().stamp.at + timedelta(days=30)
    post_bounty(client, "res-bounty", "res-a", "res-sure", 300, expires_at=expires_at)

    # (0.1 * 4,000 + 300) * 0.5, where everybody is sure; 0.1 * 4,000, where nobody is.
    sure, unsure = (compute_resource_budget(client, artifact_id) for artifact_id in ("res-sure", "res-open"))
    assert (sure.demand_tokens, sure.bounty_tokens, sure.uncertainty_multiplier) == (4_000, 300, 0.0)
    assert (sure.budget_tokens, unsure.budget_tokens) == (350, 400)
    assert (unsure.llm_tokens_per_token, unsure.left_llm_tokens) == (250, 100_000)

    budgets = resource_budgets_by_artifact(client, "res-hypothesis")
    tasks = [Task(f"about-{one}", "q", 1.0, 1.0, artifact_id=one) for one in ("res-sure", "res-open")]
    assert [task.artifact_id for task in order_by_resource_budget(tasks, budgets)] == ["res-open", "res-sure"]
    gaps = [Gap("g1", 5, 0.5, "res-sure"), Gap("g2", 5, 0.5, "res-open")]
    assert get_top_gap(gaps, budgets) == gaps[1]

    spent = record_resource_spending(client, "res-open", 150, "task", "about-res-open", impact=3.0)
    assert record_resource_spending(client, "res-open", 150, "task", "about-res-open", impact=3.0) == spent
    assert compute_resource_budget(client, "res-open").left_tokens == 250
    rows = sql.execute("SELECT * FROM resource_allocations WHERE artifact_id = 'res-open'").fetchall()
    assert [(row["tokens"], row["reference_id"], float(row["efficiency_score"])) for row in rows] == [
        (150, "about-res-open", 0.02)
    ]
    ranked = get_resource_budget_rankings(client, "res-hypothesis", limit=10).items
    assert [(one.artifact_id, one.left_tokens) for one in ranked] == [("res-sure", 350), ("res-open", 250)]
    with service.client() as http:
        told = http.get("/api/market/resource-budgets", params={"artifact_type": "res-hypothesis"}).json()
    assert [(row["artifact_id"], row["left_tokens"]) for row in told["items"]] == [("res-sure", 350), ("res-open", 250)]
    assert get_top_gap(gaps, resource_budgets_by_artifact(client, "res-hypothesis")) == gaps[0]

    client.claim_bounty("res-bounty", "res-a", "res-b")
    pay_bounty(client, "res-bounty", "res-a")
    assert client.wallet("res-b").balance_tokens == 10_300
    assert compute_resource_budget(client, "res-sure").budget_tokens == 200
    row = sql.execute("SELECT * FROM token_bounties WHERE id = 'res-bounty'").fetchone()
    assert row is not None
    assert (row["tokens_offered"], row["status"], row["claimant_id"]) == (300, "paid", "res-b")


def test_a_portfolio_is_asked_for_as_the_platform_asks(client: Client, service: ServiceProcess) -> None:
    """PRT-8: its routes and the names of its functions give the same, and a key is needed as everywhere."""
    client.mint("lmsr_subsidy_pool", 100, "fund:markets")
    client.open_account("pf-a")
    client.mint("pf-a", 1_000, "grant:initial")
    client.put_artifact("pf-paper", "pf-hypothesis")
    client.open_artifact_market("pf-paper", 70)
    client.acting_as("pf-a").open_position("pf-paper", "pf-a", "long", 70)
    told = get_portfolio(client, "pf-a")
    assert (told.wallet_tokens, told.positions_open, told.realised_tokens) == (930, 1, 0)
    assert told.exit_value_tokens is not None and 66 < told.exit_value_tokens < 67
    assert compute_pnl(client, "pf-a").unrealised_tokens <= told.unrealised_tokens + 0.1
    assert compute_exposure(client, "pf-a")["pf-paper"].net_long_shares > 70
    assert compute_sharpe(client, "pf-a").reason == "insufficient_history"
    with service.client() as http:
        found = http.get("/api/portfolio/pf-a").json()
        leaders = http.get("/api/portfolio/leaderboard", params={"limit": 3}).json()
        nobody = http.get("/api/portfolio/pf-nobody")
    assert (found["account_id"], found["wallet_tokens"], len(found["positions"])) == ("pf-a", 930, 1)
    assert leaders["items"] == [] == list(get_top_performers(client))
    assert nobody.status_code == 404
