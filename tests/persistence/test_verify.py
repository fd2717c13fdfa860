"""Verify: whole data passes, and one changed value in any table is named with its table and key."""

from collections.abc import Callable, Iterable
from typing import Any

import psycopg
import pytest

from callmarket.persistence.database.migrate import load
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.agreement import disagreements
from callmarket.persistence.tables.projections import Changes
from callmarket.persistence.verify import DIFFERENCES_MAX, verify
from tests.support.capital_stories import capital_story
from tests.support.following import level
from tests.support.sealed import Story, batches, bids, changes_of, story
from tests.support.swarms import long_swarm


@pytest.fixture(scope="module")
def told():
    return story(3, 1200, long_swarm)


@pytest.fixture(scope="module")
def traded() -> Story:
    return capital_story(3, 300)


@pytest.fixture
def written_url(database_url: str, told) -> str:
    both = capital_story(3, 1500, story(3, 1200, long_swarm)).rows
    for shard_id, rows in ((0, both), (1, bids(20))):
        journal = PostgresJournal(database_url, shard_id)
        journal.claim()
        for batch in batches(rows, 1, (100, 400)):
            journal.append(batch)
        journal.close()
        level(database_url, shard_id)
    return database_url


def test_undamaged_data_passes_verification(written_url: str, told):
    report = verify(written_url, 0)
    assert report.ok, report
    assert report.rows == 1500
    assert report.first_bad_seq is None
    assert "all right" in str(report)
    assert verify(written_url, 1).ok
    assert verify(written_url, 2).rows == 0
    assert verify(written_url, 2).ok


# One statement for each table and kind of wrong; the table must be named.
WRONG = [
    "UPDATE compute_auction_markets SET lease_us = lease_us + 1 WHERE market_id = 'market0' AND shard_id = 0",
    "UPDATE compute_auction_slots SET seq = seq - 1 WHERE shard_id = 0 AND slot_id = 'slot1'",
    "UPDATE compute_auction_bids SET max_price_tokens = max_price_tokens + 1 WHERE shard_id = 0 AND id = 7",
    "UPDATE compute_auction_bids SET placed_at = placed_at + interval '1 microsecond' WHERE shard_id = 0 AND id = 7",
    "UPDATE compute_auction_bids SET status = 'open' WHERE shard_id = 0 AND id = 7",
    "UPDATE compute_auction_bids SET shard_id = 1 WHERE shard_id = 0 AND id = 70",
    "DELETE FROM compute_auction_bids WHERE shard_id = 0 AND id = 9",
    "UPDATE compute_auction_rounds SET bids_open = bids_open + 1 WHERE shard_id = 0 AND round_no = 2",
    "UPDATE compute_auction_clears SET runner_up_task_id = 'x' WHERE shard_id = 0 AND award_id = 3",
    "UPDATE token_accounts SET balance = balance + 1, total_earned = total_earned + 1 "
    "WHERE shard_id = 0 AND account_id = 'treasury'",
    "UPDATE token_accounts SET held = held + 1 WHERE shard_id = 0 AND account_id = 'issuance'",
    "UPDATE artifact_markets SET volume_micros = volume_micros + 1 WHERE shard_id = 0 AND artifact_id = 'paper0'",
    "UPDATE artifact_positions SET realised_micros = realised_micros + 1 WHERE shard_id = 0",
    "UPDATE market_trades SET fill_orders[1] = fill_orders[1] + 1 WHERE shard_id = 0",
    "UPDATE account_purses SET purse_micros = (purse_micros + 1) % 1000000 WHERE shard_id = 0",
    "DELETE FROM market_fills WHERE shard_id = 0",
    "UPDATE token_ledger SET memo = 'x' WHERE shard_id = 0 AND id = 2",
    "DELETE FROM token_ledger WHERE shard_id = 0 AND id = 2",
]


@pytest.mark.parametrize("statement", WRONG)
def test_verification_names_a_single_wrong_value(written_url: str, statement: str):
    with psycopg.connect(written_url) as connection:
        connection.execute("SET session_replication_role = replica")
        assert connection.execute(statement).rowcount >= 1
    report = verify(written_url, 0)
    assert not report.ok
    table = statement.removeprefix("DELETE FROM ").removeprefix("UPDATE ").split()[0]
    assert report.differences[0].startswith(table), report
    assert report.first_bad_seq is None


def test_present_and_expected_values_are_told_apart(written_url: str):
    """Whoever mends it by hand reads this."""
    with psycopg.connect(written_url) as connection:
        connection.execute("SET session_replication_role = replica")
        right, seq = connection.execute("SELECT amount, seq FROM token_ledger WHERE shard_id = 0 AND id = 3").fetchone()
        connection.execute("UPDATE token_ledger SET amount = 1234567 WHERE shard_id = 0 AND id = 3")
    assert verify(written_url, 0).differences == (
        f"token_ledger 3: amount is 1234567, must be {right} (journal row {seq})",
    )


def test_the_money_is_summed_by_the_database_too(written_url: str):
    with psycopg.connect(written_url) as connection:
        connection.execute(WRONG[9])
    assert any("sum to 1, not to zero" in difference for difference in verify(written_url, 0).differences)


