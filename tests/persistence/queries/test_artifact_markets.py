"""Lists and answers about artifact markets: field by field against the model, and what each reads of long tables.

Goal: whatever is asked, in whatever order and piece by piece, is what the events made, of this shard and no other; and
every question walks an index and reads about what it shows. Method: two random histories in two shards; `SqlModel` has
the rows, and sorting a list the answer. For the plans, tables with far more rows than a page.
"""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from typing import Any, get_args

import psycopg
import pytest

from callmarket.engine.capital.events import OrderStatus, PositionStatus
from callmarket.persistence import queries
from callmarket.persistence.database.connections import connect
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.queries import Paging
from tests.persistence.queries.test_pages import LIMIT, ROWS_READ_MAX, START
from tests.persistence.queries.test_queries import SHARD, World, all_pages, assert_same, chosen
from tests.support.capital_stories import ACCOUNTS, capital_story
from tests.support.following import level
from tests.support.plans import assert_little_is_read
from tests.support.sealed import bids
from tests.support.sql_model import Row, SqlModel
from tests.support.streams import bounds


@pytest.fixture
def world(database_url: str, seed: int) -> Iterator[World]:
    made = None
    for shard_id in (0, SHARD):
        with bounds({"SWEEP_ITEMS_MAX": 3}):
            made = capital_story(seed + shard_id, 700)
        with PostgresJournal(database_url, shard_id) as journal:
            journal.claim()
            journal.append(made.rows)
        level(database_url, shard_id)
    assert made is not None
    model = SqlModel()
    for row in made.rows:
        model.add(row)
    model.tables()
    with connect(database_url, "test") as connection:
        yield World(connection, model, made.engine, made.rows)


def asked(rows: dict[Any, Row], key: str, step: int, **wanted: Any) -> list[Row]:
    """The rows with these values, by their key."""
    found = [row for row in rows.values() if all(row[name] == value for name, value in wanted.items())]
    return sorted(found, key=lambda row: row[key])[::step]


def owners(world: World) -> list[dict[str, str]]:
    """By account, by artifact, by both, and of nobody."""
    artifacts = sorted(world.model.artifact_markets)
    both = [{"account_id": one, "artifact_id": two} for one, two in product(ACCOUNTS[:3], artifacts[:2])]
    one = [{"account_id": name} for name in (*ACCOUNTS, "nobody")] + [{"artifact_id": name} for name in artifacts]
    return one + both


def test_positions_and_orders_of_anybody(world: World, seed: int) -> None:
    rng = random.Random(seed)
    for owner, status in product(owners(world), (None, "open", "ended")):
        limit, newest, step = chosen(rng)
        names = owner.get("account_id"), owner.get("artifact_id")
        for rows, key, kinds, ask, name in (
            (world.model.positions, "id", get_args(PositionStatus), queries.positions_page, "position_id"),
            (world.model.orders, "order_id", get_args(OrderStatus), queries.orders_page, "order_id"),
        ):
            statuses = [kind for kind in kinds if status is None or (kind == "open") == (status == "open")]
            found = all_pages(
                lambda page, ask=ask, of=(*names, statuses): ask(world.connection, SHARD, *of, page),
                name, limit, newest=newest,
            )  # fmt: skip
            expected = [row for row in asked(rows, key, step, **owner) if row["status"] in statuses]
            assert_same(found, [spelled(row) for row in expected])


def spelled(row: Row) -> Row:
    """A row of the model with the names of the answer."""
    if "entry_price" not in row:
        return row
    return row | {"position_id": row["id"], "entry_price_micros": int(row["entry_price"] * 10**6)}


def test_trades_and_fills_of_anybody(world: World, seed: int) -> None:
    rng = random.Random(seed)
    for owner in owners(world):
        limit, newest, step = chosen(rng)
        until_seq = rng.choice([len(world.rows), rng.randint(1, len(world.rows))])
        names = owner.get("account_id"), owner.get("artifact_id")
        found = all_pages(
            lambda page, of=names, until=until_seq: queries.trades_page(world.connection, SHARD, *of, page, until),
            "seq", limit, newest=newest,
        )  # fmt: skip
        expected = [row for row in asked(world.model.trades, "seq", step, **owner) if row["seq"] <= until_seq]
        assert_same(found, expected)
    for account_id in (*ACCOUNTS, "nobody"):
        limit, newest, step = chosen(rng)
        fills: list[queries.FillRow] = []
        after = None
        while page := queries.fills_page(world.connection, SHARD, account_id, limit, after, newest=newest):
            assert len(page) <= limit
            fills += page
            after = page[-1].filled_seq, page[-1].order_id
        wanted = [row for row in world.model.fills.values() if row["account_id"] == account_id]
        assert_same(fills, sorted(wanted, key=lambda row: (row["filled_seq"], row["order_id"]))[::step])


