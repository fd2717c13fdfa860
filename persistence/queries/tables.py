"""Short lists and single answers: wallets, books, rounds, statistics, and why a bid lost.

Rule of this file: every function takes an open connection and costs index look-ups for what it returns, unless it says
otherwise.
"""

from datetime import datetime, timedelta
from typing import Any, TypeVar

import psycopg
from msgspec import Struct
from psycopg.rows import class_row, kwargs_row

from callmarket.engine.limits import SEQ_MAX

R = TypeVar("R")


class AccountRow(Struct, frozen=True):
    """A wallet, for the command line."""

    account_id: str
    kind: str
    balance: int
    held: int
    total_earned: int
    total_spent: int
    updated_at: datetime
    seq: int

    @property
    def available(self) -> int:
        """Balance less holds."""
        return self.balance - self.held


class StatementRow(Struct, frozen=True):
    """One movement of tokens."""

    id: int
    timestamp: datetime
    from_account: str
    to_account: str
    amount: int
    reason: str
    reference_type: str
    reference_id: str
    memo: str
    balance_after_from: int
    balance_after_to: int


class OpenBidRow(Struct, frozen=True):
    """A bid in the book."""

    id: int
    bidder_id: str
    task_id: str
    max_price_tokens: int
    expected_value_usd: float
    ttl_at: datetime | None
    time_in_force: str
    placed_at: datetime


class OfferRow(Struct, frozen=True):
    """A slot on offer."""

    slot_id: str
    available_at: datetime
    reserve_price_tokens: int
    provider_id: str


class RoundRow(Struct, frozen=True):
    """One call of a market."""

    market_id: str
    round_no: int
    called_at: datetime
    slots_available: int
    bids_open: int
    awards_granted: int
    clearing_price_tokens: int | None
    seq: int


class TopWinRow(Struct, frozen=True):
    """A winning bid beside what came of it."""

    award_id: int
    bidder_id: str
    winning_task_id: str
    bid_tokens: int
    clearing_price_tokens: int
    status: str
    actual_cost_tokens: int | None
    actual_impact: float | None


class Totals(Struct, frozen=True):
    """Sums over the rounds of a period. Prices are those that the winners paid, each award counting once."""

    rounds: int
    slots_available: int
    awards_granted: int
    price_min_tokens: int | None
    price_median_tokens: float | None
    price_max_tokens: int | None


class Stats(Struct, frozen=True):
    """What a market did in a period."""

    since: datetime
    totals: Totals
    rounds: tuple[RoundRow, ...]
    top_wins: tuple[TopWinRow, ...]

    @property
    def fill_rate(self) -> float | None:
        """Awards per slot on offer at a call, over all calls of the period; None if nothing was offered."""
        totals = self.totals
        return totals.awards_granted / totals.slots_available if totals.slots_available else None


class OutcomeRow(Struct, frozen=True):
    """Where a bid stands, and why, in words."""

    bid_id: int
    bidder_id: str
    market_id: str
    task_id: str
    max_price_tokens: int
    status: str
    round_no: int | None
    clearing_price_tokens: int | None
    reason: str


def market_ids(connection: psycopg.Connection, shard_id: int) -> list[str]:
    """All markets of a shard."""
    rows = connection.execute(
        "SELECT market_id FROM compute_auction_markets WHERE shard_id = %s ORDER BY market_id", (shard_id,)
    ).fetchall()
    return [row[0] for row in rows]


def accounts(connection: psycopg.Connection, shard_id: int, rows_max: int) -> list[AccountRow]:
    """The richest accounts first."""
    query = """SELECT account_id, kind, balance, held, total_earned, total_spent, updated_at, seq FROM token_accounts
        WHERE shard_id = %s ORDER BY balance DESC, account_id LIMIT %s"""
    return _accounts(connection, query, (shard_id, rows_max))


def account(connection: psycopg.Connection, shard_id: int, account_id: str) -> AccountRow | None:
    """One account, None if there is none of this name."""
    query = """SELECT account_id, kind, balance, held, total_earned, total_spent, updated_at, seq FROM token_accounts
        WHERE shard_id = %s AND account_id = %s"""
    rows = _accounts(connection, query, (shard_id, account_id))
    return rows[0] if rows else None


def statement(
    connection: psycopg.Connection, shard_id: int, account_id: str, rows_max: int, until_seq: int = SEQ_MAX
) -> list[StatementRow]:
    """The latest movements of an account, newest first; with `until_seq`, those of that time: they never change."""
    columns = """id, "timestamp", from_account, to_account, amount, reason, reference_type, reference_id, memo,
        balance_after_from, balance_after_to"""
    bound = {"shard": shard_id, "account": account_id, "max": rows_max, "until": until_seq}
    # Two index scans and a merge: one condition with OR would scan the whole ledger.
    query = f"""
        (SELECT {columns} FROM token_ledger WHERE shard_id = %(shard)s AND from_account = %(account)s
            AND seq <= %(until)s ORDER BY id DESC LIMIT %(max)s)
        UNION
        (SELECT {columns} FROM token_ledger WHERE shard_id = %(shard)s AND to_account = %(account)s
            AND seq <= %(until)s ORDER BY id DESC LIMIT %(max)s)
        ORDER BY id DESC LIMIT %(max)s"""  # noqa: S608 -- only the constant above is put in
    return _rows(connection, StatementRow, query, bound)


