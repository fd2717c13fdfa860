"""What the auction was asked to be, from outside: a served market, its clients, its routes and its tables.

Goal: each point of docs/acceptance.md that says how the parts act together. What one part does is proved beside it.
"""

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from callmarket import Client, Forbidden
from callmarket.bridge.fleet.earning import create_account
from callmarket.bridge.fleet.ev_scorer import (
    get_quest_budget_allocation,
    persist_allocations,
    score_all,
    submit_bids_for_tasks,
)
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.bridge.fleet.tasks.model import Quest, Task
from callmarket.bridge.fleet.tasks.tables import WorkTables
from tests.support.service_process import ServiceProcess
from tests.support.small_market import until

Sql = psycopg.Connection[dict[str, Any]]

PRICES = (1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 40_000, 60_000, 80_000, 100_000)
GRANT = 150_000


def test_ten_bids_and_five_slots(client: Client, sql: Sql, seed: int) -> None:
    """AUC-3, AUC-4, AUC-5, AUC-11, AUC-12, AUC-19: by the names asked for; to the token, in replies and in tables."""
    prices = list(PRICES)
    random.Random(seed).shuffle(prices)
    sixth_highest = sorted(PRICES, reverse=True)[5]
    client.open_market("ten")
    client.open_account("ten-lab", "provider")
    for price in prices:
        create_account(client, f"ten-{price}", GRANT, kind="quest")
        client.place_bid("ten", f"ten-{price}", f"task-{price}", max_price_tokens=price, expected_value_usd=0.25)
    for number in range(5):
        client.offer_slot("ten", f"ten-slot-{number}", provider_id="ten-lab")
    assert [client.wallet(f"ten-{price}").held_tokens for price in PRICES] == list(PRICES)

    now = client.refund_unfilled().stamp.at
    called = client.clear_round("ten", now)
    assert called.clearing_price_tokens == sixth_highest == 20_000
    winners = {award.task_id: award for award in called.awards}
    assert sorted(winners) == sorted(f"task-{price}" for price in PRICES if price > sixth_highest)
    for price in PRICES:
        wallet = client.wallet(f"ten-{price}")
        assert wallet.held_tokens == (sixth_highest if price > sixth_highest else 0)
        assert wallet.balance_tokens == GRANT
    assert {award.premium_tokens + sixth_highest for award in called.awards} == set(sorted(PRICES)[5:])

    for number, (task_id, award) in enumerate(sorted(winners.items()), 1):
        settled = client.settle(
            award.slot_id, actual_cost_tokens=1_000 * number, actual_impact=0.5 * number, provider_id=award.provider_id
        )
        assert (settled.price_tokens, settled.roi_impact_per_token) == (sixth_highest, 0.5 * number / sixth_highest)
        assert client.wallet(award.bidder_id).available_tokens == GRANT - sixth_highest, task_id
    assert client.wallet("ten-lab").balance_tokens == 5 * sixth_highest

    rows = sql.execute(
        "SELECT *, actual_impact / clearing_price_tokens AS roi FROM compute_auction_clears"
        " WHERE market_id = 'ten' ORDER BY winning_task_id"
    ).fetchall()
    assert [row["winning_task_id"] for row in rows] == sorted(winners)
    assert [row["actual_impact"] for row in rows] == [Decimal(number) / 2 for number in range(1, 6)]
    assert [row["actual_cost_tokens"] for row in rows] == [1_000 * number for number in range(1, 6)]
    assert [row["roi"] for row in rows] == [Decimal(number) / 40_000 for number in range(1, 6)]
    assert {(row["clearing_price_tokens"], row["charged_tokens"]) for row in rows} == {(sixth_highest, sixth_highest)}
    assert {row["runner_up_task_id"] for row in rows} == {f"task-{sixth_highest}"}
    accounts = sql.execute("SELECT account_id, balance, held FROM token_accounts WHERE account_id ~ '^ten-[0-9]'")
    assert {row["account_id"]: (row["balance"], row["held"]) for row in accounts} == {
        f"ten-{price}": (GRANT - sixth_highest if price > sixth_highest else GRANT, 0) for price in PRICES
    }
    stats = client.get_recent_stats("ten")
    assert stats.fill_rate == 1
    assert {(win.winning_task_id, win.actual_impact) for win in stats.top_wins} == {
        (row["winning_task_id"], float(row["actual_impact"])) for row in rows
    }