def test_markets_and_their_states(world: World, seed: int) -> None:
    """The average is as of the last row: that is another test's."""
    rng = random.Random(seed)
    model, connection = world.model, world.connection
    for status in (None, "open", "frozen", "announced", "settled"):
        found = all_pages(
            lambda page, of=status: queries.artifact_markets_page(connection, SHARD, of, page),
            "artifact_id", rng.choice([1, 3, 50]), newest=False,
        )  # fmt: skip
        expected = asked(model.artifact_markets, "artifact_id", 1, **({"status": status} if status else {}))
        averages = {row.artifact_id: row.average_price_micros for row in found}
        assert_same(found, [row | {"average_price_micros": averages[row["artifact_id"]]} for row in expected])
    for artifact_id, market in model.artifact_markets.items():
        one = queries.artifact_market(connection, SHARD, artifact_id)
        assert one is not None and one.artifact_id == artifact_id and one.funds_micros == market["funds_micros"]
        average = world.engine.state.capital.markets[artifact_id].average_at(world.engine.state.at_us).micros
        assert abs(one.average_price_micros - average) <= 1
        limit, newest, step = chosen(rng)
        states = all_pages(
            lambda page, of=artifact_id: queries.artifact_states_page(connection, SHARD, of, page),
            "entered_seq", limit, newest=newest,
        )  # fmt: skip
        assert_same(states, asked(model.states, "entered_seq", step, artifact_id=artifact_id))
    assert queries.artifact_market(connection, SHARD, "nothing") is None


def test_single_answers(world: World) -> None:
    for order_id in range(world.engine.state.capital.orders_placed + 2):
        for rows, ask in (
            (world.model.positions, queries.position),
            (world.model.orders, queries.order),
            (world.model.trades, queries.trade),
        ):
            found: Any = ask(world.connection, SHARD, order_id)  # type: ignore[operator]
            expected = rows.get(order_id)
            assert (found is None) == (expected is None)
            if expected is not None:
                assert_same([found], [spelled(expected)])


