"""Lists of a long history: what each page costs, and that no page leaves out or repeats a row.

Goal: every question of a service walks an index and reads about what it shows, however long the tables are; a
sequential scan would stop the database of a busy market. Method: tables with far more rows than a page, made in SQL and
analyzed; each statement is explained as it is executed, with what it really read. Pages are compared with one sorted
list.
"""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, product
from typing import Any

import psycopg
import pytest

from callmarket.persistence import queries
from callmarket.persistence.database.connections import connect
from callmarket.persistence.postings import movements_of_row
from callmarket.persistence.queries import Paging, months
from callmarket.persistence.stores.demurrage_debts import debts_page
from tests.support.plans import assert_little_is_read

BIDS, AWARDS, ROUNDS, SLOTS, ACCOUNTS, MOVEMENTS, HOLDS = 120_000, 30_000, 30_000, 20_000, 20_000, 60_000, 40_000
BIG = {
    "compute_auction_bids",
    "compute_auction_clears",
    "compute_auction_rounds",
    "compute_auction_slots",
    "token_accounts",
    "token_ledger",
    "token_holds",
}
LIMIT = 50
# Rows that one question may read: a page for each of eight statuses, and some that are passed over.
ROWS_READ_MAX = 8 * LIMIT + 100
START = datetime(2027, 1, 1, tzinfo=UTC)
FILL = f"""
INSERT INTO compute_auction_markets SELECT 0, 'm' || n, 'vickrey', 0, 0, 1, 'charge', 0, 0, '2027-01-01', n
    FROM generate_series(0, 9) AS n;
-- Nearly all bids have ended; the open ones are the last thousand. Market m9 and bidder b7 are rare.
INSERT INTO compute_auction_bids (shard_id, id, market_id, bidder_id, task_id, max_price_tokens,
        expected_value_microusd, placed_at, placed_seq, priority_seq, time_in_force, status, seq)
    SELECT 0, n, CASE WHEN n % 5000 = 0 THEN 'm9' ELSE 'm' || n % 3 END,
        CASE WHEN n % 4000 = 0 THEN 'b7' ELSE 'b' || n % 5 END, 't' || n, 1 + n % 97, 0,
        '2027-01-01'::timestamptz + n * interval '1 second', n, n, CASE WHEN n % 2 = 0 THEN 'gtd' ELSE 'round' END,
        CASE WHEN n > {BIDS} - 1000 THEN 'open' WHEN n % 7 = 0 THEN 'settled' ELSE 'lost' END, n
    FROM generate_series(1, {BIDS}) AS n;
INSERT INTO compute_auction_clears (shard_id, award_id, market_id, round_no, slot_id, bid_id, bidder_id, provider_id,
        clearing_price_tokens, premium_tokens, winning_task_id, slot_started_at, slot_finished_at, lease_until, status,
        charged_tokens, actual_cost_tokens, actual_impact_micros, seq)
    SELECT 0, n, 'm' || n % 3, n, 's' || n, n, CASE WHEN n % 4000 = 0 THEN 'b7' ELSE 'b' || n % 5 END, 'treasury', 5,
        0, 't' || n, '2027-01-01'::timestamptz + n * interval '1 second',
        CASE WHEN n % 3001 > 0 THEN '2028-01-01'::date END,
        '2029-01-01', CASE WHEN n % 3001 = 0 THEN 'awarded' ELSE 'settled' END, CASE WHEN n % 3001 > 0 THEN 5 END,
        CASE WHEN n % 3001 > 0 THEN 1 END, 1, n
    FROM generate_series(1, {AWARDS}) AS n;
INSERT INTO compute_auction_rounds (shard_id, market_id, round_no, called_at, slots_available, bids_open,
        awards_granted, bids_visited, losers_remaining, seq)
    SELECT 0, CASE WHEN n % 3000 = 0 THEN 'm9' ELSE 'm' || n % 2 END, n,
        '2027-01-01'::timestamptz + n * interval '1 second', 1, 1, 1, 1, 0, n FROM generate_series(1, {ROUNDS}) AS n;
INSERT INTO compute_auction_slots (shard_id, slot_id, market_id, provider_id, available_at, reserve_price_tokens,
        lease_us, offer_seq, status, award_id, seq)
    SELECT 0, 's' || n / 2, 'm' || n / 2 % 3, CASE WHEN n % 2 = 0 THEN 'treasury' ELSE 'p' END, '2027-01-01', 0, 1, n,
    CASE WHEN n % 2000 = 0 THEN 'offered' ELSE 'settled' END, NULL, n FROM generate_series(1, {SLOTS}) AS n;
INSERT INTO token_accounts (shard_id, account_id, kind, balance, held, total_earned, total_spent, created_at,
        updated_at, seq) SELECT 0, 'b' || n, 'agent', 5, 0, 5, 0, '2027-01-01', '2027-01-01', n
    FROM generate_series(0, {ACCOUNTS}) AS n;
INSERT INTO token_ledger SELECT 0, n, '2027-01-01'::timestamptz + n * interval '1 second', 'b' || n % 7,
        'b' || 7 + n % 5, 1, 'gift' || n % 3, '', '', '', 1, 1, n
    FROM generate_series(1, {MOVEMENTS}) AS n;
INSERT INTO demurrage_debts SELECT 0, 'b' || n % 50, n, 'x' || n, 1, 0, '2027-01-01' FROM generate_series(1, 5000) AS n;
-- Most holds have ended. Account b7, artifact x9 and the reason of a bounty are rare.
INSERT INTO token_holds SELECT 0, n, 'h' || n % 30000, CASE WHEN n % 4000 = 0 THEN 'b7' ELSE 'b' || n % 5 END, 'admin',
    5, NULL, NULL, CASE WHEN n % 3000 = 0 THEN 'bounty' ELSE 'stake' END, 'artifact',
    CASE WHEN n % 4000 < 2 THEN 'x9' ELSE 'x' || n % 4 END, '',
    CASE WHEN n % 1500 = 0 THEN 'open' ELSE 'released' END, '2027-01-01', NULL,
    CASE WHEN n % 1500 > 0 THEN '2027-01-02'::date END, n FROM generate_series(1, {HOLDS}) AS n;
"""


