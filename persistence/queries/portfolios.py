"""What accounts did in artifact markets, day by day, and what they earned where artifacts were judged.

Rule of this file: facts, read-only, by an index; what they say of an account is reckoned by `bridge/api/portfolio`. A
question costs what happened since the day that it begins with, not the past before it. Days are of UTC, from 1970.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from callmarket.engine.capital.average import Average
from callmarket.engine.capital.commands import Side
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.reasons import CAPITAL_SETTLE, CAPITAL_SUBSIDY, CAPITAL_TRADE
from callmarket.persistence.database.row_factories import row_of
from callmarket.persistence.queries.earnings import first_movement_since

if TYPE_CHECKING:
    import psycopg

R = TypeVar("R")

_DAY: Final = "floor(extract(epoch FROM {}) / 86400)::int"
# Artifacts that somebody outside their market has judged. A void market says nothing, and one that closed by itself was
# settled by its own price (STL-5).
_JUDGED: Final = "('validated', 'flagged', 'deprecated')"


class CashRow(Struct, frozen=True):
    """An account: its wallet, its purse, and what its resting orders have of a started token, in microtokens.

    `first_day` is the day of its first trade, None if it never traded.
    """

    account_id: str
    cash_micros: int
    first_day: int | None


class SharesRow(Struct, frozen=True):
    """The shares that an account has now of a side of an artifact."""

    account_id: str
    artifact_id: str
    side: Side
    shares_micros: int


class TradedRow(Struct, frozen=True):
    """What an account's trades and settlements in one side of an artifact did in a day: shares and microtokens."""

    account_id: str
    day: int
    artifact_id: str
    side: Side
    shares_micros: int
    tokens_micros: int


class MovedRow(Struct, frozen=True):
    """Tokens that an account got in a day for anything but artifact markets, and that it gave."""

    account_id: str
    day: int
    in_tokens: int
    out_tokens: int


class RealisedRow(Struct, frozen=True):
    """What an account has realised up to a journal row, by closes and settlements, and how its positions have ended."""

    realised_micros: int
    closed: int
    settled_profit: int
    settled_loss: int
    cancelled: int


class LeaderRow(Struct, frozen=True):
    """What an account realised in artifacts that were judged: how many, the sum, and the sum of squares of each."""

    account_id: str
    artifacts: int
    profit_micros: int
    squares: int


class ForecastRow(Struct, frozen=True):
    """A trade in an artifact that was judged, and what long was worth in the end."""

    artifact_id: str
    price_before_micros: int
    price_after_micros: int
    settle_price_micros: int


def cash(connection: "psycopg.Connection", shard_id: int, account_ids: Sequence[str]) -> list[CashRow]:
    """The accounts of these that there are. O(their resting orders)."""
    query = f"""SELECT account.account_id,
            account.balance * 1000000::numeric + coalesce(purse.purse_micros, 0) + (
                SELECT coalesce(sum(mod(left_micros, 1000000)), 0) FROM market_orders AS resting
                WHERE resting.shard_id = account.shard_id AND resting.account_id = account.account_id
                    AND resting.status = 'open' AND resting.effect = 'open') AS cash_micros,
            (SELECT {_DAY.format("filled_at")} FROM market_fills AS fill
             WHERE fill.shard_id = account.shard_id AND fill.account_id = account.account_id
             ORDER BY filled_seq LIMIT 1) AS first_day
        FROM token_accounts AS account LEFT JOIN account_purses AS purse USING (shard_id, account_id)
        WHERE account.shard_id = %(shard)s AND account.account_id = ANY(%(accounts)s)"""  # noqa: S608 -- made of constants of this file, as all below
    rows = _fetch(connection, _Cash, query, {"shard": shard_id, "accounts": list(account_ids)})
    # Sums are numeric in SQL and whole.
    return [CashRow(row.account_id, int(row.cash_micros), row.first_day) for row in rows]


class _Cash(Struct, frozen=True):
    account_id: str
    cash_micros: Any
    first_day: int | None


