"""The tables as a platform reads them that moves over by changing imports and a connection string.

Goal: the names that it has in its statements are there, and hold what it expects. Method: its columns, selected by name
from the real schema, with rows in them that the market has written.
"""

from datetime import date, datetime
from decimal import Decimal

import psycopg
import pytest

from callmarket import Exchange, Invalid, ManualClock, Unavailable, ensure_schema, open_exchange
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.bridge.fleet.research import post_bounty
from tests.bridge.conftest import START_US
from tests.support.small_market import at, award_one, furnish

TABLES: dict[str, dict[str, type]] = {
    "compute_auction_bids": {
        "id": int,
        "bidder_id": str,
        "task_id": str,
        "max_price_tokens": int,
        "expected_value_usd": Decimal,
        "ttl_at": datetime,
        "status": str,
    },
    "compute_auction_clears": {
        "slot_id": str,
        "clearing_price_tokens": int,
        "winning_task_id": str,
        "runner_up_task_id": str,
        "slot_started_at": datetime,
        "slot_finished_at": datetime,
        "actual_impact": Decimal,
    },
    "token_accounts": {
        "account_id": str,
        "balance": int,
        "total_earned": Decimal,
        "total_spent": Decimal,
        "total_staked": int,
        "created_at": datetime,
        "updated_at": datetime,
    },
    "token_ledger": {
        "id": int,
        "timestamp": datetime,
        "from_account": str,
        "to_account": str,
        "amount": int,
        "reason": str,
        "reference_type": str,
        "reference_id": str,
        "memo": str,
        "balance_after_from": int,
        "balance_after_to": int,
    },
    "quest_budget_allocations": {"quest": str, "day": date, "allocated_tokens": int},
    "resource_allocations": {"efficiency_score": Decimal},
    "token_bounties": {
        "id": str,
        "artifact_id": str,
        "tokens_offered": int,
        "status": str,
        "claimant_id": str,
        "bounty_source": str,
        "description": str,
        "expires_at": datetime,
        "created_at": datetime,
        "updated_at": datetime,
    },
}


@pytest.fixture(scope="module")
def lived(module_database_url: str) -> str:
    """The database of a market in which each of the tables has got a row."""
    later = at(START_US + 30 * 86_400_000_000)
    with open_exchange(module_database_url, clock=ManualClock(START_US)) as market:
        furnish(market, "a", "b")
        market.place_bid("m", "b", "t-b", 7, expected_value_usd=0.5, ttl_at=later, time_in_force="gtd")
        award_one(market, "a")
        market.settle("s", 5, 1.5)
        market.put_artifact("h", "hypothesis")
        post_bounty(market, "bounty", "a", "h", 100, expires_at=later, description="again")
        market.claim_bounty("bounty", "a", "b")
        market.record_resource_spending("h", 10, "task", "t", impact=1.0)
        with DailyBudgets(module_database_url) as budgets:
            budgets.allocate({"q": 50})
    return module_database_url


@pytest.mark.parametrize("table", TABLES)
def test_the_columns_are_those_that_are_asked_for(lived: str, table: str) -> None:
    """AUC-1, AUC-2, RES-10: each column by its name, and a value of its kind in some row of it."""
    columns = TABLES[table]
    with psycopg.connect(lived) as connection:
        names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, columns))
        asked = psycopg.sql.SQL("SELECT {} FROM {}").format(names, psycopg.sql.Identifier(table))
        rows = connection.execute(asked).fetchall()
    for name, kind, values in zip(columns, columns.values(), zip(*rows, strict=True), strict=True):
        assert {type(value) for value in values if value is not None} <= {kind}, name
        assert any(value is not None for value in values), name


def test_the_book_is_found_by_status_and_price(lived: str) -> None:
    """AUC-1: the index on (status, max_price_tokens DESC)."""
    with psycopg.connect(lived) as connection:
        rows = connection.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'compute_auction_bids'").fetchall()
    assert [row[0] for row in rows if row[0].endswith("(status, max_price_tokens DESC)")]


def test_the_schema_is_made_without_a_market(empty_database_url: str) -> None:
    """AUC-3: `ensure_schema` makes all tables of a database that has none; again it has nothing to do."""
    applied = ensure_schema(empty_database_url)
    assert applied == sorted(applied)
    assert applied[0] == "0001_journal.sql"
    assert ensure_schema(empty_database_url) == []
    with psycopg.connect(empty_database_url) as connection:
        for table in TABLES:
            assert connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() != (None,), table
    with open_exchange(empty_database_url) as market:
        assert isinstance(market, Exchange)
        assert market.open_account("a").durable


def test_a_schema_that_cannot_be_made_says_why(empty_database_url: str) -> None:
    """AUC-3: a URL that is none, and a database that is not there; the password of a URL is not told."""
    with pytest.raises(Invalid, match="database_url") as caught:
        ensure_schema("postgresql://user:secret@[::")
    assert "secret" not in str(caught.value)
    gone = psycopg.conninfo.make_conninfo(empty_database_url, dbname="no_such_database")
    with pytest.raises(Unavailable, match="no_such_database"):
        ensure_schema(gone)
