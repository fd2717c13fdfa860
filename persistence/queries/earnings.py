"""What an account was credited with, summed by reason, and since when a movement is recent.

Rule of this file: the sums cost the credits of the longest period, found by an index; nothing costs the whole ledger.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from callmarket.persistence.database.row_factories import row_of

if TYPE_CHECKING:
    import psycopg


DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
MONTH: Final = timedelta(days=30)

# Reasons are anybody's words, so an answer names this many: those that earned most in the last thirty days.
REASONS_MAX: Final = 100


class EarnedRow(Struct, frozen=True):
    """What was credited for one reason in the last 24 hours, 7 days and 30 days, and how often in those 30 days."""

    reason: str
    day_tokens: int
    week_tokens: int
    month_tokens: int
    month_credits: int


class Earned(Struct, frozen=True):
    """What an account was credited with: ever, in three periods, and in the same periods by reason.

    The reasons are those that earned most first, a hundred at the most; the sums count all.
    """

    total_earned_tokens: int
    day_tokens: int
    week_tokens: int
    month_tokens: int
    by_reason: tuple[EarnedRow, ...]


def first_movement_since(connection: "psycopg.Connection", shard_id: int, since: datetime) -> int:
    """The id of the first movement at `since` or later; the next id to come where there is none.

    Ids count from 1 without a gap and times never fall along them, so it is halved to by the primary key alone: some
    twenty look-ups in a million rows, and no second index that every movement would have to pay for.
    """
    query = """WITH RECURSIVE search (low, high) AS (
            SELECT 1::bigint, coalesce((SELECT max(id) FROM token_ledger WHERE shard_id = %(shard)s), 0) + 1
            UNION ALL
            SELECT CASE WHEN late THEN low ELSE middle + 1 END, CASE WHEN late THEN middle ELSE high END
            FROM (SELECT low, high, (low + high) / 2 AS middle FROM search WHERE low < high) AS half
            CROSS JOIN LATERAL (SELECT "timestamp" >= %(since)s AS late FROM token_ledger
                WHERE shard_id = %(shard)s AND id >= middle ORDER BY id LIMIT 1) AS found
        ) SELECT low FROM search WHERE low = high"""
    row = connection.execute(query, {"shard": shard_id, "since": since}).fetchone()
    assert row is not None, "the halves meet"
    return int(row[0])


def earned(connection: "psycopg.Connection", shard_id: int, account_id: str, now: datetime) -> Earned | None:
    """What an account was credited with up to `now`; None if there is no such account. O(its credits of 30 days)."""
    query = "SELECT total_earned FROM token_accounts WHERE shard_id = %s AND account_id = %s"
    account = connection.execute(query, (shard_id, account_id)).fetchone()
    if account is None:
        return None
    first = first_movement_since(connection, shard_id, now - MONTH)
    query = """SELECT reason, day_tokens, week_tokens, month_tokens, month_credits,
            sum(day_tokens) OVER () AS day_all, sum(week_tokens) OVER () AS week_all,
            sum(month_tokens) OVER () AS month_all
        FROM (SELECT reason,
                coalesce(sum(amount) FILTER (WHERE "timestamp" >= %(day)s), 0) AS day_tokens,
                coalesce(sum(amount) FILTER (WHERE "timestamp" >= %(week)s), 0) AS week_tokens,
                sum(amount) AS month_tokens, count(*) AS month_credits
            FROM token_ledger WHERE shard_id = %(shard)s AND to_account = %(account)s AND id >= %(first)s
            GROUP BY reason) AS reasons
        ORDER BY month_tokens DESC, reason LIMIT %(max)s"""
    bound = {"shard": shard_id, "account": account_id, "first": first, "day": now - DAY, "week": now - WEEK}
    with connection.cursor(row_factory=row_of(dict[str, Any])) as cursor:
        rows = cursor.execute(query, bound | {"max": REASONS_MAX}).fetchall()
    every = rows[0] if rows else {"day_all": 0, "week_all": 0, "month_all": 0}
    # Sums are numeric in SQL and whole.
    return Earned(
        total_earned_tokens=int(account[0]),
        day_tokens=int(every["day_all"]),
        week_tokens=int(every["week_all"]),
        month_tokens=int(every["month_all"]),
        by_reason=tuple(
            EarnedRow(
                row["reason"],
                int(row["day_tokens"]),
                int(row["week_tokens"]),
                int(row["month_tokens"]),
                row["month_credits"],
            )
            for row in rows
        ),
    )