def open_bids(connection: psycopg.Connection, shard_id: int, market_id: str, rows_max: int) -> list[OpenBidRow]:
    """The best open bids of a market, best first, without losers that a sweep has yet to release."""
    query = """SELECT id, bidder_id, task_id, max_price_tokens, expected_value_usd::float8 AS expected_value_usd,
        ttl_at, time_in_force, placed_at FROM compute_auction_bids AS bid
        WHERE status = 'open' AND shard_id = %s AND market_id = %s
          AND (time_in_force = 'gtd' OR placed_seq > coalesce((
            SELECT max(seq) FROM compute_auction_rounds AS round
            WHERE round.shard_id = bid.shard_id AND round.market_id = bid.market_id), 0))
        ORDER BY max_price_tokens DESC, priority_seq LIMIT %s"""
    return _rows(connection, OpenBidRow, query, (shard_id, market_id, rows_max))


def offers(connection: psycopg.Connection, shard_id: int, market_id: str, rows_max: int) -> list[OfferRow]:
    """The slots on offer in a market, in the order of sale (CLR-1)."""
    query = """SELECT slot_id, available_at, reserve_price_tokens, provider_id FROM compute_auction_slots
        WHERE shard_id = %s AND market_id = %s AND status = 'offered'
        ORDER BY reserve_price_tokens, available_at, offer_seq LIMIT %s"""
    return _rows(connection, OfferRow, query, (shard_id, market_id, rows_max))


def rounds(
    connection: psycopg.Connection, shard_id: int, market_id: str | None, rows_max: int, until_seq: int = SEQ_MAX
) -> list[RoundRow]:
    """The latest calls, newest first, of all markets where none is named; with `until_seq`, those of that time."""
    query = """SELECT market_id, round_no, called_at, slots_available, bids_open, awards_granted, clearing_price_tokens,
          seq FROM compute_auction_rounds WHERE shard_id = %(shard)s
          AND (%(market)s::text IS NULL OR market_id = %(market)s) AND seq <= %(until)s
        ORDER BY called_at DESC, seq DESC LIMIT %(max)s"""
    bound = {"shard": shard_id, "market": market_id, "max": rows_max, "until": until_seq}
    return _rows(connection, RoundRow, query, bound)


def stats(
    connection: psycopg.Connection,
    shard_id: int,
    market_id: str,
    until: datetime,
    period: timedelta = timedelta(hours=24),
    rows_max: int = 1_000,
) -> Stats:
    """Prices paid, fill rate and the ten best winning bids beside their impact, for a period up to `until`.

    Costs the rounds and awards of the period.
    """
    since = until - period
    bound = {"shard": shard_id, "market": market_id, "since": since, "until": until, "max": rows_max}
    of_market = "shard_id = %(shard)s AND market_id = %(market)s"
    called = f"{of_market} AND called_at > %(since)s AND called_at <= %(until)s"
    awarded = f"{of_market} AND slot_started_at > %(since)s AND slot_started_at <= %(until)s"
    totals = f"""SELECT * FROM
        (SELECT count(*) AS rounds, coalesce(sum(slots_available), 0)::bigint AS slots_available,
           coalesce(sum(awards_granted), 0)::bigint AS awards_granted
         FROM compute_auction_rounds WHERE {called}) AS calls,
        (SELECT min(clearing_price_tokens) AS price_min_tokens, max(clearing_price_tokens) AS price_max_tokens,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY clearing_price_tokens) AS price_median_tokens
         FROM compute_auction_clears WHERE {awarded}) AS paid"""  # noqa: S608 -- only the constants above are put in
    latest = f"""SELECT market_id, round_no, called_at, slots_available, bids_open, awards_granted,
          clearing_price_tokens, seq FROM compute_auction_rounds WHERE {called}
        ORDER BY called_at DESC, seq DESC LIMIT %(max)s"""  # noqa: S608 -- only the constants above are put in
    wins = f"""SELECT award_id, bidder_id, winning_task_id, clearing_price_tokens + premium_tokens AS bid_tokens,
          clearing_price_tokens, status, actual_cost_tokens, actual_impact::float8 AS actual_impact
        FROM compute_auction_clears WHERE {awarded}
        ORDER BY bid_tokens DESC, award_id LIMIT 10"""  # noqa: S608 -- only the constants above are put in
    return Stats(
        since=since,
        totals=_rows(connection, Totals, totals, bound)[0],
        rounds=tuple(_rows(connection, RoundRow, latest, bound)),
        top_wins=tuple(_rows(connection, TopWinRow, wins, bound)),
    )


def outcome(connection: psycopg.Connection, shard_id: int, bid_id: int) -> OutcomeRow | None:
    """Why a bid won or lost, None if there is no such bid."""
    query = """SELECT bid_id, bidder_id, market_id, task_id, max_price_tokens, status, round_no, clearing_price_tokens,
          reason FROM bid_outcomes WHERE shard_id = %s AND bid_id = %s"""
    rows = _rows(connection, OutcomeRow, query, (shard_id, bid_id))
    return rows[0] if rows else None


def _accounts(connection: psycopg.Connection, query: str, values: tuple[Any, ...]) -> list[AccountRow]:
    with connection.cursor(row_factory=kwargs_row(_account)) as cursor:
        return cursor.execute(query.encode(), values).fetchall()


def _account(**columns: Any) -> AccountRow:
    # The totals are numeric: they may pass the end of a bigint. They are whole.
    for name in ("total_earned", "total_spent"):
        columns[name] = int(columns[name])
    return AccountRow(**columns)


def _rows(
    connection: psycopg.Connection, kind: type[R], query: str, values: tuple[Any, ...] | dict[str, Any]
) -> list[R]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        # The queries are this file's own constants; what varies goes in as parameters.
        return cursor.execute(query, values).fetchall()
