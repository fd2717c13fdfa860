"""The rows of the daily budget: what each quest may spend in a day, and each attempt that was paid from it.

Rule of this file: statements only. Whatever changes a spending locks the row of its quest and day first, so all that
happens to one is in one order and nobody waits in a circle. How a day is split is not decided here.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from callmarket.persistence.database.row_factories import row_of

if TYPE_CHECKING:
    import psycopg


SpendingStatus = Literal["reserved", "spent", "released"]


class AllocationRow(Struct, frozen=True):
    """What a quest may spend in a day, and what it has used of that."""

    quest: str
    allocated_tokens: int
    reserved_tokens: int
    spent_tokens: int
    overrun_tokens: int

    @property
    def used_tokens(self) -> int:
        """What it has spent, or set aside."""
        return self.spent_tokens + self.reserved_tokens

    @property
    def left_tokens(self) -> int:
        """What it may still set aside."""
        return self.allocated_tokens - self.used_tokens


class SpendingRow(Struct, frozen=True):
    """One attempt at a task, paid from the daily budget. Costs are None until it is spent."""

    reservation_id: int
    task_id: str
    worker_id: str
    day: date
    quest: str
    status: SpendingStatus
    reserved_tokens: int
    cost_tokens: int | None
    charged_tokens: int | None
    reserved_at: datetime


_ALLOCATION: Final = "quest, allocated_tokens, reserved_tokens, spent_tokens, overrun_tokens"
_SPENDING: Final = """reservation_id, task_id, worker_id, day, quest, status, reserved_tokens, cost_tokens,
    charged_tokens, reserved_at"""


def read_allocations(connection: "psycopg.Connection", shard_id: int, day: date) -> list[AllocationRow]:
    """The allocations of a day, by quest."""
    query = f"""SELECT {_ALLOCATION} FROM quest_budget_allocations
        WHERE shard_id = %s AND day = %s ORDER BY quest"""  # noqa: S608  (a constant)
    with connection.cursor(row_factory=row_of(AllocationRow)) as cursor:
        return cursor.execute(query, (shard_id, day)).fetchall()


def today(connection: "psycopg.Connection") -> date:
    """The day that it is in UTC, by the clock of the database, as all times here. Raises `psycopg.Error`."""
    row = connection.execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date").fetchone()
    assert row is not None, "SELECT without FROM returns one row"
    day: date = row[0]
    return day


def lock_allocations(connection: "psycopg.Connection") -> None:
    """Let nobody else change any allocation until the transaction ends. They may be read."""
    connection.execute("LOCK TABLE quest_budget_allocations IN SHARE ROW EXCLUSIVE MODE")


def write_allocations(
    connection: "psycopg.Connection", shard_id: int, day: date, allocated_tokens: Mapping[str, int]
) -> None:
    """Set what quests may spend in a day. Those that are not named keep what they have."""
    query = """INSERT INTO quest_budget_allocations (shard_id, day, quest, allocated_tokens, updated_at)
        SELECT %(shard)s, %(day)s, given.*, clock_timestamp()
        FROM unnest(%(quests)s::text[], %(tokens)s::bigint[]) AS given
        ON CONFLICT (shard_id, day, quest) DO UPDATE
        SET allocated_tokens = excluded.allocated_tokens, updated_at = excluded.updated_at
        WHERE quest_budget_allocations.allocated_tokens <> excluded.allocated_tokens"""
    quests, tokens = list(allocated_tokens), list(allocated_tokens.values())
    connection.execute(query, {"shard": shard_id, "day": day, "quests": quests, "tokens": tokens})


def reserve(
    connection: "psycopg.Connection", shard_id: int, day: date, quest: str, task_id: str, worker_id: str, tokens: int
) -> SpendingRow | None:
    """Set tokens of a quest's day aside for a task, if that many are left: all of it, or nothing.

    None where they are not. Raises `psycopg.errors.UniqueViolation` where some are set aside for the task already.
    """
    query = f"""WITH room AS (
            UPDATE quest_budget_allocations
            SET reserved_tokens = reserved_tokens + %(tokens)s, updated_at = clock_timestamp()
            WHERE shard_id = %(shard)s AND day = %(day)s AND quest = %(quest)s
                AND allocated_tokens - spent_tokens - reserved_tokens >= %(tokens)s
            RETURNING quest)
        INSERT INTO quest_budget_spendings
            (shard_id, task_id, worker_id, day, quest, status, reserved_tokens, reserved_at)
        SELECT %(shard)s, %(task)s, %(worker)s, %(day)s, quest, 'reserved', %(tokens)s, clock_timestamp() FROM room
        RETURNING {_SPENDING}"""  # noqa: S608  (a constant)
    values = {
        "shard": shard_id,
        "day": day,
        "quest": quest,
        "task": task_id,
        "worker": worker_id,
        "tokens": tokens,
    }
    with connection.cursor(row_factory=row_of(SpendingRow)) as cursor:
        return cursor.execute(query, values).fetchone()


def reserved(
    connection: "psycopg.Connection", shard_id: int, task_id: str | None = None, older_than_s: float = 0
) -> list[SpendingRow]:
    """Reservations open at this moment and for `older_than_s` at least: of a task, or all, oldest first."""
    query = f"""SELECT {_SPENDING} FROM quest_budget_spendings
        WHERE shard_id = %(shard)s AND status = 'reserved' AND (%(task)s::text IS NULL OR task_id = %(task)s)
            AND reserved_at <= clock_timestamp() - make_interval(secs => %(age)s)
        ORDER BY reservation_id"""  # noqa: S608  (a constant)
    values = {"shard": shard_id, "task": task_id, "age": older_than_s}
    with connection.cursor(row_factory=row_of(SpendingRow)) as cursor:
        return cursor.execute(query, values).fetchall()


def end(
    connection: "psycopg.Connection", shard_id: int, reservation_id: int, cost_tokens: int | None
) -> SpendingRow | None:
    """End a reservation: spent at this cost, or released (None). Idempotent: it returns how the reservation ended.

    Only what was released may be spent later: it was given up too early, and has cost what it has cost. What is spent
    beyond what is set aside comes from what the quest has left of the day; beyond that it is an overrun. None if there
    is no such reservation. One transaction.
    """
    values = {"shard": shard_id, "id": reservation_id, "cost": cost_tokens}
    with connection.transaction(), connection.cursor(row_factory=row_of(SpendingRow)) as cursor:
        locked = connection.execute(_LOCK, values).fetchone()
        if locked is None:
            return None
        # Read when nobody else can change it.
        found = cursor.execute(_ONE, values).fetchone()
        assert found is not None, "it was there when its quest was locked, and none is ever deleted while that is"
        if found.status == "spent" or (found.status == "released" and cost_tokens is None):
            return found
        freed_tokens = found.reserved_tokens if found.status == "reserved" else 0
        charged_tokens = None if cost_tokens is None else min(cost_tokens, freed_tokens + locked[0])
        values |= {"charged": charged_tokens, "freed": freed_tokens}
        connection.execute(_BOOK, {**values, "day": found.day, "quest": found.quest})
        return cursor.execute(_END, values).fetchone()


# The row of the quest and its day, as it is once nobody else has it. An update, because it begins with the lock on the
# table that `_BOOK` needs: to ask for it later, with the row in hand, would be a circle with `lock_allocations`.
_LOCK: Final = """UPDATE quest_budget_allocations AS allocation SET updated_at = clock_timestamp()
    FROM quest_budget_spendings AS spending
    WHERE (spending.shard_id, spending.reservation_id) = (%(shard)s, %(id)s)
        AND (allocation.shard_id, allocation.day, allocation.quest) = (spending.shard_id, spending.day, spending.quest)
    RETURNING allocated_tokens - spent_tokens - allocation.reserved_tokens"""
_ONE: Final = f"""SELECT {_SPENDING} FROM quest_budget_spendings
    WHERE shard_id = %(shard)s AND reservation_id = %(id)s"""  # noqa: S608  (a constant)
_BOOK: Final = """UPDATE quest_budget_allocations
    SET reserved_tokens = reserved_tokens - %(freed)s, spent_tokens = spent_tokens + coalesce(%(charged)s::bigint, 0),
        overrun_tokens = overrun_tokens + coalesce(%(cost)s::bigint - %(charged)s::bigint, 0)
    WHERE shard_id = %(shard)s AND day = %(day)s AND quest = %(quest)s"""
_END: Final = f"""UPDATE quest_budget_spendings
    SET status = CASE WHEN %(cost)s::bigint IS NULL THEN 'released' ELSE 'spent' END,
        cost_tokens = %(cost)s, charged_tokens = %(charged)s, ended_at = clock_timestamp()
    WHERE shard_id = %(shard)s AND reservation_id = %(id)s
    RETURNING {_SPENDING}"""  # noqa: S608  (a constant)


class DayTotals(Struct, frozen=True):
    """What all quests together may spend in a day, and what they have used of it."""

    quests: int
    allocated_tokens: int
    reserved_tokens: int
    spent_tokens: int
    overrun_tokens: int


def largest_allocations(connection: "psycopg.Connection", shard_id: int, day: date, limit: int) -> list[AllocationRow]:
    """The allocations of a day, the largest first, equals by quest. Costs all of the day."""
    query = f"""SELECT {_ALLOCATION} FROM quest_budget_allocations WHERE shard_id = %s AND day = %s
        ORDER BY allocated_tokens DESC, quest LIMIT %s"""  # noqa: S608  (a constant)
    with connection.cursor(row_factory=row_of(AllocationRow)) as cursor:
        return cursor.execute(query, (shard_id, day, limit)).fetchall()


def day_totals(connection: "psycopg.Connection", shard_id: int, day: date) -> DayTotals:
    """The sums over a day. Costs all of the day."""
    sums = ", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in DayTotals.__struct_fields__[1:])
    query = f"SELECT count(*) AS quests, {sums} FROM quest_budget_allocations WHERE shard_id = %s AND day = %s"  # noqa: S608
    with connection.cursor(row_factory=row_of(DayTotals)) as cursor:
        (found,) = cursor.execute(query.encode(), (shard_id, day))
    return found


def last_reserved_at(connection: "psycopg.Connection", shard_id: int) -> datetime | None:
    """When the daily budget was last used for work, whatever became of it; None: never. One look at an index."""
    query = """SELECT reserved_at FROM quest_budget_spendings WHERE shard_id = %s
        ORDER BY reservation_id DESC LIMIT 1"""
    found = connection.execute(query, (shard_id,)).fetchone()
    return None if found is None else found[0]


def last_awarded_at(connection: "psycopg.Connection", shard_id: int) -> datetime | None:
    """When the auction last gave out a slot, in any market; None: never. One look at an index."""
    query = "SELECT slot_started_at FROM compute_auction_clears WHERE shard_id = %s ORDER BY award_id DESC LIMIT 1"
    found = connection.execute(query, (shard_id,)).fetchone()
    return None if found is None else found[0]