def shares(connection: "psycopg.Connection", shard_id: int, account_ids: Sequence[str]) -> list[SharesRow]:
    """What these accounts have of each side. O(their open positions)."""
    query = """SELECT account_id, artifact_id, side, sum(shares_micros)::bigint AS shares_micros
        FROM artifact_positions
        WHERE shard_id = %(shard)s AND account_id = ANY(%(accounts)s) AND status = 'open'
        GROUP BY account_id, artifact_id, side"""
    return _fetch(connection, SharesRow, query, {"shard": shard_id, "accounts": list(account_ids)})


def traded_since(
    connection: "psycopg.Connection", shard_id: int, account_ids: Sequence[str], since: datetime
) -> list[TradedRow]:
    """What the trades and settlements of each day did, up to now. O(fills of these accounts since then)."""
    day, settled_day = _DAY.format("fill.filled_at"), _DAY.format("settled_at")
    # An account's fills in the order of their rows are in that of their times: those before `since` are not read.
    query = f"""SELECT account_id, day, artifact_id, side, sum(shares)::bigint AS shares_micros,
            sum(tokens)::bigint AS tokens_micros
        FROM (
            SELECT fill.account_id, {day} AS day, fill.artifact_id, fill.side,
                CASE fill.effect WHEN 'open' THEN fill.shares_micros ELSE -fill.shares_micros END AS shares,
                CASE fill.effect WHEN 'open' THEN -fill.tokens_micros ELSE fill.tokens_micros - fill.fee_micros END
                    AS tokens
            FROM unnest(%(accounts)s::text[]) AS one (account_id)
            CROSS JOIN LATERAL (SELECT coalesce((SELECT filled_seq FROM market_fills AS older
                WHERE older.shard_id = %(shard)s AND older.account_id = one.account_id
                    AND older.filled_at < %(since)s ORDER BY filled_seq DESC LIMIT 1), 0) AS seq) AS before
            JOIN market_fills AS fill ON fill.shard_id = %(shard)s AND fill.account_id = one.account_id
                AND fill.filled_seq > before.seq
            UNION ALL
            SELECT account_id, {settled_day}, artifact_id, side, -shares_micros, settlement_micros
            FROM artifact_positions
            WHERE shard_id = %(shard)s AND account_id = ANY(%(accounts)s) AND settled_at >= %(since)s
        ) AS part GROUP BY account_id, day, artifact_id, side"""  # noqa: S608
    return _fetch(connection, TradedRow, query, {"shard": shard_id, "accounts": list(account_ids), "since": since})


def moved_since(
    connection: "psycopg.Connection", shard_id: int, account_ids: Sequence[str], since: datetime
) -> list[MovedRow]:
    """What came and went each day up to now, but by trades. O(movements of these accounts since then)."""
    first = first_movement_since(connection, shard_id, since)
    query = f"""SELECT account_id, day, sum(came)::bigint AS in_tokens, sum(went)::bigint AS out_tokens
        FROM (
            SELECT to_account AS account_id, {_DAY.format('"timestamp"')} AS day, amount AS came, 0 AS went
            FROM token_ledger WHERE shard_id = %(shard)s AND to_account = ANY(%(accounts)s) AND id >= %(first)s
                AND reason <> ALL(%(capital)s)
            UNION ALL
            SELECT from_account, {_DAY.format('"timestamp"')}, 0, amount
            FROM token_ledger WHERE shard_id = %(shard)s AND from_account = ANY(%(accounts)s) AND id >= %(first)s
                AND reason <> ALL(%(capital)s)
        ) AS part GROUP BY account_id, day"""  # noqa: S608
    values = {
        "shard": shard_id,
        "accounts": list(account_ids),
        "first": first,
        "capital": [CAPITAL_TRADE, CAPITAL_SETTLE, CAPITAL_SUBSIDY],
    }
    return _fetch(connection, MovedRow, query, values)