def test_candles_are_those_of_the_trades(world: World, seed: int) -> None:
    rng = random.Random(seed)
    for artifact_id in world.model.artifact_markets:
        trades = asked(world.model.trades, "seq", 1, artifact_id=artifact_id)
        if not trades:
            continue
        until = rng.choice(trades)["traded_at"] + timedelta(microseconds=rng.choice([-1, 0, 1]))
        period, interval = timedelta(hours=rng.choice([1, 30])), timedelta(minutes=rng.choice([1, 60]))
        found = queries.price_candles(world.connection, SHARD, artifact_id, until, period, interval)
        opens = datetime(1970, 1, 1, tzinfo=UTC)
        expected: dict[datetime, list[Row]] = {}
        for row in trades:
            if until - period < row["traded_at"] <= until:
                expected.setdefault(opens + (row["traded_at"] - opens) // interval * interval, []).append(row)
        prices = {
            at: [price for row in rows for price in (row["price_before_micros"], row["price_after_micros"])]
            for at, rows in expected.items()
        }
        assert found == [
            queries.PriceCandle(
                at,
                len(rows),
                sum(row["tokens_micros"] for row in rows),
                prices[at][0],
                max(prices[at]),
                min(prices[at]),
                prices[at][-1],
                rows[-1]["average_price_micros"],
            )
            for at, rows in sorted(expected.items())
        ]


# --- what is read ------------------------------------------------------------------------------------------------

MARKETS, ORDERS, STATES = 5_000, 60_000, 20_000
BIG = {
    "artifact_markets",
    "artifact_states",
    "artifact_positions",
    "market_orders",
    "market_trades",
    "market_fills",
    "token_holds",
}
FILL = f"""
-- Most markets are settled, most positions and orders have ended. Account b7 and artifact x9 are rare.
INSERT INTO artifact_markets (shard_id, artifact_id, subsidy_tokens, closes_at, exit_fee_ppm, exposure_limit_ppm,
        decay_ppm, decay_floor_ppm, dispute_window_us, arbiter_id, opened_at, status, status_at, settled_as,
        settle_price_micros, settled_at, price_micros, average_price_micros, averaged_at, subsidy_micros, long_micros,
        short_micros, long_offset_micros, short_offset_micros, pool_micros, fees_micros, returned_micros, paid_micros,
        remainder_micros, positions_open, orders_open, trades, volume_micros, seq)
    SELECT 0, 'x' || n, 1, '2028-01-01', 0, 0, 0, 0, 0, '', '2027-01-01', CASE WHEN open THEN 'open' ELSE 'settled' END,
        '2027-01-01', CASE WHEN NOT open THEN 'validated' END, CASE WHEN NOT open THEN 1000000 END,
        CASE WHEN NOT open THEN '2027-01-02'::date END, 500000, 500000, '2027-01-01', 1000000, 0, 0, 0, 0, 1000000, 0,
        0, 0, 0, 0, 0, 0, 0, n
    FROM (SELECT n, n % 500 = 0 AS open FROM generate_series(0, {MARKETS} - 1) AS n) AS made;
INSERT INTO artifact_states (shard_id, artifact_id, entered_seq, state, until_at, entered_at, seq)
    SELECT 0, 'x' || n % 40, n, CASE WHEN n / 40 % 2 = 0 THEN 'listed' ELSE 'challenged' END,
        CASE WHEN n / 40 % 2 = 1 THEN '2028-01-01'::date END, '2027-01-01', n FROM generate_series(1, {STATES}) AS n;
INSERT INTO artifact_positions (shard_id, id, account_id, artifact_id, side, bought_micros, paid_micros, shares_micros,
        cost_micros, realised_micros, settled_as, settlement_price_micros, settlement_micros, settled_at, opened_at,
        traded_at, seq)
    SELECT 0, n, CASE WHEN n % 4000 = 0 THEN 'b7' ELSE 'b' || n % 5 END,
        CASE WHEN n % 5000 = 0 THEN 'x9' ELSE 'x' || n % 3 END, 'long', 9, 9, CASE WHEN n % 3 = 0 THEN 0 ELSE 9 END,
        CASE WHEN n % 3 = 0 THEN 0 ELSE 9 END, 0, CASE WHEN n % 3 = 1 AND n % 1000 > 1 THEN 'deprecated' END,
        CASE WHEN n % 3 = 1 AND n % 1000 > 1 THEN 0 END, CASE WHEN n % 3 = 1 AND n % 1000 > 1 THEN 0 END,
        CASE WHEN n % 3 = 1 AND n % 1000 > 1 THEN '2027-01-01'::timestamptz + n * interval '1 second' END,
        '2027-01-01', '2027-01-01', n
    FROM generate_series(1, {ORDERS}) AS n;
INSERT INTO market_orders (shard_id, order_id, account_id, artifact_id, position_id, side, effect, limit_price_micros,
        rested_micros, left_micros, filled_shares_micros, filled_tokens_micros, fee_micros, realised_micros,
        returned_micros, status, rested_at, expires_at, ended_at, seq)
    SELECT 0, n, CASE WHEN n % 4000 = 0 THEN 'b7' ELSE 'b' || n % 5 END,
        CASE WHEN n % 5000 = 0 THEN 'x9' ELSE 'x' || n % 3 END, n, 'long', 'open', 500000, 5, 5, 0, 0, 0, 0, 0,
        CASE WHEN n % 1000 = 0 THEN 'open' ELSE 'expired' END, '2027-01-01', '2028-01-01',
        CASE WHEN n % 1000 > 0 THEN '2027-01-02'::date END, n FROM generate_series(1, {ORDERS}) AS n;
INSERT INTO market_trades (shard_id, order_id, traded_at, artifact_id, account_id, position_id, side, effect,
        shares_micros, tokens_micros, fee_micros, realised_micros, fill_orders, fill_shares_micros, fill_tokens_micros,
        price_before_micros, price_after_micros, average_price_micros, long_micros, short_micros, subsidy_micros,
        pool_micros, fees_micros, loss_bound_micros, seq)
    SELECT 0, n, '2027-01-01'::timestamptz + n * interval '1 second',
        CASE WHEN n % 5000 = 0 THEN 'x9' ELSE 'x' || n % 3 END, CASE WHEN n % 4000 = 0 THEN 'b7' ELSE 'b' || n % 5 END,
        n, 'long', 'open', 1, 1, 0, 0, '{{0}}', '{{1}}', '{{1}}', 500000, 500000, 500000, 1, 0, 5, 5, 0, 5, n
    FROM generate_series(1, {ORDERS}) AS n;
INSERT INTO market_fills
    SELECT 0, n, n / 2, '2027-01-01', CASE WHEN n % 4000 = 0 THEN 'b7' ELSE 'b' || n % 5 END, 'x' || n % 3, n, 'long',
        'open', 1, 1, 0, 0, n FROM generate_series(1, {ORDERS}) AS n;
INSERT INTO token_holds SELECT 0, n, 'h' || n, CASE WHEN n % 4000 = 0 THEN 'b7' ELSE 'b' || n % 5 END, 'admin', 5, NULL,
    NULL, CASE WHEN n % 100 = 0 THEN 'bounty' ELSE 'stake' END, 'artifact', 'x' || n % 5000, '', 'open', '2027-01-01',
    NULL, NULL, n FROM generate_series(1, {ORDERS}) AS n;
"""

Question = Callable[[psycopg.Connection], object]
OWNERS = [("b2", None), ("b7", None), (None, "x1"), (None, "x9"), ("b7", "x1"), ("b9", None), (None, "none")]
PAGES = [Paging(LIMIT, after, newest) for after in (None, 15_000) for newest in (True, False)]


@pytest.fixture(scope="module")
def filled(module_database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to a long history; its journal says what time it is."""
    with PostgresJournal(module_database_url, 0) as journal:
        journal.claim()
        journal.append(bids(3_000))
    with connect(module_database_url, "test") as connection:
        connection.execute(FILL.encode())
        connection.execute("VACUUM ANALYZE")
        yield connection


def of_the_platform(connection: psycopg.Connection, column: str, value: str) -> None:
    """The view that the platform reads, by account and by artifact."""
    query = f"SELECT * FROM market_positions WHERE shard_id = 0 AND {column} = %s AND status = 'open'"
    with connection.cursor() as cursor:
        cursor.execute(query, (value,))


def questions() -> Iterator[Question]:
    """Each list with each filter, in both orders, from the beginning and from the middle; and the single answers."""
    for page, (account_id, artifact_id) in product(PAGES, OWNERS):
        named = {"shard_id": 0, "account_id": account_id, "artifact_id": artifact_id, "page": page}
        for statuses in ((), ("open",), ("closed", "settled_loss", "settled_profit", "cancelled")):
            yield partial(queries.positions_page, **named, statuses=statuses)
        for order_statuses in ((), ("open",), ("filled", "expired")):
            yield partial(queries.orders_page, **named, statuses=order_statuses)
        yield partial(queries.trades_page, **named)
        yield partial(queries.trades_page, **named, until_seq=20_000)
    for account_id, after, newest in product(("b2", "b7", "none"), (None, (7_000, 14_001)), (True, False)):
        yield partial(queries.fills_page, shard_id=0, account_id=account_id, limit=LIMIT, after=after, newest=newest)
    for status, after_name in product((None, "open", "settled", "frozen"), (None, "x3")):
        page = Paging(LIMIT, after_name, newest=False)
        yield partial(queries.artifact_markets_page, shard_id=0, status=status, page=page)
    for page, artifact_id in product(PAGES, ("x0", "x39", "none")):
        yield partial(queries.artifact_states_page, shard_id=0, artifact_id=artifact_id, page=page)
    for one in (1, 30_000, ORDERS, ORDERS + 1):
        yield partial(queries.position, shard_id=0, position_id=one)
        yield partial(queries.order, shard_id=0, order_id=one)
        yield partial(queries.trade, shard_id=0, order_id=one)
        yield partial(queries.artifact_market, shard_id=0, artifact_id=f"x{one}")
    until = START + timedelta(seconds=ORDERS)
    candles = {"shard_id": 0, "artifact_id": "x1", "until": until, "period": timedelta(seconds=900)}
    yield partial(queries.price_candles, **candles, interval=timedelta(seconds=60))
    yield partial(of_the_platform, column="agent_id", value="b7")
    yield partial(of_the_platform, column="artifact_id", value="x9")


def test_every_question_reads_about_what_it_shows(filled: psycopg.Connection) -> None:
    """No sequential scan of a table that grows, and no long walk past rows that are not asked for."""
    assert_little_is_read(filled, questions(), BIG, ROWS_READ_MAX)


def test_the_test_of_indexes_finds_a_table_scan(filled: psycopg.Connection) -> None:
    """The test itself: without its index a list reads the table."""
    filled.execute("DROP INDEX market_trades_artifact")
    with pytest.raises(AssertionError):
        test_every_question_reads_about_what_it_shows(filled)
    filled.execute("CREATE INDEX market_trades_artifact ON market_trades (shard_id, artifact_id, seq)")