def test_few_bids_and_none(client: Client) -> None:
    """AUC-6: a call without bids sells nothing and has no price; with fewer bids than slots all win, at the reserve."""
    client.open_market("few", reserve_price_tokens=7)
    client.open_account("few-a")
    client.mint("few-a", 1_000, "grant:initial")
    for number in range(3):
        client.offer_slot("few", f"few-{number}")
    empty = client.clear_round("few")
    assert (empty.awards, empty.clearing_price_tokens, empty.slots_available) == ((), None, 3)
    for number in range(2):
        client.place_bid("few", "few-a", f"t{number}", max_price_tokens=100 + number)
    called = client.clear_round("few")
    assert (len(called.awards), called.clearing_price_tokens, client.wallet("few-a").held_tokens) == (2, 7, 14)
    assert [slot.status for slot in client.slots("few").items] == ["awarded", "awarded", "offered"]


def test_losers_are_lost_and_stale_bids_expire(client: Client, sql: Sql) -> None:
    """AUC-5, AUC-7: who loses is `lost` and whole at the call; the sweep is for what rests beyond its deadline."""
    client.open_market("stale")
    client.open_account("stale-a")
    client.mint("stale-a", 1_000, "grant:initial")
    client.offer_slot("stale", "stale-slot")
    for number, price in enumerate((300, 200)):
        client.place_bid("stale", "stale-a", f"t{number}", max_price_tokens=price)
    client.clear_round("stale")
    ttl_at = client.refund_unfilled().stamp.at + timedelta(milliseconds=300)
    rests = client.place_bid("stale", "stale-a", "t2", 400, ttl_at=ttl_at, time_in_force="gtd")
    # Whoever sweeps, this caller or the service by itself: its tokens come back after the deadline.
    until(lambda: bool(client.refund_unfilled()) and client.bid(rests.bid_id).status != "open")
    rows = sql.execute("SELECT status FROM compute_auction_bids WHERE market_id = 'stale' ORDER BY id").fetchall()
    assert [row["status"] for row in rows] == ["won", "lost", "expired"]
    assert client.wallet("stale-a").held_tokens == 200
    assert [
        row["reason"] for row in sql.execute("SELECT reason FROM token_ledger WHERE from_account = 'stale-a'")
    ] == []


