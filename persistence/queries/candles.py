"""The calls of a market in equal parts of time: what a chart of prices shows of any number of rounds.

Rule of this file: read-only, one walk over the rounds and awards of the period, an answer of at most as many rows as it
has parts.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from callmarket.persistence.database.row_factories import row_of

if TYPE_CHECKING:
    import psycopg


class Candle(Struct, frozen=True):
    """The calls from `opens_at` on, for the length of one interval.

    Prices are those that winners paid: of the first award, the highest, the lowest, and of the last award; None where
    nothing was sold. Within a call the best bid is the first. Supply and awards are sums; `bids_open_max` is the most
    bids that there were at a call.
    """

    opens_at: datetime
    rounds: int
    slots_available: int
    awards_granted: int
    bids_open_max: int
    open_price_tokens: int | None
    high_price_tokens: int | None
    low_price_tokens: int | None
    close_price_tokens: int | None


# Intervals are counted from the epoch, so that those of two questions are the same.
_QUERY: Final = """
    WITH called AS (
        SELECT date_bin(%(interval)s, called_at, 'epoch'::timestamptz) AS opens_at, count(*) AS rounds,
          sum(slots_available)::bigint AS slots_available, sum(awards_granted)::bigint AS awards_granted,
          max(bids_open) AS bids_open_max
        FROM compute_auction_rounds
        WHERE shard_id = %(shard)s AND market_id = %(market)s AND called_at > %(since)s AND called_at <= %(until)s
        GROUP BY opens_at
    ), paid AS (
        SELECT date_bin(%(interval)s, slot_started_at, 'epoch'::timestamptz) AS opens_at,
          (array_agg(clearing_price_tokens ORDER BY award_id))[1] AS open_price_tokens,
          max(clearing_price_tokens) AS high_price_tokens, min(clearing_price_tokens) AS low_price_tokens,
          (array_agg(clearing_price_tokens ORDER BY award_id DESC))[1] AS close_price_tokens
        FROM compute_auction_clears
        WHERE shard_id = %(shard)s AND market_id = %(market)s
          AND slot_started_at > %(since)s AND slot_started_at <= %(until)s
        GROUP BY opens_at
    )
    SELECT opens_at, rounds, slots_available, awards_granted, bids_open_max,
      open_price_tokens, high_price_tokens, low_price_tokens, close_price_tokens
    FROM called LEFT JOIN paid USING (opens_at) ORDER BY opens_at"""


def candles(
    connection: "psycopg.Connection",
    shard_id: int,
    market_id: str,
    until: datetime,
    period: timedelta,
    interval: timedelta,
) -> list[Candle]:
    """The candles of a period up to `until`, the oldest first, without those of no call.

    Costs the period's rounds and awards.
    """
    values = {
        "shard": shard_id,
        "market": market_id,
        "since": until - period,
        "until": until,
        "interval": interval,
    }
    with connection.cursor(row_factory=row_of(Candle)) as cursor:
        return cursor.execute(_QUERY.encode(), values).fetchall()