def test_escrow_is_divided_by_the_database_too(written_url: str) -> None:
    """CAP-2 once more: what is whose is asked of other tables than how much there is."""
    with psycopg.connect(written_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE artifact_markets SET fees_micros = fees_micros + 1 WHERE status = 'open'")
    assert any("capital_escrow: it differs by -" in line for line in verify(written_url, 0).differences)


def test_the_list_of_differences_is_bounded(written_url: str):
    with psycopg.connect(written_url) as connection:
        connection.execute("DELETE FROM compute_auction_bids")
    report = verify(written_url, 0)
    assert len(report.differences) == DIFFERENCES_MAX
    assert "or more" in str(report)


def test_state_and_rows_are_compared(told):
    changes = Changes()
    for row in told.rows:
        changes.add(row.entry.seq, row.entry.at_us, row.events)
    state = told.engine.state
    assert list(disagreements(state, changes)) == []
    changes.accounts["agent0"].held += 1
    changes.clears.popitem()
    found = list(disagreements(state, changes))
    assert any(difference.startswith("accounts") for difference in found)
    assert any(difference.startswith("bids, awards and transfers") for difference in found)


def first(rows: Iterable[Any], status: str) -> Any:
    return next(row for row in rows if row.status == status)


def held(rows: Changes) -> Any:
    positions = rows.capital.trading.positions.values()
    return next(row for row in positions if row.shares_micros and row.settled_as is None)


def damage(target: Any, name: str, value: object) -> None:
    setattr(target, name, value)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("accounts", lambda rows: damage(rows.accounts["agent0"], "balance", -7)),
        ("accounts", lambda rows: damage(rows.accounts["agent0"], "held", 10**9)),
        ("accounts", lambda rows: rows.accounts.pop("agent0")),
        ("open bids", lambda rows: damage(first(rows.bids.values(), "open"), "status", "lost")),
        ("open bids", lambda rows: damage(first(rows.bids.values(), "lost"), "status", "open")),
        ("open bids", lambda rows: damage(first(rows.bids.values(), "open"), "max_price_tokens", 10**9)),
        ("open bids", lambda rows: damage(first(rows.bids.values(), "open"), "priority_seq", 10**9)),
        ("live awards", lambda rows: damage(first(rows.clears.values(), "awarded"), "status", "settled")),
        ("live awards", lambda rows: damage(first(rows.clears.values(), "awarded"), "bidder_id", "nobody")),
        ("live awards", lambda rows: damage(first(rows.clears.values(), "awarded"), "clearing_price_tokens", 10**9)),
        ("named holds", lambda rows: damage(first(rows.holds.new.values(), "open"), "status", "released")),
        ("named holds", lambda rows: damage(first(rows.holds.new.values(), "open"), "amount", 10**9)),
        ("slots", lambda rows: damage(first(rows.slots.new.values(), "offered"), "status", "withdrawn")),
        ("markets and rounds", lambda rows: damage(rows.rounds[-1], "round_no", 10**6)),
        ("bids, awards and transfers", lambda rows: rows.ledger.pop()),
        ("bids, awards and transfers", lambda rows: rows.bids.pop(first(rows.bids.values(), "lost").id)),
        ("bids, awards and transfers", lambda rows: rows.clears.pop(first(rows.clears.values(), "settled").award_id)),
    ],
)
def test_each_kind_of_disagreement_is_named(told: Story, what: str, change: Callable[[Changes], object]) -> None:
    """Two paths from one journal: what either of them made wrong is found by the other."""
    rows = changes_of(told.rows)
    change(rows)
    found = list(disagreements(told.engine.state, rows))
    assert found
    assert all(difference.startswith(what) for difference in found), found


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("artifact markets", lambda rows: damage(first(rows.capital.new.values(), "open"), "status", "frozen")),
        ("artifact markets", lambda rows: damage(first(rows.capital.new.values(), "open"), "pool_micros", 7)),
        ("artifact markets", lambda rows: damage(first(rows.capital.new.values(), "open"), "orders_open", 10**6)),
        ("open positions", lambda rows: damage(held(rows), "cost_micros", 7)),
        ("open positions", lambda rows: damage(held(rows), "settled_as", "void")),
        ("resting orders", lambda rows: damage(first(rows.capital.trading.orders.values(), "open"), "left_micros", 7)),
        (
            "resting orders",
            lambda rows: damage(first(rows.capital.trading.orders.values(), "open"), "status", "filled"),
        ),
        ("purses", lambda rows: damage(rows.capital.purses["trader0"], "purse_micros", 10**6)),
        ("orders", lambda rows: damage(rows.capital.trading.trades[-1], "order_id", 10**6)),
    ],
)
def test_each_kind_of_disagreement_about_artifact_markets_is_named(
    traded: Story, what: str, change: Callable[[Changes], object]
) -> None:
    rows = changes_of(traded.rows)
    assert list(disagreements(traded.engine.state, rows)) == []
    change(rows)
    found = list(disagreements(traded.engine.state, rows))
    assert found
    assert all(difference.startswith(what) for difference in found), found


def test_every_table_is_verified_or_known_not_to_be():
    """A new table must be thought of here."""
    import re

    created = re.findall(r"CREATE TABLE (\w+)", "".join(migration.content.decode() for migration in load()))
    from callmarket.persistence.tables.rows import TABLES

    assert set(created) - {table.name for table in TABLES} == {
        "journal",
        "engine_writer",
        # Its row is compared with the journal, beside the tables.
        "projections",
        "snapshots",
        "snapshot_chunks",
        "journal_archives",
        "engine_leader",
        "engine_standbys",
        "market_time_words",
        "proven_restores",
        "api_keys",
        "api_key_versions",
        "market_cycles",
        "quest_budget_allocations",
        "quest_budget_spendings",
        "work_quests",
        "work_tasks",
        "work_claims",
        "work_completions",
        "work_costs",
        "artifacts",
        "resource_allocations",
        "bounty_claims",
        "demurrage_debts",
        "account_addresses",
    }