def prices_at(
    connection: "psycopg.Connection", shard_id: int, wanted: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """The average price of long of artifacts at the end of days, in millionths (PRC-1).

    That of the last trade before, and how long the price after it was in force: not while the market was frozen or
    announced. Each costs two look-ups: 20 us.
    """
    query = """SELECT wanted.artifact_id, wanted.day, trade.price, trade.average,
            extract(epoch FROM wanted.until - trade.at - coalesce((
                SELECT sum(least(next_at, wanted.until) - greatest(entered_at, trade.at)) FROM (
                    SELECT state, entered_at,
                        lead(entered_at, 1, 'infinity') OVER (ORDER BY entered_seq) AS next_at
                    FROM artifact_states AS state
                    WHERE state.shard_id = %(shard)s AND state.artifact_id = wanted.artifact_id
                        AND state.entered_at < wanted.until) AS stood
                WHERE stood.state IN ('challenged', 'announced') AND stood.next_at > trade.at), interval '0')
            ) * 1000000 AS waited_us
        FROM (SELECT artifact_id, day, timestamptz 'epoch' + (day + 1) * interval '86400 seconds' AS until
              FROM unnest(%(artifacts)s::text[], %(days)s::int[]) AS pair (artifact_id, day)) AS wanted
        CROSS JOIN LATERAL (
            SELECT traded_at AS at, price_after_micros AS price, average_price_micros AS average
            FROM market_trades AS trade
            WHERE trade.shard_id = %(shard)s AND trade.artifact_id = wanted.artifact_id
                AND trade.traded_at < wanted.until
            ORDER BY traded_at DESC, seq DESC LIMIT 1) AS trade"""
    values = {"shard": shard_id, "artifacts": [name for name, _ in wanted], "days": [day for _, day in wanted]}
    # An average begins at one half. The power is the engine's own, which is quicker than that of numeric.
    return dict.fromkeys(wanted, MICRO // 2) | {
        (row.artifact_id, row.day): Average.begin(row.average, 0).at(int(row.waited_us), row.price).micros
        for row in _fetch(connection, _Price, query, values)
    }


class _Price(Struct, frozen=True):
    artifact_id: str
    day: int
    price: int
    average: int
    waited_us: Any


def realised(connection: "psycopg.Connection", shard_id: int, account_id: str, seq: int) -> RealisedRow:
    """What an account has realised up to row `seq`, of tables that may have later ones. O(all its positions)."""
    query = """SELECT
            (SELECT coalesce(sum(realised_micros), 0)
                    - coalesce(sum(settlement_micros - cost_micros) FILTER (WHERE seq > %(seq)s), 0)
                FROM artifact_positions WHERE shard_id = %(shard)s AND account_id = %(account)s)
            - (SELECT coalesce(sum(realised_micros), 0) FROM market_fills
                WHERE shard_id = %(shard)s AND account_id = %(account)s AND filled_seq > %(seq)s) AS realised_micros,
            count(*) FILTER (WHERE status = 'closed') AS closed,
            count(*) FILTER (WHERE status = 'settled_profit') AS settled_profit,
            count(*) FILTER (WHERE status = 'settled_loss') AS settled_loss,
            count(*) FILTER (WHERE status = 'cancelled') AS cancelled
        FROM artifact_positions
        WHERE shard_id = %(shard)s AND account_id = %(account)s AND status <> 'open' AND seq <= %(seq)s"""
    (row,) = _fetch(connection, RealisedRow, query, {"shard": shard_id, "account": account_id, "seq": seq})
    return msgspec.structs.replace(row, realised_micros=int(row.realised_micros))


def leaders(
    connection: "psycopg.Connection",
    shard_id: int,
    order: Literal["profit", "bits"],
    since: datetime,
    artifacts_min: int,
    limit: int,
) -> list[LeaderRow]:
    """The accounts that did best in artifacts that were judged and paid since then; equals by name.

    Of those with `artifacts_min` of these artifacts. An artifact counts with all that an account realised in it, also
    with what it sold before; so selling what goes wrong makes nobody look good. Costs all positions or trades in them.
    """
    profit = """SELECT account_id, artifact_id, sum(realised_micros) AS profit, sum(realised_micros) AS score
        FROM judged JOIN artifact_positions USING (shard_id, artifact_id) GROUP BY account_id, artifact_id"""
    # Which come first; what each has exactly is reckoned from its trades.
    bits = """SELECT account_id, artifact_id, 0 AS profit, sum(
            settle_price_micros * ln(price_after_micros::float8 / price_before_micros)
            + (1000000 - settle_price_micros)
                * ln((1000000 - price_after_micros)::float8 / (1000000 - price_before_micros)))::numeric AS score
        FROM judged JOIN market_trades USING (shard_id, artifact_id) GROUP BY account_id, artifact_id"""
    query = f"""WITH judged AS (
            SELECT shard_id, artifact_id, settle_price_micros FROM artifact_markets
            WHERE shard_id = %(shard)s AND status = 'settled' AND settled_as IN {_JUDGED} AND closed_at >= %(since)s
        ), parts AS ({profit if order == "profit" else bits})
        SELECT account_id, count(*) AS artifacts, sum(profit) AS profit_micros, sum(profit * profit) AS squares
        FROM parts GROUP BY account_id HAVING count(*) >= %(least)s
        ORDER BY sum(score) DESC, account_id LIMIT %(limit)s"""  # noqa: S608
    values = {"shard": shard_id, "since": since, "least": artifacts_min, "limit": limit}
    return [
        LeaderRow(row.account_id, row.artifacts, int(row.profit_micros), int(row.squares))
        for row in _fetch(connection, LeaderRow, query, values)
    ]


def judged_profit(
    connection: "psycopg.Connection", shard_id: int, account_ids: Sequence[str], since: datetime
) -> list[LeaderRow]:
    """The same of these accounts, in the order of their names; of those that had positions in such artifacts."""
    query = f"""SELECT account_id, count(*) AS artifacts, sum(profit) AS profit_micros, sum(profit * profit) AS squares
        FROM (SELECT position.account_id, position.artifact_id, sum(position.realised_micros) AS profit
            FROM artifact_positions AS position JOIN artifact_markets AS market USING (shard_id, artifact_id)
            WHERE position.shard_id = %(shard)s AND position.account_id = ANY(%(accounts)s)
                AND market.status = 'settled' AND market.settled_as IN {_JUDGED} AND market.closed_at >= %(since)s
            GROUP BY position.account_id, position.artifact_id) AS parts
        GROUP BY account_id ORDER BY account_id"""  # noqa: S608
    values = {"shard": shard_id, "accounts": list(account_ids), "since": since}
    return [
        LeaderRow(row.account_id, row.artifacts, int(row.profit_micros), int(row.squares))
        for row in _fetch(connection, LeaderRow, query, values)
    ]


def forecasts(
    connection: "psycopg.Connection", shard_id: int, account_id: str, since: datetime, limit: int
) -> list[ForecastRow]:
    """An account's trades in artifacts that were judged and paid since then, the newest first. O(all its trades)."""
    query = f"""SELECT trade.artifact_id, trade.price_before_micros, trade.price_after_micros,
            market.settle_price_micros
        FROM market_trades AS trade JOIN artifact_markets AS market USING (shard_id, artifact_id)
        WHERE trade.shard_id = %(shard)s AND trade.account_id = %(account)s
            AND market.status = 'settled' AND market.settled_as IN {_JUDGED} AND market.closed_at >= %(since)s
        ORDER BY trade.seq DESC LIMIT %(limit)s"""  # noqa: S608
    values = {"shard": shard_id, "account": account_id, "since": since, "limit": limit}
    return _fetch(connection, ForecastRow, query, values)


def account_exists(connection: "psycopg.Connection", shard_id: int, account_id: str) -> bool:
    """Whether there is such an account."""
    query = "SELECT FROM token_accounts WHERE shard_id = %s AND account_id = %s"
    return connection.execute(query, (shard_id, account_id)).fetchone() is not None


def _fetch(connection: "psycopg.Connection", kind: type[R], query: str, values: dict[str, Any]) -> list[R]:
    with connection.cursor(row_factory=row_of(kind)) as cursor:
        return cursor.execute(query.encode(), values).fetchall()