@pytest.fixture(scope="module")
def filled(module_database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to a long history."""
    with connect(module_database_url, "test") as connection:
        connection.execute(FILL.encode())
        connection.execute("VACUUM ANALYZE")
        yield connection


Question = Callable[[psycopg.Connection], object]
LATE = START + timedelta(seconds=ROUNDS - 500)
RECENT = START + timedelta(seconds=MOVEMENTS - 500)
# All, usual ones, rare ones. A rare market is not asked for by bidder: its bids in others would be passed over.
OWNERS = [(None, None), ("m1", None), ("m9", None), (None, "b2"), (None, "b7"), ("m1", "b2"), ("m1", "b7")]
PAGES = [Paging(LIMIT, after, newest) for after in (None, 15_000) for newest in (True, False)]
NAME_PAGES = [Paging(LIMIT, after, newest=False) for after in (None, "b500")]


def questions() -> Iterator[Question]:
    """Each list with each filter, in both orders, from the beginning and from the middle; and the single answers."""
    for page, (market_id, bidder_id) in product(PAGES, OWNERS):
        named = {"shard_id": 0, "market_id": market_id, "bidder_id": bidder_id, "page": page}
        some = bool(market_id or bidder_id)
        for bid_status in (None, "open", "lost", "expired") if some else (None,):
            yield partial(queries.bids_page, **named, status=bid_status)
        for award_status, since in product((None, "awarded", "settled", "voided") if some else (None,), (None, LATE)):
            yield partial(queries.awards_page, **named, status=award_status, since=since)
    for page, market_id, since in product(PAGES, (None, "m1", "m9"), (None, LATE)):
        yield partial(queries.rounds_page, shard_id=0, market_id=market_id, since=since, page=page)
    for page in PAGES:
        yield partial(queries.statement_page, shard_id=0, account_id="b8", page=page)
        yield partial(queries.credits_page, shard_id=0, account_id="b8", page=page)
    for account_id in ("b8", "b99"):
        yield partial(queries.earned, shard_id=0, account_id=account_id, now=RECENT + timedelta(days=30))
    for after in ("", "b1", "b7"):
        yield partial(
            queries.idle_page,
            shard_id=0,
            after=after,
            limit=LIMIT,
            first_id=MOVEMENTS - 700,
            end_id=MOVEMENTS - 100,
            reference_id="x",
        )
        yield partial(debts_page, shard_id=0, after=(after, 3), limit=LIMIT)
    for page in NAME_PAGES:
        yield partial(queries.wallets_page, shard_id=0, page=page)
    slots = {"shard_id": 0, "market_id": "m1", "limit": LIMIT}
    for names, slot_status in product((None, ("s1", "p"), ("s4", ""), ("x", "y")), (None, "offered", "lapsed")):
        yield partial(queries.slots_page, **slots, status=slot_status, after=names)
    wanted: list[dict[str, Any]] = [
        {},
        {"account_id": "b1"},
        {"account_id": "b7", "reason": "stake"},
        {"account_id": "b8"},
        {"reference_type": "artifact", "reference_id": "x1"},
        {"reference_type": "artifact", "reference_id": "x9", "reason": "stake"},
        {"reference_type": "artifact", "reference_id": "x9", "account_id": "b7"},
        {"reason": "stake"},
        {"reason": "bounty"},
        {"reason": "stake", "reference_type": "artifact"},
        {"reason": "nothing"},
    ]
    for page, want in product(PAGES, wanted):
        for hold_status in (None, "open", "released", "expired") if want else (None,):
            wants = queries.HoldFilter(**want, status=hold_status)
            yield partial(queries.holds_page, shard_id=0, wanted=wants, page=page)
    for hold_id, account_id in product(("h1", "h0", "h29999", "none"), ("b1", "b7", "none")):
        yield partial(queries.hold, shard_id=0, hold_id=hold_id, account_id=account_id)
    for bid_id in (1, 2, 60_000, BIDS - 1, BIDS):
        yield partial(queries.bid, shard_id=0, bid_id=bid_id)
        yield partial(queries.outcome, shard_id=0, bid_id=bid_id)
    until = START + timedelta(seconds=ROUNDS)
    of_a_period = {"shard_id": 0, "market_id": "m1", "until": until, "period": timedelta(seconds=90)}
    yield partial(queries.stats, **of_a_period)
    yield partial(queries.candles, **of_a_period, interval=timedelta(seconds=1))


def questions_of_exports() -> Iterator[Question]:
    """What the ledger is written from."""
    yield partial(months.ledger_span, shard_id=0)
    yield partial(months.movements_between, shard_id=0, first=LATE, end=RECENT)
    for first_id, last_id in ((1, MOVEMENTS), (20_000, 20_100), (1, 0)):
        limits = {"shard_id": 0, "last_id": last_id, "limit": LIMIT}
        yield partial(months.movements_page, after_id=first_id - 1, **limits)
        yield partial(months.month_accounts, after="b1", first_id=first_id, **limits)
    for seq in (1, 30_000, MOVEMENTS + 1):
        yield partial(movements_of_row, shard_id=0, seq=seq)


def test_every_question_reads_about_what_it_shows(filled: psycopg.Connection) -> None:
    """No sequential scan of a table that grows, and no long walk past rows that are not asked for."""
    assert_little_is_read(filled, chain(questions(), questions_of_exports()), BIG, ROWS_READ_MAX)


def test_the_test_of_indexes_finds_a_table_scan(filled: psycopg.Connection) -> None:
    """The test itself: without its index a list reads the table."""
    filled.execute("DROP INDEX compute_auction_bids_market")
    with pytest.raises(AssertionError):
        test_every_question_reads_about_what_it_shows(filled)
    filled.execute("CREATE INDEX compute_auction_bids_market ON compute_auction_bids (shard_id, market_id, status, id)")


def test_pages_leave_nothing_out_and_repeat_nothing(filled: psycopg.Connection, seed: int) -> None:
    """Random lists, page sizes and orders, against one sorted list of the whole table."""
    rng = random.Random(seed)
    for _ in range(12):
        market_id, bidder_id = rng.choice([("m9", None), (None, "b7"), ("m1", "b7"), ("m9", "b0"), ("m8", None)])
        status: Any = rng.choice([None, "open", "lost", "settled"])
        newest = rng.random() < 0.5
        limit = rng.choice([1, 2, 7, 30])
        expected = [
            row[0]
            for row in filled.execute(
                "SELECT id FROM compute_auction_bids WHERE (%(m)s::text IS NULL OR market_id = %(m)s)"
                " AND (%(b)s::text IS NULL OR bidder_id = %(b)s) AND (%(s)s::text IS NULL OR status = %(s)s)"
                " ORDER BY id",
                {"m": market_id, "b": bidder_id, "s": status},
            )
        ]
        found: list[int] = []
        after: int | None = None
        while rows := queries.bids_page(filled, 0, market_id, bidder_id, status, Paging(limit, after, newest)):
            assert len(rows) <= limit
            found += [row.bid_id for row in rows]
            after = found[-1]
        assert found == (expected[::-1] if newest else expected), (market_id, bidder_id, status, newest, limit)


def test_the_first_movement_since_a_time(filled: psycopg.Connection, seed: int) -> None:
    """Halving finds what a scan finds: at every edge, between two, before the first and after the last."""
    rng = random.Random(seed)
    whole = [-5, 0, 1, 2, MOVEMENTS - 1, MOVEMENTS, MOVEMENTS + 1, *rng.sample(range(MOVEMENTS), 20)]
    for seconds in [*whole, *(second + 0.5 for second in whole)]:
        since = START + timedelta(seconds=seconds)
        (scanned,) = (
            filled.execute('SELECT min(id) FROM token_ledger WHERE "timestamp" >= %s', (since,)).fetchone() or ()
        )
        assert queries.first_movement_since(filled, 0, since) == (scanned or MOVEMENTS + 1), since
    assert queries.first_movement_since(filled, 1, START) == 1


def test_sums_of_what_was_earned_are_those_of_a_scan(filled: psycopg.Connection, seed: int) -> None:
    """Each period's sum by reason, against a plain sum over the whole table; what earned most comes first."""
    rng = random.Random(seed)
    for _ in range(5):
        now = RECENT + timedelta(days=rng.choice([1, 7, 30]), seconds=rng.randrange(-400, 400))
        found = queries.earned(filled, 0, "b8", now)
        assert found is not None
        for days, name in ((1, "day_tokens"), (7, "week_tokens"), (30, "month_tokens")):
            rows = filled.execute(
                "SELECT reason, sum(amount)::bigint FROM token_ledger WHERE to_account = 'b8' AND \"timestamp\" >= %s"
                " GROUP BY reason",
                (now - timedelta(days=days),),
            ).fetchall()
            by_reason = {row.reason: getattr(row, name) for row in found.by_reason if getattr(row, name)}
            assert by_reason == dict(rows)
            assert getattr(found, name) == sum(by_reason.values())
        months = [row.month_tokens for row in found.by_reason]
        assert months == sorted(months, reverse=True)


def test_pages_of_holds_leave_nothing_out(filled: psycopg.Connection, seed: int) -> None:
    """As above, over the filters of holds; and a name that was used again is the latest hold of it."""
    rng = random.Random(seed)
    for _ in range(12):
        reference = {"reference_type": "artifact", "reference_id": "x9"}
        want = rng.choice([{"account_id": "b7"}, reference, {"reason": "bounty"}])
        more = rng.choice([{}, {"reason": "stake"}, {"status": "open"}, {"status": "released"}])
        wanted = queries.HoldFilter(**(more | want))
        newest, limit = rng.random() < 0.5, rng.choice([1, 2, 7, 30])
        names = [name for name in wanted.__struct_fields__ if getattr(wanted, name) is not None]
        condition = " AND ".join(f"{name} = %({name})s" for name in names)
        rows = filled.execute(
            f"SELECT placed_seq FROM token_holds WHERE {condition} ORDER BY 1",
            {name: getattr(wanted, name) for name in names},
        ).fetchall()
        found: list[int] = []
        while page := queries.holds_page(filled, 0, wanted, Paging(limit, found[-1] if found else None, newest)):
            assert len(page) <= limit
            found += [row.placed_seq for row in page]
        assert found == [row[0] for row in rows][:: -1 if newest else 1], (wanted, newest, limit)
    latest = queries.hold(filled, 0, "h1", "b1")
    assert latest is not None
    assert latest.placed_seq == 30_001


def test_another_shard_is_not_shown(filled: psycopg.Connection) -> None:
    page, names = Paging(LIMIT), Paging(LIMIT, newest=False)
    assert queries.bids_page(filled, 1, None, None, None, page) == []
    assert queries.bids_page(filled, 1, "m1", None, "lost", page) == []
    assert queries.awards_page(filled, 1, None, None, None, START, page) == []
    assert queries.rounds_page(filled, 1, "m1", None, page) == []
    assert queries.slots_page(filled, 1, "m1", None, LIMIT, None) == []
    assert queries.wallets_page(filled, 1, names) == []
    assert queries.statement_page(filled, 1, "b8", page) is None
    assert queries.credits_page(filled, 1, "b8", page) == []
    assert queries.earned(filled, 1, "b8", START) is None
    assert queries.idle_page(filled, 1, "", LIMIT, first_id=1, end_id=2, reference_id="x") == []
    assert debts_page(filled, 1, ("", 0), LIMIT) == []
    assert queries.bid(filled, 1, 1) is None
    assert queries.hold(filled, 1, "h1", "b1") is None
    assert queries.holds_page(filled, 1, queries.HoldFilter("b7"), page) == []
    assert not queries.market_exists(filled, 1, "m1")
