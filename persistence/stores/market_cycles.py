"""When each market is called, as it was set: read and written.

Rule of this file: statements and bounds only. What follows from a setting is for the scheduler; nothing
here reaches the engine, and so nothing here is journaled.
"""

from datetime import datetime
from typing import Final, Literal

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

Mode = Literal["every", "on_offer", "asked"]
"""At the multiples of a period; at once when a slot is offered; only when somebody asks."""

# Below this, a call, its sweep and their commit on a slow disk would not end before the next one is due.
PERIOD_US_MIN: Final = 100_000
# A market that is called less often than once a week is called by hand.
PERIOD_US_MAX: Final = 7 * 24 * 3600 * 1_000_000


class Cycle(Struct, frozen=True):
    """When a market is called. `period_us` is that of `every`, None for the others."""

    mode: Mode
    period_us: int | None = None

    def __post_init__(self) -> None:
        """The caller has checked user input."""
        if self.mode == "every":
            assert self.period_us is not None and PERIOD_US_MIN <= self.period_us <= PERIOD_US_MAX, self.period_us
        else:
            assert self.period_us is None, self


ASKED: Final = Cycle("asked")
"""What holds for a market for which nothing was set."""


class CycleRow(Struct, frozen=True):
    """The setting of one market; `updated_at` is None where nothing was ever set."""

    market_id: str
    mode: Mode
    period_us: int | None
    updated_at: datetime | None
    updated_by: str

    @property
    def cycle(self) -> Cycle:
        """Without the author and time of the change."""
        return Cycle(self.mode, self.period_us)


def read_cycles(connection: psycopg.Connection, shard_id: int) -> list[CycleRow]:
    """The settings of all markets of a shard, also of those for which nothing was set. O(markets)."""
    query = """SELECT market_id, coalesce(cycle.mode, 'asked') AS mode, cycle.period_us, cycle.updated_at,
          coalesce(cycle.updated_by, '') AS updated_by
        FROM compute_auction_markets AS market LEFT JOIN market_cycles AS cycle USING (shard_id, market_id)
        WHERE shard_id = %s ORDER BY market_id"""
    with connection.cursor(row_factory=class_row(CycleRow)) as cursor:
        return cursor.execute(query, (shard_id,)).fetchall()


def write_cycle(
    connection: psycopg.Connection, shard_id: int, market_id: str, cycle: Cycle, updated_by: str
) -> CycleRow | None:
    """Set when a market is called, and return what holds now; None if the tables have no such market."""
    query = """INSERT INTO market_cycles (shard_id, market_id, mode, period_us, updated_at, updated_by)
        SELECT shard_id, market_id, %(mode)s, %(period)s::bigint, clock_timestamp(), %(by)s
        FROM compute_auction_markets WHERE shard_id = %(shard)s AND market_id = %(market)s
        ON CONFLICT (shard_id, market_id) DO UPDATE SET mode = excluded.mode, period_us = excluded.period_us,
            updated_at = excluded.updated_at, updated_by = excluded.updated_by
        RETURNING market_id, mode, period_us, updated_at, updated_by"""
    values = {
        "shard": shard_id,
        "market": market_id,
        "mode": cycle.mode,
        "period": cycle.period_us,
        "by": updated_by,
    }
    with connection.cursor(row_factory=class_row(CycleRow)) as cursor:
        return cursor.execute(query, values).fetchone()
