"""Artifact markets as lists that go on and single answers: markets, states, positions, orders, trades, fills, prices.

Rule of this file: that of `pages`: each query is one walk of an index for each status asked for, of `limit` rows at
most, whatever page it is.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, get_args

from callmarket.engine.capital.events import OrderStatus, PositionStatus
from callmarket.engine.capital.market import MarketStatus
from callmarket.engine.ids import OrderId, PositionId
from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence.queries.artifact_rows import (
    ArtifactMarketRow,
    ArtifactStateRow,
    FillRow,
    OrderRow,
    PositionRow,
    PriceCandle,
    TradeRow,
)
from callmarket.persistence.queries.rows import Paging
from callmarket.persistence.queries.walks import bound_of, direction, fetched, walk, walks

if TYPE_CHECKING:
    import psycopg

_MARKET: Final = """artifact_id, status, status_at, due_at, announced_as, announced_price_micros, settled_as,
    settle_price_micros, settled_at, closed_at, opened_at, closes_at, subsidy_tokens, exit_fee_ppm, exposure_limit_ppm,
    decay_ppm, decay_floor_ppm, dispute_window_us, arbiter_id, price_micros, (
        SELECT now.average_price_micros FROM artifact_prices AS now
        WHERE now.shard_id = artifact_markets.shard_id AND now.artifact_id = artifact_markets.artifact_id
    ) AS average_price_micros, subsidy_micros, long_micros, short_micros, pool_micros, fees_micros, returned_micros,
    paid_micros, remainder_micros, funds_micros, positions_open, orders_open, trades, volume_micros, seq"""
_STATE: Final = """artifact_id, entered_seq, state, announced_as, price_micros, average_price_micros, until_at,
    entered_at"""
_POSITION: Final = """id AS position_id, account_id, artifact_id, side, status, tokens_committed, bought_micros,
    paid_micros, shares_micros, cost_micros, realised_micros, (entry_price * 1000000)::bigint AS entry_price_micros,
    settlement_price_micros, settlement_micros, settled_at, opened_at, traded_at"""
_ORDER: Final = """order_id, account_id, artifact_id, position_id, side, effect, status, limit_price_micros,
    rested_micros, left_micros, filled_shares_micros, filled_tokens_micros, fee_micros, realised_micros,
    returned_micros, rested_at, expires_at, ended_at"""
_TRADE: Final = """order_id, seq, traded_at, artifact_id, account_id, position_id, side, effect, shares_micros,
    tokens_micros, fee_micros, realised_micros, fill_orders, fill_shares_micros, fill_tokens_micros,
    price_before_micros, price_after_micros, average_price_micros, long_micros, short_micros, subsidy_micros,
    pool_micros, fees_micros, loss_bound_micros"""
_FILL: Final = """order_id, filled_seq, filled_at, account_id, artifact_id, position_id, side, effect, shares_micros,
    tokens_micros, fee_micros, realised_micros"""

# Intervals are counted from the epoch, so that those of two questions are the same.
_CANDLES: Final = """SELECT date_bin(%(interval)s, traded_at, 'epoch'::timestamptz) AS opens_at, count(*) AS trades,
      sum(tokens_micros)::bigint AS volume_micros,
      (array_agg(price_before_micros ORDER BY seq))[1] AS open_price_micros,
      max(greatest(price_before_micros, price_after_micros)) AS high_price_micros,
      min(least(price_before_micros, price_after_micros)) AS low_price_micros,
      (array_agg(price_after_micros ORDER BY seq DESC))[1] AS close_price_micros,
      (array_agg(average_price_micros ORDER BY seq DESC))[1] AS average_price_micros
    FROM market_trades
    WHERE shard_id = %(shard)s AND artifact_id = %(artifact)s AND traded_at > %(since)s AND traded_at <= %(until)s
    GROUP BY opens_at ORDER BY opens_at"""


def artifact_market(connection: "psycopg.Connection", shard_id: int, artifact_id: str) -> ArtifactMarketRow | None:
    """The market of an artifact, None if there is none."""
    query = f"SELECT {_MARKET} FROM artifact_markets WHERE shard_id = %s AND artifact_id = %s"  # noqa: S608
    rows = fetched(connection, ArtifactMarketRow, query, (shard_id, artifact_id))
    return rows[0] if rows else None


def artifact_markets_page(
    connection: "psycopg.Connection", shard_id: int, status: MarketStatus | None, page: Paging
) -> list[ArtifactMarketRow]:
    """Markets by name, all or those of a status."""
    assert not page.newest, "artifacts have names, not ages"
    owner = "true" if status is None else "status = %(status)s"
    query = walk(_MARKET, "artifact_markets", owner, "artifact_id", page)
    bound = bound_of(shard_id, page) | {"floor": page.after or "", "status": status}
    return fetched(connection, ArtifactMarketRow, query, bound)


def artifact_states_page(
    connection: "psycopg.Connection", shard_id: int, artifact_id: str, page: Paging
) -> list[ArtifactStateRow]:
    """The states that an artifact came into, by the journal row that led to each."""
    query = walk(_STATE, "artifact_states", "artifact_id = %(artifact)s", "entered_seq", page)
    return fetched(connection, ArtifactStateRow, query, bound_of(shard_id, page) | {"artifact": artifact_id})


def position(connection: "psycopg.Connection", shard_id: int, position_id: PositionId) -> PositionRow | None:
    """One position, None if there is none of this id."""
    query = f"SELECT {_POSITION} FROM artifact_positions WHERE shard_id = %s AND id = %s"  # noqa: S608
    rows = fetched(connection, PositionRow, query, (shard_id, position_id))
    return rows[0] if rows else None


def positions_page(
    connection: "psycopg.Connection",
    shard_id: int,
    account_id: str | None,
    artifact_id: str | None,
    statuses: Sequence[PositionStatus],
    page: Paging,
) -> list[PositionRow]:
    """Positions of an account, else of an artifact, by id; no statuses are all of them.

    With both named it walks the account's positions and passes over those in other artifacts.
    """
    bound = bound_of(shard_id, page) | {"account": account_id, "artifact": artifact_id}
    bound["statuses"] = list(statuses or get_args(PositionStatus))
    query = walks(_POSITION, "artifact_positions", _owner(account_id, artifact_id), ("id", "position_id"), page)
    return fetched(connection, PositionRow, query, bound)


def order(connection: "psycopg.Connection", shard_id: int, order_id: OrderId) -> OrderRow | None:
    """One order that rested, None if none of this id did."""
    query = f"SELECT {_ORDER} FROM market_orders WHERE shard_id = %s AND order_id = %s"  # noqa: S608
    rows = fetched(connection, OrderRow, query, (shard_id, order_id))
    return rows[0] if rows else None


def orders_page(
    connection: "psycopg.Connection",
    shard_id: int,
    account_id: str | None,
    artifact_id: str | None,
    statuses: Sequence[OrderStatus],
    page: Paging,
) -> list[OrderRow]:
    """Orders that rested, as `positions_page`."""
    bound = bound_of(shard_id, page) | {"account": account_id, "artifact": artifact_id}
    bound["statuses"] = list(statuses or get_args(OrderStatus))
    query = walks(_ORDER, "market_orders", _owner(account_id, artifact_id), ("order_id", "order_id"), page)
    return fetched(connection, OrderRow, query, bound)


def trade(connection: "psycopg.Connection", shard_id: int, order_id: OrderId) -> TradeRow | None:
    """The receipt of an order, None if it did not trade when it came."""
    query = f"SELECT {_TRADE} FROM market_trades WHERE shard_id = %s AND order_id = %s"  # noqa: S608
    rows = fetched(connection, TradeRow, query, (shard_id, order_id))
    return rows[0] if rows else None


def trades_page(
    connection: "psycopg.Connection",
    shard_id: int,
    account_id: str | None,
    artifact_id: str | None,
    page: Paging,
    until_seq: int = SEQ_MAX,
) -> list[TradeRow]:
    """Receipts by journal row, of an account, else of an artifact; with `until_seq`, those of that time.

    The oldest first and after a row, they are what came since. With both named it walks the account's.
    """
    bound = bound_of(shard_id, page) | {"account": account_id, "artifact": artifact_id, "until": until_seq}
    owner = f"{_owner(account_id, artifact_id)} AND seq <= %(until)s"
    return fetched(connection, TradeRow, walk(_TRADE, "market_trades", owner, "seq", page), bound)


def fills_page(
    connection: "psycopg.Connection",
    shard_id: int,
    account_id: str,
    limit: int,
    after: tuple[int, OrderId] | None,
    *,
    newest: bool = True,
) -> list[FillRow]:
    """What the orders of an account bought and sold, by journal row and order, after such a pair."""
    page = Paging(limit, None, newest)
    end = after or ((SEQ_MAX + 1, 0) if newest else (0, 0))
    query = f"""SELECT {_FILL} FROM market_fills WHERE shard_id = %(shard)s AND account_id = %(account)s
        AND (filled_seq, order_id) {"<" if newest else ">"} (%(seq)s, %(order)s)
        ORDER BY filled_seq {direction(page)}, order_id {direction(page)} LIMIT %(limit)s"""  # noqa: S608
    values = {"shard": shard_id, "account": account_id, "seq": end[0], "order": end[1], "limit": limit}
    return fetched(connection, FillRow, query, values)


def price_candles(
    connection: "psycopg.Connection",
    shard_id: int,
    artifact_id: str,
    until: datetime,
    period: timedelta,
    interval: timedelta,
) -> list[PriceCandle]:
    """The prices of an artifact in a period up to `until`, the oldest first, without intervals of no trade.

    Costs the period's trades.
    """
    values = {
        "shard": shard_id,
        "artifact": artifact_id,
        "since": until - period,
        "until": until,
        "interval": interval,
    }
    return fetched(connection, PriceCandle, _CANDLES, values)


def _owner(account_id: str | None, artifact_id: str | None) -> str:
    assert account_id is not None or artifact_id is not None, "of whom or of what"
    if account_id is None:
        return "artifact_id = %(artifact)s"
    return "account_id = %(account)s" + ("" if artifact_id is None else " AND artifact_id = %(artifact)s")
