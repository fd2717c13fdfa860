"""What the tables say of a market in a period: its figures with the best wins, and the candles of a chart.

Rule of this file: that of `bridge.api.questions`; each answer costs the rounds of its period, and is of bounded size.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from callmarket.bridge.api import units
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.questions import SUMMING_UP, Durable, check_market
from callmarket.bridge.api.reads import ROWS_MAX, check_limit, check_name
from callmarket.bridge.api.units import duration_of
from callmarket.persistence import queries
from callmarket.persistence.database.reader_pool import Snapshot
from callmarket.persistence.queries import Candle, Stats

# Nobody sees less on a chart.
INTERVAL_US_MIN: Final = 1_000_000
# A hundred years: far longer ones are beyond what the database can count in.
INTERVAL_US_MAX: Final = 36_525 * 86_400_000_000


class RecentStats(Stats, frozen=True):
    """What a market did in a period, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


class Candles(msgspec.Struct, frozen=True):
    """What a market did since `since` in parts of equal length, as the tables have it at `seq`.

    The oldest part is first, and parts without a call are left out. The first and the last may have begun before
    `since`, or be under way.
    """

    market_id: str
    since: datetime
    interval: timedelta
    candles: tuple[Candle, ...]
    seq: int
    durable_seq: int


def get_recent_stats(
    market_id: str, period: timedelta = timedelta(hours=24), *, limit: int = ROWS_MAX
) -> Durable[RecentStats]:
    """Prices, fill rate and the ten best winning bids beside their impact, from what is durable.

    `limit` bounds how many of its rounds are listed. Raises `NotFound` if there is no such market. Costs the rounds and
    awards of the period.
    """
    check_name("market_id", market_id)
    check_limit(limit)
    period_us = units.duration_us("period", period)

    def answer(at: Snapshot, now: datetime) -> RecentStats:
        check_market(at, market_id)
        found = queries.stats(at.connection, at.shard_id, market_id, now, _since_1970(period_us, now), limit)
        return RecentStats(**msgspec.structs.asdict(found), seq=at.seq, durable_seq=at.durable_seq)

    return Durable(answer, SUMMING_UP)


def get_candles(
    market_id: str, period: timedelta = timedelta(hours=24), interval: timedelta = timedelta(minutes=5)
) -> Durable[Candles]:
    """Prices, supply and awards of a period up to now in equal parts, from what is durable: what a chart shows.

    Parts begin at multiples of `interval` since 1970, and the period has at most a thousand. Raises `NotFound` if there
    is no such market. Costs the rounds of the period.
    """
    check_name("market_id", market_id)
    period_us = units.duration_us("period", period)
    interval_us = units.duration_us("interval", interval)
    if interval_us < INTERVAL_US_MIN or interval_us * ROWS_MAX < period_us:
        raise Invalid("interval", str(interval), f"at least a second, and at least a part in {ROWS_MAX} of the period")
    if interval_us > INTERVAL_US_MAX:
        raise Invalid("interval", str(interval), "at most a hundred years")

    def answer(at: Snapshot, now: datetime) -> Candles:
        check_market(at, market_id)
        longest = _since_1970(period_us, now)
        found = queries.candles(at.connection, at.shard_id, market_id, now, longest, interval)
        return Candles(market_id, now - longest, interval, tuple(found), at.seq, at.durable_seq)

    return Durable(answer, SUMMING_UP)


def _since_1970(period_us: int, now: datetime) -> timedelta:
    """The period, but not longer than there was anything: dates end in the year 1."""
    return duration_of(min(period_us, units.at_us("now", now)))
