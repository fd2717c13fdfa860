"""The SQL tables after random streams: every column of every row, against a model that takes one event at a time.

Goal: folding a batch, whatever its size, makes exactly the rows that the events make one by one. Ids cited: RULES.md.
"""

import psycopg
import pytest
from psycopg.rows import dict_row

from callmarket.engine.commands import (
    ADMIN,
    OPERATOR,
    CancelBid,
    ClearRound,
    ExpireDue,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    SettleAward,
)
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.tables.rows import TABLES
from callmarket.persistence.tables.table import Table
from callmarket.persistence.tables.table_writer import PostgresTables
from tests.support.following import level
from tests.support.sealed import AT_US, Sealer, batches, story
from tests.support.sql_model import SqlModel
from tests.support.streams import bounds
from tests.support.swarms import long_swarm, small_swarm

# Small, so that losers are left to sweeps and sweeps leave something due.
BOUNDS = {"LOSERS_PER_CALL_MAX": 2, "SWEEP_ITEMS_MAX": 3}


def append(url, rows, shard_id=0):
    """Write batches, and bring the tables along after each."""
    with PostgresJournal(url, shard_id) as journal:
        tables = PostgresTables(url, shard_id, journal.claim())
        for batch in rows:
            journal.append(batch)
            assert tables.project() == (batch[-1].entry.seq, False)
        tables.close()


def table_rows(url: str, table: Table, shard_id: int = 0):
    with psycopg.connect(url, row_factory=dict_row) as connection:
        connection.execute("SET timezone = 'UTC'")
        rows = connection.execute(f"SELECT * FROM {table.name} WHERE shard_id = %s", (shard_id,)).fetchall()
    found = {}
    for row in rows:
        assert row.pop("shard_id") == shard_id
        key = tuple(row[column] for column in table.key)
        found[key[0] if len(key) == 1 else key] = row
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("choose_swarm", [small_swarm, long_swarm])
@pytest.mark.parametrize("sizes", [(1, 2, 3, 10), (1, 40, 400), (5000,)])
def test_every_column_of_every_projected_row_is_that_of_the_model(database_url: str, seed: int, choose_swarm, sizes):
    for shard_id in range(2):
        with bounds(BOUNDS):
            told = story(seed + shard_id, 900, choose_swarm)
        append(database_url, batches(told.rows, seed, sizes), shard_id)
        model = SqlModel()
        for row in told.rows:
            model.add(row)
        for table in TABLES:
            assert table_rows(database_url, table, shard_id) == model.tables()[table.name], table.name


def test_times_values_and_totals_are_exact_at_their_ends(database_url: str):
    from callmarket.engine import limits
    from callmarket.engine.commands import Burn

    sealer = Sealer()
    sealer.do(ADMIN, OpenMarket("gpu"))
    sealer.do(ADMIN, OpenAccount("a", "agent"))
    # More than a bigint holds in all, in one batch and then in several.
    for _ in range(1100):
        sealer.do(ADMIN, Mint("a", limits.TOKENS_MAX, "grant"))
        sealer.do(ADMIN, Burn("a", limits.TOKENS_MAX, "fee"))
    sealer.do(ADMIN, Mint("a", limits.TOKENS_MAX, "grant"))
    sealer.do("a", PlaceBid("gpu", "a", "t", limits.TOKENS_MAX, limits.MICROS_MAX, limits.AT_US_MAX, "gtd"))
    append(database_url, batches(sealer.rows, 1, (len(sealer.rows) - 20, 3)))
    model = SqlModel()
    for row in sealer.rows:
        model.add(row)
    for table in TABLES:
        assert table_rows(database_url, table) == model.tables()[table.name], table.name
    with psycopg.connect(database_url) as connection:
        usd = connection.execute("SELECT expected_value_usd::text FROM compute_auction_bids").fetchone()
        earned = connection.execute("SELECT total_earned::text FROM token_accounts WHERE account_id = 'a'").fetchone()
    assert usd == ("9007199254.740991",)
    assert earned == (str(1101 * limits.TOKENS_MAX),)


@pytest.fixture
def market():
    sealer = Sealer()
    sealer.do(ADMIN, OpenMarket("gpu", awards_per_bidder_max=1))
    for name in "abcd":
        sealer.do(ADMIN, OpenAccount(name, "agent"))
        sealer.do(ADMIN, Mint(name, 1000, "grant"))
    return sealer


def place(sealer: Sealer, bidder: str, task: str, price: int, *, gtd: bool = False) -> int:
    ttl = AT_US + 10_000 if gtd else None
    (event,) = sealer.do(bidder, PlaceBid("gpu", bidder, task, price, 0, ttl, "gtd" if gtd else "round")).events
    return event.bid_id


def reasons(url: str) -> dict[int, str]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT bid_id, reason FROM bid_outcomes WHERE shard_id = 0").fetchall())


