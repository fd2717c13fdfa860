"""Short lists and single answers: wallets, books, rounds, statistics, and why a bid lost.

Rule of this file: every function takes an open connection and costs index look-ups for what it returns, unless it says
otherwise.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from callmarket.engine.ids import BidId
from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence.database.row_factories import row_of
from callmarket.persistence.queries.pages import MOVEMENT, WALLET, wallet_of
from callmarket.persistence.queries.rows import (
    BookAsk,
    BookBid,
    MovementRow,
    OutcomeRow,
    RoundRow,
    Stats,
    TopWinRow,
    Totals,
    WalletRow,
)
from callmarket.persistence.queries.walks import fetched

if TYPE_CHECKING:
    import psycopg


def market_ids(connection: "psycopg.Connection", shard_id: int) -> list[str]:
    """All markets of a shard."""
    rows = connection.execute(
        "SELECT market_id FROM compute_auction_markets WHERE shard_id = %s ORDER BY market_id", (shard_id,)
    ).fetchall()
    return [row[0] for row in rows]


def richest(connection: "psycopg.Connection", shard_id: int, rows_max: int) -> list[WalletRow]:
    """The richest accounts first."""
    query = f"""SELECT {WALLET} FROM token_accounts
        WHERE shard_id = %s ORDER BY balance DESC, account_id LIMIT %s"""  # noqa: S608 -- only the constant is put in
    return _wallets(connection, query, (shard_id, rows_max))


def wallet(connection: "psycopg.Connection", shard_id: int, account_id: str) -> WalletRow | None:
    """One account, None if there is none of this name."""
    query = f"SELECT {WALLET} FROM token_accounts WHERE shard_id = %s AND account_id = %s"  # noqa: S608 -- as above
    rows = _wallets(connection, query, (shard_id, account_id))
    return rows[0] if rows else None


def statement(
    connection: "psycopg.Connection", shard_id: int, account_id: str, rows_max: int, until_seq: int = SEQ_MAX
) -> list[MovementRow]:
    """The latest movements of an account, newest first; with `until_seq`, those of that time: they never change."""
    bound = {"shard": shard_id, "account": account_id, "max": rows_max, "until": until_seq}
    # Two index scans and a merge: one condition with OR would scan the whole ledger.
    query = f"""
        (SELECT {MOVEMENT} FROM token_ledger WHERE shard_id = %(shard)s AND from_account = %(account)s
            AND seq <= %(until)s ORDER BY id DESC LIMIT %(max)s)
        UNION
        (SELECT {MOVEMENT} FROM token_ledger WHERE shard_id = %(shard)s AND to_account = %(account)s
            AND seq <= %(until)s ORDER BY id DESC LIMIT %(max)s)
        ORDER BY transfer_id DESC LIMIT %(max)s"""  # noqa: S608 -- only the constant above is put in
    return fetched(connection, MovementRow, query, bound)


def open_bids(connection: "psycopg.Connection", shard_id: int, market_id: str, rows_max: int) -> list[BookBid]:
    """The best open bids of a market, best first, without losers that a sweep has yet to release."""
    query = """SELECT id AS bid_id, bidder_id, task_id, max_price_tokens, ttl_at, time_in_force
        FROM compute_auction_bids AS bid
        WHERE status = 'open' AND shard_id = %s AND market_id = %s
          AND (time_in_force = 'gtd' OR placed_seq > coalesce((
            SELECT max(seq) FROM compute_auction_rounds AS round
            WHERE round.shard_id = bid.shard_id AND round.market_id = bid.market_id), 0))
        ORDER BY max_price_tokens DESC, priority_seq LIMIT %s"""
    return fetched(connection, BookBid, query, (shard_id, market_id, rows_max))


def offers(connection: "psycopg.Connection", shard_id: int, market_id: str, rows_max: int) -> list[BookAsk]:
    """The slots on offer in a market, in the order of sale (CLR-1)."""
    query = """SELECT slot_id, available_at, reserve_price_tokens, provider_id FROM compute_auction_slots
        WHERE shard_id = %s AND market_id = %s AND status = 'offered'
        ORDER BY reserve_price_tokens, available_at, offer_seq LIMIT %s"""
    return fetched(connection, BookAsk, query, (shard_id, market_id, rows_max))


def rounds(
    connection: "psycopg.Connection", shard_id: int, market_id: str | None, rows_max: int, until_seq: int = SEQ_MAX
) -> list[RoundRow]:
    """The latest calls, newest first, of all markets where none is named; with `until_seq`, those of that time."""
    query = """SELECT market_id, round_no, called_at, slots_available, bids_open, awards_granted, clearing_price_tokens,
          seq FROM compute_auction_rounds WHERE shard_id = %(shard)s
          AND (%(market)s::text IS NULL OR market_id = %(market)s) AND seq <= %(until)s
        ORDER BY called_at DESC, seq DESC LIMIT %(max)s"""
    bound = {"shard": shard_id, "market": market_id, "max": rows_max, "until": until_seq}
    return fetched(connection, RoundRow, query, bound)


def stats(
    connection: "psycopg.Connection",
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
        totals=fetched(connection, Totals, totals, bound)[0],
        rounds=tuple(fetched(connection, RoundRow, latest, bound)),
        top_wins=tuple(fetched(connection, TopWinRow, wins, bound)),
    )


def outcome(connection: "psycopg.Connection", shard_id: int, bid_id: BidId) -> OutcomeRow | None:
    """Why a bid won or lost, None if there is no such bid."""
    query = """SELECT bid_id, bidder_id, market_id, task_id, max_price_tokens, status, round_no, clearing_price_tokens,
          reason FROM bid_outcomes WHERE shard_id = %s AND bid_id = %s"""
    rows = fetched(connection, OutcomeRow, query, (shard_id, bid_id))
    return rows[0] if rows else None


def _wallets(connection: "psycopg.Connection", query: str, values: tuple[Any, ...]) -> list[WalletRow]:
    with connection.cursor(row_factory=row_of(wallet_of)) as cursor:
        return cursor.execute(query.encode(), values).fetchall()
