"""The SQL tables of artifact markets after random histories: every column of every row, the engine's state, the money.

Goal: whatever batches a history comes in, the tables are those that its events make one by one, what is live in them is
what the engine has, and what is in escrow is divided to the last millionth (CAP-2). Method: random histories in a real
PostgreSQL; the plainest model beside them; damage that the constraints must refuse. Ids cited: RULES.md.
"""

import random
from collections import Counter

import psycopg
import pytest

from callmarket.engine.commands import ADMIN, CaptureHold, Mint, PlaceHold, ReleaseHold
from callmarket.engine.events import one_by_one
from callmarket.persistence.database.migrate import load
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.agreement import disagreements
from callmarket.persistence.tables.capital_shapes import CAPITAL_TABLES
from callmarket.persistence.tables.rebuild import rebuild
from callmarket.persistence.tables.rows import TABLES
from callmarket.persistence.tables.table_writer import PostgresTables
from callmarket.persistence.verify import verify
from tests.persistence.tables.test_projections import append, table_rows
from tests.persistence.tables.test_rebuild import contents
from tests.support.capital_stories import CapitalStory, announced_story, capital_story
from tests.support.golden import golden_journal, journal_of
from tests.support.sealed import batches, changes_of
from tests.support.sql_model import SqlModel
from tests.support.streams import bounds

ROWS = 500