def test_why_a_bid_won_or_lost_in_words(database_url: str, market: Sealer):
    no_slot = place(market, "a", "early", 9)
    market.do(OPERATOR, ClearRound("gpu"))
    market.do(OPERATOR, OfferSlot("gpu", "s1", 0, reserve_price_tokens=500))
    too_low = place(market, "a", "low", 400)
    market.do(OPERATOR, ClearRound("gpu"))
    market.do(OPERATOR, OfferSlot("gpu", "s2", 0))
    market.do(OPERATOR, OfferSlot("gpu", "s3", 0))
    won = place(market, "a", "t1", 50)
    capped = place(market, "a", "t2", 45)
    lowest = place(market, "b", "t3", 40)
    tied = place(market, "c", "t4", 40)
    outbid = place(market, "d", "t5", 30)
    resting = place(market, "d", "t6", 20, gtd=True)
    market.do(OPERATOR, ClearRound("gpu"))
    cancelled = place(market, "c", "t7", 5)
    market.do("c", CancelBid(cancelled))
    new = place(market, "c", "t8", 5)
    market.do(OPERATOR, SettleAward("s2", 7, 2_500_001))
    append(database_url, [market.rows])
    assert reasons(database_url) == {
        no_slot: "lost round 1: no slot was on offer",
        too_low: "lost round 2: under the reserve of the next slot, 500, this one 400",
        won: "settled: slot s2 of treasury in round 3 at 40, bid 50",
        capped: "lost round 3: better bids of its bidder won the cap of 1 a round",
        lowest: "won: slot s3 of treasury in round 3 at 40, bid 40",
        tied: "lost round 3: under the reserve of the next slot, 500; the lowest winning bid was 40, this one 40",
        outbid: "lost round 3: under the reserve of the next slot, 500; the lowest winning bid was 40, this one 30",
        resting: "open, did not win round 3: under the reserve of the next slot, 500; the lowest winning bid was 40, "
        "this one 20",
        cancelled: "cancelled before a round ended it",
        new: "open: its market has not been called since it took its place",
    }


def test_a_loser_that_waits_for_its_sweep_is_said_to_have_lost(database_url: str, market: Sealer):
    with bounds({"LOSERS_PER_CALL_MAX": 1}):
        first, second = place(market, "a", "t1", 9), place(market, "b", "t2", 8)
        market.do(OPERATOR, ClearRound("gpu"))
        market.do(OPERATOR, ClearRound("gpu"))
    append(database_url, [market.rows])
    assert reasons(database_url) == {
        first: "lost round 1: no slot was on offer",
        second: "lost round 1, tokens released by one of the next sweeps: no slot was on offer",
    }
    market.do(OPERATOR, ExpireDue())
    journal = PostgresJournal(database_url, 0)
    journal.claim()
    journal.append(market.rows[-1:])
    journal.close()
    level(database_url)
    assert reasons(database_url)[second] == "lost round 1: no slot was on offer"


def test_refusals_can_be_read_in_sql(database_url: str, market: Sealer):
    market.do("a", PlaceBid("gpu", "a", "t", 1001))
    append(database_url, [market.rows])
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT seq, actor, command_type, reason, value FROM refusals").fetchall()
    assert found == [(market.rows[-1].entry.seq, "a", "place_bid", "FUNDS_INSUFFICIENT", "1001")]


def test_a_reader_may_look_and_not_touch(database_url: str, market: Sealer):
    append(database_url, [market.rows])
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET ROLE callmarket_reader")
        for name in [table.name for table in TABLES] + ["journal", "engine_writer", "bid_outcomes", "journal_breaks"]:
            connection.execute(f"SELECT * FROM {name}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE token_accounts SET balance = 1")


def test_why_a_bid_lost_where_all_slots_were_sold(database_url: str, market: Sealer):
    market.do(OPERATOR, OfferSlot("gpu", "s1", 0))
    won, rival = place(market, "a", "t1", 50), place(market, "b", "t1", 45, gtd=True)
    tied, outbid = place(market, "c", "t2", 50), place(market, "d", "t3", 30)
    market.do(OPERATOR, ClearRound("gpu"))
    append(database_url, [market.rows])
    assert reasons(database_url) == {
        won: "won: slot s1 of treasury in round 1 at 50, bid 50",
        rival: "open, did not win round 1: bid 1, a rival for its task, won with 50, and this one is 45",
        tied: "lost round 1: as high as the lowest winning bid, 50, but later",
        outbid: "lost round 1: outbid, the lowest winning bid was 50 and this one 30",
    }


def test_why_a_bid_waits_whose_task_has_an_award(database_url: str, market: Sealer):
    market.do(OPERATOR, OfferSlot("gpu", "s1", 0))
    place(market, "a", "t1", 50)
    waiting = place(market, "b", "t1", 45, gtd=True)
    market.do(OPERATOR, ClearRound("gpu"))
    market.do(OPERATOR, OfferSlot("gpu", "s2", 0))
    market.do(OPERATOR, ClearRound("gpu"))
    append(database_url, [market.rows])
    assert reasons(database_url)[waiting] == "open, did not win round 2: its task had award 1 of round 1"