def test_a_backlog_bids_and_the_book_is_read(
    client: Client, service: ServiceProcess, service_url: str, work: WorkTables, sql: Sql
) -> None:
    """AUC-8, AUC-9, AUC-10, AUC-16: scoring writes no allocation, bids do the work; the fallback writes its own."""
    client.open_market("backlog")
    client.open_account("backlog-q", "quest")
    client.mint("backlog-q", 3_000, "grant:initial")
    work.put_quests([Quest("backlog-q", "backlog-q")])
    # Worth 5,000, 1,000 and 500 tokens; the fourth would be worth most, and waits for another.
    values = {"high": 0.05, "mid": 0.01, "low": 0.005, "blocked": 0.09}
    work.put_tasks(
        [
            Task(
                f"backlog-{name}", "backlog-q", value, 1.0, 1.0, estimated_cost_tokens=10_000, blocked=name == "blocked"
            )
            for name, value in values.items()
        ]
    )
    ranked = [one.task.task_id for one in score_all(work).ranked() if one.task.quest_id == "backlog-q"]
    assert ranked == ["backlog-blocked", "backlog-high", "backlog-mid", "backlog-low"]
    report = submit_bids_for_tasks(client, work, "backlog", client.refund_unfilled().stamp.at)
    assert report.placed == 3
    allocations = "SELECT quest, allocated_tokens FROM quest_budget_allocations WHERE quest = 'backlog-q'"
    assert sql.execute(allocations).fetchall() == []

    client.offer_slot("backlog", "backlog-slot", reserve_price_tokens=10)
    with service.client() as http:
        told = http.get("/api/compute-auction/order-book", params={"market_id": "backlog"}).json()
        figures = http.get("/api/compute-auction/stats", params={"market_id": "backlog"}).json()
    # The wallet's 3,000 over three tasks is the cap; 0.6 of what a task is worth is below it for two of them.
    expected = [("backlog-high", 1_000), ("backlog-mid", 600), ("backlog-low", 300)]
    assert [(bid["task_id"], bid["max_price_tokens"]) for bid in told["bids"]] == expected
    assert [ask["slot_id"] for ask in told["asks"]] == ["backlog-slot"]
    assert told["asks"][0]["available_at"]
    assert figures["totals"]["rounds"] == 0
    (award,) = client.clear_round("backlog").awards
    assert (award.task_id, award.price_tokens, award.premium_tokens) == ("backlog-high", 600, 400)

    split = {"backlog-q": get_quest_budget_allocation(work, 900)["backlog-q"]}
    with DailyBudgets(service_url) as budgets:
        persist_allocations(budgets, split)
    assert [(row["quest"], row["allocated_tokens"]) for row in sql.execute(allocations)] == [("backlog-q", 900)]


def test_an_agent_bids_for_itself(client: Client, service: ServiceProcess) -> None:
    """AUC-21: by its own key, beside a quest; it reads its award, and cannot bid as the other."""
    client.open_market("own")
    client.offer_slot("own", "own-slot")
    for account_id in ("own-agent", "own-quest"):
        create_account(client, account_id)
    client.place_bid("own", "own-quest", "t-quest", 60)
    with service.client() as http:
        issued = http.post("/api/v1/keys", json={"name": "own-agent", "bid": ["own-agent"]}).json()
    with Client(service.url, issued["key"]) as agent:
        agent.place_bid("own", "own-agent", "t-agent", 90)
        with pytest.raises(Forbidden):
            agent.place_bid("own", "own-quest", "t-other", 500)
        client.clear_round("own")
        (award,) = agent.awards(bidder_id="own-agent", status="awarded").items
    assert (award.task_id, award.price_tokens) == ("t-agent", 60)
    assert client.wallet("own-quest").available_tokens == 1_000


def test_every_row_is_of_the_journal(client: Client, sql: Sql) -> None:
    """AUC-17: each row of the auction and of the ledger was written with a row of the journal, whose chain is whole."""
    client.open_market("told", reward_tokens_per_impact=10, reward_cap_tokens=50, reward_day_cap_tokens=50)
    client.open_account("told-a")
    client.mint("told-a", 1_000, "grant:initial")
    for number in range(2):
        client.offer_slot("told", f"told-{number}", reserve_price_tokens=5)
        client.place_bid("told", "told-a", f"t{number}", 20)
    client.clear_round("told")
    client.settle("told-0", actual_cost_tokens=3, actual_impact=2.0)
    for name in (
        "compute_auction_bids",
        "compute_auction_clears",
        "compute_auction_markets",
        "compute_auction_rounds",
        "compute_auction_slots",
        "token_accounts",
        "token_ledger",
    ):
        rows = psycopg.sql.SQL("SELECT journal.seq FROM {} LEFT JOIN journal USING (shard_id, seq)")
        found = [row["seq"] for row in sql.execute(rows.format(psycopg.sql.Identifier(name)))]
        assert found, name
        assert None not in found, name
    assert sql.execute("SELECT * FROM journal_breaks").fetchall() == []