def escrow(url: str) -> tuple[int, ...]:
    """What is in escrow, of markets, of purses and of orders, and what is nobody's."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT escrow_micros, funds_micros, purses_micros, change_micros, difference_micros FROM capital_escrow"
        ).fetchone()
    assert row is not None
    return tuple(map(int, row))


@pytest.mark.parametrize("sizes", [(1, 2, 3, 10), (1, 40, 200), (5000,)])
def test_every_column_of_every_row_is_that_of_the_model(database_url: str, seed: int, sizes: tuple[int, ...]) -> None:
    """Also where settlements are paid by sweeps, a few positions at a time (STL-4)."""
    with bounds({"SWEEP_ITEMS_MAX": 3}):
        told = capital_story(seed, ROWS)
    append(database_url, batches(told.rows, seed, sizes))
    model = SqlModel()
    for row in told.rows:
        model.add(row)
    for table in TABLES:
        assert table_rows(database_url, table) == model.tables()[table.name], table.name


def test_what_is_live_is_what_the_engine_has(seed: int) -> None:
    """Markets, positions, orders and purses, at any moment of a history."""
    for number in range(20):
        told = capital_story(seed + number, random.Random(seed + number).randint(20, ROWS))
        found = list(disagreements(told.engine.state, changes_of(told.rows)))
        assert not found, (seed + number, found[:3])


def test_histories_have_what_can_happen(seed: int) -> None:
    """The test of the tests: a few histories have every event of artifact markets, and every end of an order."""
    kinds: Counter[str] = Counter()
    for number in range(12):
        for row in capital_story(seed + number, 3 * ROWS).rows:
            for event in one_by_one(row.events):
                kinds[type(event).__name__] += 1
                kinds[str(getattr(event, "reason", ""))] += 1
                kinds[str(getattr(event, "settled_as", ""))] += 1
    expected = "SharesTraded OrderMatched OrderRested OrdersEnded PursesSet ArtifactMarketOpened ArtifactFrozen "
    expected += (
        "ArtifactUnfrozen SettlementAnnounced ArtifactSettled PositionsPaid ArtifactMarketClosed SubsidyDecayed "
    )
    expected += "cancelled self_trade expired settled validated flagged deprecated void listed"
    assert not set(expected.split()) - set(kinds)


def test_escrow_is_divided_to_the_last_millionth_at_every_moment(database_url: str, seed: int) -> None:
    """CAP-2, asked of the tables alone, after each batch."""
    told, seen = capital_story(seed, ROWS), 0
    with PostgresJournal(database_url, 0) as journal:
        tables = PostgresTables(database_url, 0, journal.claim())
        for batch in batches(told.rows, seed, (1, 7, 40)):
            journal.append(batch)
            tables.project()
            in_escrow, funds, purses, change, difference = escrow(database_url)
            assert (in_escrow, difference) == (funds + purses + change, 0)
            seen += in_escrow > 0
        tables.close()
    assert seen
    assert in_escrow == told.engine.state.ledger.accounts["capital_escrow"].balance_tokens * 10**6
    assert verify(database_url, 0).ok


def test_a_rebuild_makes_the_same_rows(database_url: str, seed: int) -> None:
    told = capital_story(seed, ROWS)
    append(database_url, batches(told.rows, seed, (3, 50)))
    before = contents(database_url)
    with psycopg.connect(database_url) as connection:
        for table in CAPITAL_TABLES:
            connection.execute(f"DELETE FROM {table.name}")
    assert not verify(database_url, 0).ok
    with PostgresJournal(database_url, 0, reader=True) as journal:
        rebuild(database_url, 0, journal)
    assert contents(database_url) == before
    assert verify(database_url, 0).ok


def test_averages_of_now_are_those_of_the_engine(database_url: str, seed: int) -> None:
    """PRC-1, STL-7: as of the last journal row, to a millionth; of a market that stands, as it stood."""
    told = capital_story(seed, ROWS)
    append(database_url, batches(told.rows, seed, (60,)))
    with psycopg.connect(database_url) as connection:
        found = dict(connection.execute("SELECT artifact_id, average_price_micros FROM artifact_prices").fetchall())
    markets = told.engine.state.capital.markets
    assert found.keys() == markets.keys()
    for artifact_id, market in markets.items():
        assert abs(found[artifact_id] - market.average_at(told.engine.state.at_us).micros) <= 1, artifact_id


@pytest.mark.parametrize("rules", [1, 2, 3])
def test_old_databases_get_the_accounts_that_new_ones_begin_with(database_url: str, rules: int, seed: int) -> None:
    """CAP-1: from the time of the first row on, as if they had been there."""
    append(database_url, batches(list(journal_of(golden_journal(rules)).read()), seed, (500,)))
    added = next(one for one in load() if one.name.startswith("0022")).content.split(b";\n")[0]
    assert b"INSERT INTO token_accounts" in added
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM token_accounts WHERE account_id IN ('capital_escrow', 'lmsr_subsidy_pool')")
        for _ in range(2):
            connection.execute(added)
    report = verify(database_url, 0)
    assert not [line for line in report.differences if line.startswith("token_accounts")], report


@pytest.fixture(scope="module")
def traded_url(module_database_url: str) -> str:
    """A database with markets in every status, positions and orders of every kind."""
    append(module_database_url, batches(announced_story(5, 900).rows, 5, (300,)))
    return module_database_url


REFUSED = [
    # Money and shares that nobody can have.
    "UPDATE account_purses SET purse_micros = 1000000",
    "UPDATE account_purses SET purse_micros = -1",
    "UPDATE artifact_positions SET shares_micros = bought_micros + 1",
    "UPDATE artifact_positions SET shares_micros = 0, cost_micros = 1 WHERE status = 'open'",
    "UPDATE artifact_positions SET cost_micros = paid_micros + 1",
    "UPDATE artifact_positions SET realised_micros = -paid_micros - 1",
    "UPDATE artifact_positions SET side = 'both'",
    # A settlement that is no settlement, or pays otherwise than STL-3 and STL-6.
    "UPDATE artifact_positions SET settlement_micros = settlement_micros + 1 WHERE status IN ('settled_profit', "
    "'settled_loss')",
    "UPDATE artifact_positions SET settlement_micros = cost_micros + 1 WHERE status = 'cancelled'",
    "UPDATE artifact_positions SET settlement_price_micros = NULL WHERE status = 'settled_loss'",
    "UPDATE artifact_positions SET settled_at = now() WHERE status = 'open'",
    "UPDATE artifact_positions SET settled_as = 'void' WHERE status = 'open'",
    "UPDATE artifact_markets SET settled_as = 'sold' WHERE status = 'settled'",
    "UPDATE artifact_markets SET settle_price_micros = NULL WHERE settle_price_micros IS NOT NULL",
    "UPDATE artifact_markets SET settled_at = NULL WHERE status = 'settled'",
    "UPDATE artifact_markets SET closed_at = now() WHERE status = 'open'",
    "UPDATE artifact_markets SET paid_micros = 1 WHERE status = 'open'",
    "UPDATE artifact_markets SET paid_micros = paid_micros + 1 WHERE closed_at IS NOT NULL",
    "UPDATE artifact_markets SET positions_open = 1 WHERE closed_at IS NOT NULL",
    # A pool that cannot pay, a maker that is none.
    "UPDATE artifact_markets SET pool_micros = greatest(long_micros, short_micros) - 1",
    "UPDATE artifact_markets SET subsidy_micros = subsidy_tokens * 1000000 + 1",
    "UPDATE artifact_markets SET long_offset_micros = 1, short_offset_micros = 1",
    "UPDATE artifact_markets SET price_micros = 999001",
    "UPDATE artifact_markets SET orders_open = -1",
    "UPDATE market_trades SET pool_micros = greatest(long_micros, short_micros) - 1",
    # A status without what belongs to it.
    "UPDATE artifact_markets SET status = 'frozen' WHERE status = 'open'",
    "UPDATE artifact_markets SET due_at = now() WHERE status = 'open'",
    "UPDATE artifact_markets SET announced_as = NULL WHERE status = 'announced'",
    "UPDATE artifact_markets SET announced_price_micros = NULL WHERE status = 'announced'",
    "UPDATE artifact_states SET until_at = NULL WHERE state = 'challenged'",
    "UPDATE artifact_states SET state = 'lost'",
    # Orders that lose something, or end without an end.
    "UPDATE market_orders SET left_micros = left_micros + 1",
    "UPDATE market_orders SET status = 'filled', ended_at = now() WHERE status = 'open'",
    "UPDATE market_orders SET status = 'expired' WHERE status = 'open'",
    "UPDATE market_orders SET ended_at = NULL WHERE status = 'cancelled'",
    "UPDATE market_orders SET fee_micros = 1 WHERE effect = 'open'",
    "UPDATE market_orders SET limit_price_micros = 999",
    # Receipts that do not add up.
    "UPDATE market_trades SET fill_orders = '{}'",
    "UPDATE market_trades SET fill_shares_micros = fill_shares_micros || 1::bigint",
    "UPDATE market_trades SET shares_micros = 0",
    "UPDATE market_fills SET fee_micros = tokens_micros + 1",
    "UPDATE market_fills SET realised_micros = 1 WHERE effect = 'open'",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_refuses_what_cannot_be(traded_url: str, statement: str) -> None:
    with psycopg.connect(traded_url) as connection:
        table = statement.split()[1]
        rows = connection.execute(
            f"SELECT count(*) FROM {table}{statement[statement.find(' WHERE') :] if ' WHERE' in statement else ''}"
        ).fetchone()
        assert rows != (0,), "there is nothing that it would change"
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(statement)


def test_no_key_acts_in_the_name_of_the_two_accounts(traded_url: str) -> None:
    """CAP-1."""
    insert = """INSERT INTO api_keys (shard_id, key_id, secret_sha256, name, scopes, accounts, providers, rate_per_s,
        burst, created_by) VALUES (0, 'abcdefghijkl', sha256('x'), 'x', %s, %s, %s, 1, 1, 'x')"""
    with psycopg.connect(traded_url, autocommit=True) as connection:
        for name in ("capital_escrow", "lmsr_subsidy_pool"):
            for values in (["read", "bid"], [name], []), (["read", "offer"], [], [name]):
                with pytest.raises(psycopg.errors.CheckViolation):
                    connection.execute(insert, values)


def test_the_platform_reads_positions_and_bounties_under_one_name(database_url: str, seed: int) -> None:
    """All three types in one view, in whole tokens and prices, with the columns that it knows."""
    story = CapitalStory(seed)
    story.go_on(ROWS)
    story.do(ADMIN, Mint("trader0", 100, "grant"))
    for hold_id, amount in (("b1", 5), ("b2", 6), ("b3", 7)):
        bounty = PlaceHold(
            hold_id, "trader0", amount, reason="bounty", reference_type="artifact", reference_id="paper0"
        )
        story.do("trader0", bounty)
    story.do("trader0", ReleaseHold("b2", "trader0"))
    story.do(ADMIN, CaptureHold("b3", "trader1", 7, "trader0"))
    append(database_url, batches(story.sealer.rows, seed, (200,)))
    columns = "id agent_id artifact_id position_type tokens_committed entry_price target_price status settlement_price "
    columns += "settlement_pnl settled_at created_at"
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(f"SELECT {', '.join(columns.split())} FROM market_positions").fetchall()
        positions = connection.execute("SELECT count(*) FROM artifact_positions").fetchone()
    assert len({row[0] for row in rows}) == len(rows)
    bounties = sorted((row[1], row[2], row[4], row[7]) for row in rows if row[3] == "bounty")
    assert bounties == [
        ("trader0", "paper0", 5, "open"), ("trader0", "paper0", 6, "cancelled"), ("trader0", "paper0", 7, "closed"),
    ]  # fmt: skip
    assert positions == (len(rows) - 3,)
    for row in rows:
        if row[3] != "bounty":
            assert row[3] in ("long", "short") and row[4] >= 0 and 0 <= row[5] <= 1, row
