"""Every list and every single answer that the tables give, field by field, against the plainest model of the tables.

Goal: whatever is asked, in whatever order and piece by piece, is what the events made, of this shard and no other.
Method: two random streams in two shards of one real database; `SqlModel` has the rows, and sorting a list the answer.
"""

import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any, get_args

import psycopg
import pytest
from msgspec import Struct

from callmarket.engine.book import best_first
from callmarket.engine.core import Engine
from callmarket.persistence import queries
from callmarket.persistence.database.connections import connect
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.queries import HoldFilter, Paging
from tests.support.following import level
from tests.support.sealed import SealedRow, story
from tests.support.sql_model import Row, SqlModel
from tests.support.streams import bounds
from tests.support.swarms import long_swarm

SHARD = 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """One shard of two: what its tables must say, and the engine that made it."""

    connection: psycopg.Connection
    model: SqlModel
    engine: Engine
    rows: list[SealedRow]

    @property
    def markets(self) -> list[str]:
        return sorted(self.model.markets)

    def moments(self, rng: random.Random, count: int) -> list[datetime]:
        """Moments of calls and of anything else, and some right beside them."""
        calls = [row["called_at"] for row in self.model.rounds.values()]
        times = [EPOCH + timedelta(microseconds=rng.choice(self.rows).entry.at_us) for _ in range(count)]
        return [
            rng.choice([moment, *rng.choices(calls, k=3)]) + timedelta(microseconds=rng.choice([-1, 0, 0, 1]))
            for moment in times
        ]


