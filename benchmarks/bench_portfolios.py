"""What the days of a portfolio cost, reckoned from the trades, and whether a table of days is needed.

    python3 dev.py bench-parts benchmarks/bench_portfolios.py

Rule of this file: the rows are made by SQL, as the journal would leave them, of an account that trades all day for a
year in sixty artifacts; beside it the ranking of many accounts.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from callmarket.bridge.api.portfolio import facts
from callmarket.bridge.api.portfolio.days import DAY_S
from callmarket.bridge.api.portfolio.figures import sharpe
from callmarket.persistence.database.migrate import ensure_schema
from callmarket.persistence.queries import portfolios

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TODAY = int(NOW.timestamp()) // DAY_S
FILLS, ARTIFACTS, ACCOUNTS = 24_000, 60, 1_000
WHEN = f"timestamptz '2029-01-01 UTC' + n * interval '365 days' / {FILLS}"

FILL = f"""
INSERT INTO token_accounts (shard_id, account_id, kind, balance, held, total_earned, total_spent, created_at,
        updated_at, seq)
    SELECT 0, 'u' || n, 'agent', 1000000, 0, 1000000, 0, now(), now(), 1 FROM generate_series(0, {ACCOUNTS}) AS n;
INSERT INTO token_ledger (shard_id, id, "timestamp", from_account, to_account, amount, reason, reference_type,
        reference_id, memo, balance_after_from, balance_after_to, seq)
    SELECT 0, n, {WHEN}, 'issuance', 'u' || n % 7, 1, 'grant:more', '', '', '', 0, 0, n
    FROM generate_series(1, {FILLS}) AS n;
INSERT INTO market_fills (shard_id, order_id, filled_seq, filled_at, account_id, artifact_id, position_id, side, effect,
        shares_micros, tokens_micros, fee_micros, realised_micros, seq)
    SELECT 0, n, n, {WHEN}, 'u0', 'a' || (n + 1) / 2 % {ARTIFACTS}, n, 'long',
        CASE WHEN n % 2 = 1 THEN 'open' ELSE 'close' END, 1000, 500 + n % 3, 0, 0, n
    FROM generate_series(1, {FILLS}) AS n;
INSERT INTO market_trades (shard_id, order_id, traded_at, artifact_id, account_id, position_id, side, effect,
        shares_micros, tokens_micros, fee_micros, realised_micros, fill_orders, fill_shares_micros, fill_tokens_micros,
        price_before_micros, price_after_micros, average_price_micros, long_micros, short_micros, subsidy_micros,
        pool_micros, fees_micros, loss_bound_micros, seq)
    SELECT 0, n, {WHEN}, 'a' || (n + 1) / 2 % {ARTIFACTS}, 'u0', n, 'long', 'open', 1000, 500, 0, 0, '{{0}}',
        '{{1000}}', '{{500}}', 500000, 500000 + n % 1000, 500000, 0, 0, 1, 1, 0, 0, n
    FROM generate_series(1, {FILLS}) AS n;
INSERT INTO artifact_positions (shard_id, id, account_id, artifact_id, side, bought_micros, paid_micros, shares_micros,
        cost_micros, realised_micros, opened_at, traded_at, seq)
    SELECT 0, n, 'u0', 'a' || n, 'long', 1000000, 500000, 1000000, 500000, 0, '2028-01-01', '2028-01-01', 1
    FROM generate_series(0, {ARTIFACTS} - 1) AS n;
INSERT INTO artifact_markets (shard_id, artifact_id, subsidy_tokens, closes_at, exit_fee_ppm, exposure_limit_ppm,
        decay_ppm, decay_floor_ppm, dispute_window_us, arbiter_id, opened_at, status, status_at, settled_as,
        settle_price_micros, settled_at, closed_at, price_micros, average_price_micros, averaged_at, subsidy_micros,
        long_micros, short_micros, long_offset_micros, short_offset_micros, pool_micros, fees_micros, returned_micros,
        paid_micros, remainder_micros, positions_open, orders_open, trades, volume_micros, seq)
    SELECT 0, 'j' || n, 70, '2040-01-01', 0, 0, 0, 0, 0, '', '2029-01-01', 'settled', '2029-12-01', 'validated',
        1000000, '2029-12-01', '2029-12-01', 500000, 500000, '2029-12-01', 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1
    FROM generate_series(1, 100) AS n;
INSERT INTO artifact_positions (shard_id, id, account_id, artifact_id, side, bought_micros, paid_micros, shares_micros,
        cost_micros, realised_micros, settled_as, settlement_price_micros, settlement_micros, settled_at, opened_at,
        traded_at, seq)
    SELECT 0, 1000 + n, 'u' || n % {ACCOUNTS}, 'j' || 1 + n % 97, 'long', 1000000, 500000, 1000000, 500000, 500000,
        'validated', 1000000, 1000000, '2029-12-01', '2029-01-01', '2029-12-01', 1
    FROM generate_series(1, 100000) AS n;
ANALYZE;
"""


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """A year of it."""
    with psycopg.connect(database_url, autocommit=True) as connected:
        ensure_schema(connected)
        connected.execute(FILL.encode())
        yield connected


@pytest.mark.parametrize("period_days", [30, 365])
def test_the_days_of_a_busy_account(
    benchmark: BenchmarkFixture, connection: psycopg.Connection, period_days: int
) -> None:
    """24,000 trades a year in sixty artifacts, all of them held throughout."""
    days = benchmark(lambda: facts.days(connection, 0, ["u0"], TODAY, period_days))["u0"]
    assert len(days) == period_days
    assert sharpe([day.return_ppm for day in days if day.return_ppm is not None]).returns == period_days


def test_the_leaders_of_many(benchmark: BenchmarkFixture, connection: psycopg.Connection) -> None:
    """100,000 positions of a thousand accounts in a hundred artifacts that were judged."""
    found = benchmark(lambda: portfolios.leaders(connection, 0, "profit", NOW - timedelta(days=90), 5, 10))
    assert len(found) == 10