@pytest.fixture(scope="module")
def world(module_database_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    seed, made = request.config.option.seed, None
    for shard_id in (0, SHARD):
        # Small, so that losers are left to sweeps.
        with bounds({"LOSERS_PER_CALL_MAX": 2, "SWEEP_ITEMS_MAX": 3}):
            made = story(seed + shard_id, 900, long_swarm)
        with PostgresJournal(module_database_url, shard_id) as journal:
            journal.claim()
            journal.append(made.rows)
        level(module_database_url, shard_id)
    assert made is not None
    model = SqlModel()
    for row in made.rows:
        model.add(row)
    with connect(module_database_url, "test") as connection:
        yield World(connection, model, made.engine, made.rows)


RENAMED: dict[str, Callable[[Row], object]] = {
    "bid_id": lambda row: row.get("bid_id", row.get("id")),
    "task_id": lambda row: row.get("task_id", row.get("winning_task_id")),
    "price_tokens": lambda row: row["clearing_price_tokens"],
    "bid_tokens": lambda row: row["clearing_price_tokens"] + row["premium_tokens"],
    "lease": lambda row: timedelta(microseconds=row["lease_us"]),
    "balance_tokens": lambda row: row["balance"],
    "held_tokens": lambda row: row["held"],
    "available_tokens": lambda row: row["balance"] - row["held"],
    "total_earned_tokens": lambda row: row["total_earned"],
    "total_spent_tokens": lambda row: row["total_spent"],
    "transfer_id": lambda row: row["id"],
    "at": lambda row: row["timestamp"],
    "from_account_id": lambda row: row["from_account"],
    "to_account_id": lambda row: row["to_account"],
    "amount_tokens": lambda row: row["amount"],
    "from_balance_tokens": lambda row: row["balance_after_from"],
    "to_balance_tokens": lambda row: row["balance_after_to"],
    "captured_tokens": lambda row: row["captured"],
}


def assert_same(found: Iterable[Struct], expected: Iterable[Row]) -> None:
    """Field by field; numbers as people use them."""
    rows, wanted = list(found), list(expected)
    assert len(rows) == len(wanted)
    for row, right in zip(rows, wanted, strict=True):
        for field in row.__struct_fields__:
            got, must = getattr(row, field), RENAMED.get(field, lambda one, field=field: one[field])(right)
            if isinstance(must, Decimal):
                must = int(must) if isinstance(got, int) else float(must)
            assert got == must, (field, row, right)


def all_pages(ask: Callable[[Paging], Sequence[Any] | None], key: str, limit: int, *, newest: bool) -> list[Any]:
    """Page after page, each of which begins after the last key of the one before."""
    found: list[Any] = []
    while page := ask(Paging(limit, getattr(found[-1], key) if found else None, newest)):
        assert len(page) <= limit
        found += page
        assert len(found) < 10_000
    return found


def chosen(rng: random.Random) -> tuple[int, bool, int]:
    """A size of pages, whether the newest comes first, and the step that a sorted list is then read in."""
    newest = rng.random() < 0.5
    return rng.choice([1, 3, 50, 10_000]), newest, -1 if newest else 1


def test_bids_of_any_market_bidder_and_status(world: World, seed: int) -> None:
    rng = random.Random(seed)
    bidders = sorted({row["bidder_id"] for row in world.model.bids.values()})
    for market_id, bidder_id in product([None, *world.markets], [None, *rng.sample(bidders, min(5, len(bidders)))]):
        named = market_id is not None or bidder_id is not None
        status = rng.choice([None, *get_args(queries.BidStatus)]) if named else None
        limit, newest, step = chosen(rng)
        found = all_pages(
            lambda page, of=(market_id, bidder_id, status): queries.bids_page(world.connection, SHARD, *of, page),
            "bid_id", limit, newest=newest,
        )  # fmt: skip
        expected = [
            row
            for _, row in sorted(world.model.bids.items())
            if market_id in (None, row["market_id"])
            and bidder_id in (None, row["bidder_id"])
            and status in (None, row["status"])
        ]
        assert_same(found, expected[::step])
    for bid_id in rng.sample(sorted(world.model.bids), 10):
        one = queries.bid(world.connection, SHARD, bid_id)
        assert one is not None
        assert_same([one], [world.model.bids[bid_id]])
        why = queries.outcome(world.connection, SHARD, bid_id)
        assert why is not None
        assert why.reason
        for field in ("bid_id", "bidder_id", "market_id", "task_id", "max_price_tokens"):
            assert getattr(why, field) == getattr(one, field)
    assert queries.outcome(world.connection, SHARD, max(world.model.bids) + 1) is None
    assert queries.bid(world.connection, SHARD, max(world.model.bids) + 1) is None


def test_awards_of_any_market_bidder_status_and_time(world: World, seed: int) -> None:
    rng = random.Random(seed)
    bidders = sorted({row["bidder_id"] for row in world.model.clears.values()})
    some = [None, *rng.sample(bidders, min(4, len(bidders)))]
    times = [None, *world.moments(rng, 3), EPOCH + timedelta(days=10**5)]
    for market_id, bidder_id, since in product([None, *world.markets], some, times):
        named = market_id is not None or bidder_id is not None
        status = rng.choice([None, *get_args(queries.AwardStatus)]) if named else None
        limit, newest, step = chosen(rng)
        found = all_pages(
            lambda page, of=(market_id, bidder_id, status, since): queries.awards_page(
                world.connection, SHARD, *of, page
            ),
            "award_id", limit, newest=newest,
        )  # fmt: skip
        expected = [
            row
            for _, row in sorted(world.model.clears.items())
            if market_id in (None, row["market_id"])
            and bidder_id in (None, row["bidder_id"])
            and status in (None, row["status"])
            and (since is None or row["slot_started_at"] >= since)
        ]
        assert_same(found, expected[::step])


def test_slots_of_a_market_by_name_and_provider(world: World, seed: int) -> None:
    rng = random.Random(seed)
    for market_id in world.markets:
        status, limit = rng.choice([None, *get_args(queries.SlotRow.__annotations__["status"])]), rng.choice([1, 3, 99])
        found: list[queries.SlotRow] = []
        after = None
        while page := queries.slots_page(world.connection, SHARD, market_id, status, limit, after):
            assert len(page) <= limit
            found += page
            after = page[-1].slot_id, page[-1].provider_id
        slots = [row for _, row in sorted(world.model.slots.items()) if row["market_id"] == market_id]
        assert_same(found, [row for row in slots if status in (None, row["status"])])
        offered = sorted(
            (row for row in slots if row["status"] == "offered"),
            key=lambda row: (row["reserve_price_tokens"], row["available_at"], row["offer_seq"]),
        )
        for most in (1, 3, 1_000):
            assert_same(queries.offers(world.connection, SHARD, market_id, most), offered[:most])


def test_rounds_of_a_market_or_of_all_of_any_time(world: World, seed: int) -> None:
    rng = random.Random(seed)
    calls = sorted(world.model.rounds.values(), key=lambda row: row["seq"])
    times = [None, *world.moments(rng, 5), EPOCH + timedelta(days=10**5)]
    for market_id, since in product([None, *world.markets], times):
        of_market = [row for row in calls if market_id in (None, row["market_id"])]
        limit, newest, step = chosen(rng)
        found = all_pages(
            lambda page, of=(market_id, since): queries.rounds_page(world.connection, SHARD, *of, page),
            "seq", limit, newest=newest,
        )  # fmt: skip
        assert_same(found, [row for row in of_market if since is None or row["called_at"] >= since][::step])
        until_seq, most = rng.randint(1, len(world.rows)), rng.choice([1, 4, 1_000])
        then = [row for row in of_market if row["seq"] <= until_seq]
        assert_same(queries.rounds(world.connection, SHARD, market_id, most, until_seq), then[::-1][:most])
        assert_same(queries.rounds(world.connection, SHARD, market_id, most), of_market[::-1][:most])


def test_wallets_and_their_movements(world: World, seed: int) -> None:
    rng = random.Random(seed)
    accounts = world.model.accounts
    for limit in (1, 3, 1_000):
        found = all_pages(
            lambda page: queries.wallets_page(world.connection, SHARD, page), "account_id", limit, newest=False
        )
        assert_same(found, [row for _, row in sorted(accounts.items())])
        richest = sorted(accounts.values(), key=lambda row: (-row["balance"], row["account_id"]))
        assert_same(queries.richest(world.connection, SHARD, limit), richest[:limit])
    for account_id, row in accounts.items():
        one = queries.wallet(world.connection, SHARD, account_id)
        assert one is not None
        assert_same([one], [row])
        assert one.available_tokens == row["balance"] - row["held"]
        ledger = [move for _, move in sorted(world.model.ledger.items())]
        mine = [move for move in ledger if account_id in (move["from_account"], move["to_account"])]
        earned = [move for move in mine if move["to_account"] == account_id]
        limit, newest, step = chosen(rng)
        for ask, expected in ((queries.statement_page, mine), (queries.credits_page, earned)):
            found = all_pages(
                lambda page, ask=ask, of=account_id: ask(world.connection, SHARD, of, page),
                "transfer_id", limit, newest=newest,
            )  # fmt: skip
            assert_same(found, expected[::step])
        until_seq, most = rng.randint(1, len(world.rows)), rng.choice([1, 4, 1_000])
        then = [move for move in mine if move["seq"] <= until_seq]
        assert_same(queries.statement(world.connection, SHARD, account_id, most, until_seq), then[::-1][:most])
        assert_same(queries.statement(world.connection, SHARD, account_id, most), mine[::-1][:most])
    assert queries.wallet(world.connection, SHARD, "nobody") is None
    assert queries.statement_page(world.connection, SHARD, "nobody", Paging(5)) is None
    assert queries.market_ids(world.connection, SHARD) == world.markets
    assert all(queries.market_exists(world.connection, SHARD, market_id) for market_id in world.markets)
    assert not queries.market_exists(world.connection, SHARD, "none")


def test_holds_of_any_account_reference_and_reason(world: World, seed: int) -> None:
    rng = random.Random(seed)
    holds = [row for _, row in sorted(world.model.named.items())]
    for _ in range(15):
        like = rng.choice(holds)
        names = rng.choice(
            [[], ["account_id"], ["reason"], ["reference_type", "reference_id"], ["account_id", "reason"]]
        )
        wanted = HoldFilter(**{name: like[name] for name in names}, status=like["status"] if names else None)
        limit, newest, step = chosen(rng)
        found = all_pages(
            lambda page, wanted=wanted: queries.holds_page(world.connection, SHARD, wanted, page),
            "placed_seq", limit, newest=newest,
        )  # fmt: skip
        expected = [row for row in holds if all(row[name] == like[name] for name in (*names, "status") if names)]
        assert_same(found, expected[::step])
        latest = [row for row in holds if (row["account_id"], row["hold_id"]) == (like["account_id"], like["hold_id"])]
        one = queries.hold(world.connection, SHARD, like["hold_id"], like["account_id"])
        assert one is not None
        assert_same([one], latest[-1:])
    assert queries.hold(world.connection, SHARD, "none", holds[0]["account_id"]) is None


def test_the_book_in_the_tables_is_the_engines_without_released_losers(world: World) -> None:
    """The best first, and no loser that a sweep has yet to release."""
    for market_id, market in world.engine.state.markets.items():
        book = [world.model.bids[bid.bid_id] for bid in best_first(market.resting, market.round_bids)]
        for most in (1, 3, 1_000):
            assert_same(queries.open_bids(world.connection, SHARD, market_id, most), book[:most])


def test_figures_of_any_period_and_market(world: World, seed: int) -> None:
    rng = random.Random(seed)
    for market_id, _ in product(world.markets, range(10)):
        since, until = sorted(world.moments(rng, 2))
        since -= rng.choice([timedelta(), timedelta(), timedelta(days=1)])
        period = until - since
        calls = [
            row
            for row in sorted(world.model.rounds.values(), key=lambda row: row["seq"])
            if row["market_id"] == market_id and since < row["called_at"] <= until
        ]
        awards = [
            row
            for _, row in sorted(world.model.clears.items())
            if row["market_id"] == market_id and since < row["slot_started_at"] <= until
        ]
        prices = [row["clearing_price_tokens"] for row in awards]
        most = rng.choice([1, 2, 1_000])
        found = queries.stats(world.connection, SHARD, market_id, until, period, most)
        offered, granted = (sum(row[name] for row in calls) for name in ("slots_available", "awards_granted"))
        assert found.since == since
        assert found.totals == queries.Totals(
            len(calls),
            offered,
            granted,
            min(prices, default=None),
            statistics.median(prices) if prices else None,
            max(prices, default=None),
        )
        assert found.fill_rate == (granted / offered if offered else None)
        assert_same(found.rounds, calls[::-1][:most])
        best = sorted(awards, key=lambda row: (-row["clearing_price_tokens"] - row["premium_tokens"], row["award_id"]))
        assert_same(found.top_wins, best[:10])
        interval = timedelta(microseconds=rng.choice([7, 1_000, 10**6, 3 * 10**9]))
        drawn = queries.candles(world.connection, SHARD, market_id, until, period, interval)
        assert drawn == candles_of(calls, awards, interval)


def candles_of(calls: Sequence[Row], awards: Sequence[Row], interval: timedelta) -> list[queries.Candle]:
    """One for each part of time in which there was a call."""

    def opens_at(moment: datetime) -> datetime:
        return EPOCH + (moment - EPOCH) // interval * interval

    drawn = []
    for start in sorted({opens_at(row["called_at"]) for row in calls}):
        within = [row for row in calls if opens_at(row["called_at"]) == start]
        prices = [row["clearing_price_tokens"] for row in awards if opens_at(row["slot_started_at"]) == start]
        drawn.append(
            queries.Candle(
                start,
                len(within),
                sum(row["slots_available"] for row in within),
                sum(row["awards_granted"] for row in within),
                max(row["bids_open"] for row in within),
                prices[0] if prices else None,
                max(prices, default=None),
                min(prices, default=None),
                prices[-1] if prices else None,
            )
        )
    return drawn


def test_replies_are_those_of_the_rows_that_are_there(world: World, seed: int) -> None:
    rng = random.Random(seed)
    seqs = rng.sample(range(1, len(world.rows) + 1), 20)
    found = queries.replies(world.connection, SHARD, [*seqs, 10**9])
    assert found == {
        seq: queries.ReplyRow(seq, world.rows[seq - 1].entry.at_us, world.rows[seq - 1].events) for seq in seqs
    }
    assert queries.replies(world.connection, SHARD, []) == {}


def test_earnings_are_reported_within_their_bounds(world: World, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sums count all reasons, also those that are too many to be named."""
    from callmarket.persistence.queries import earnings

    rng = random.Random(seed)
    for account_id, row in world.model.accounts.items():
        now = rng.choice(world.moments(rng, 5)) + rng.choice([timedelta(), earnings.DAY, earnings.WEEK, earnings.MONTH])
        most = rng.choice([1, 2, 100])
        monkeypatch.setattr(earnings, "REASONS_MAX", most)
        found = queries.earned(world.connection, SHARD, account_id, now)
        assert found is not None
        since = [now - age for age in (earnings.DAY, earnings.WEEK, earnings.MONTH)]
        earned = [move for move in world.model.ledger.values() if move["to_account"] == account_id]
        sums = [sum(move["amount"] for move in earned if move["timestamp"] >= start) for start in since]
        assert [found.day_tokens, found.week_tokens, found.month_tokens] == sums
        assert found.total_earned_tokens == row["total_earned"]
        month = [move for move in earned if move["timestamp"] >= since[2]]
        by_reason = []
        for reason in {move["reason"] for move in month}:
            mine = [move for move in month if move["reason"] == reason]
            tokens = [sum(move["amount"] for move in mine if move["timestamp"] >= start) for start in since]
            by_reason.append(queries.EarnedRow(reason, *tokens, len(mine)))
        by_reason.sort(key=lambda one: (-one.month_tokens, one.reason))
        assert found.by_reason == tuple(by_reason[:most])
