"""What quests may spend in a day: allocated, set aside, spent, given back.

Rule of this file: check, ask, and put errors into the bridge's words. Whatever races, a quest never spends more of a
day than it was given, a task has one reservation at a time, and a reservation ends once. Everything may be asked again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from types import TracebackType
from typing import Final, Self

import psycopg

from callmarket.bridge.api.checks import check_name
from callmarket.bridge.api.clock import Clock
from callmarket.bridge.api.errors import Invalid, NotFound
from callmarket.bridge.api.failures import failure_of
from callmarket.bridge.api.one_process import OneProcess
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.fleet.quest_budgets.split import split_again
from callmarket.bridge.fleet.tasks.checks import check_tokens
from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence import errors as persistence_errors
from callmarket.persistence.stores import quest_budgets
from callmarket.persistence.stores.quest_budgets import AllocationRow, SpendingRow
from callmarket.persistence.stores.work.pool import WorkPool

# A failover is over within seconds as a rule.
RETRY_AFTER_S: Final = 1.0


class DailyBudgets:
    """The daily budgets of one shard, for many threads. Days are in UTC. Use it as a context manager.

    Every method raises `AccessDenied` where the role lacks a right, and `Unavailable` where the database does not
    answer; what was asked may have been done then, and asking again is safe: it tells.
    """

    def __init__(self, url: str, shard_id: int = 0, clock: Clock | None = None) -> None:
        """Remember where the tables are; nothing is opened yet.

        Without a clock days are the database's, the same for all processes: by the clock of a machine that leaps, the
        budget of another day would be spent too.
        """
        self._shard_id: Final = shard_id
        self._clock: Final = clock
        self._pool: Final = WorkPool(url)
        self._process: Final = OneProcess("daily budget")

    def __enter__(self) -> Self:
        """The budgets themselves."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close its connections. Idempotent; in the child of a fork it does nothing."""
        if self._process.is_here:
            self._pool.close()

    def today(self) -> date:
        """The day whose budget is spent now."""
        if self._clock is not None:
            return datetime_of(self._clock()).date()
        with self._connection() as connection:
            return quest_budgets.today(connection)

    def allocate(self, tokens: Mapping[str, int], day: date | None = None) -> list[AllocationRow]:
        """Write how a day (today) is split over quests, and return it as it is then.

        Where something of the day was used already, nobody is given less than that, and the sum stays what it is
        (`split_again`). Raises `Invalid`.
        """
        for quest_id, part in tokens.items():
            check_name("quest_id", quest_id)
            check_tokens(f"allocated_tokens[{quest_id!r}]", part)
        check_tokens("allocated_tokens", sum(tokens.values()))
        with self._connection() as connection, connection.transaction():
            day = day or self._today(connection)
            quest_budgets.lock_allocations(connection)
            used = {
                row.quest: row.used_tokens for row in quest_budgets.read_allocations(connection, self._shard_id, day)
            }
            quest_budgets.write_allocations(connection, self._shard_id, day, split_again(tokens, used))
            return quest_budgets.read_allocations(connection, self._shard_id, day)

    def allocations(self, day: date | None = None) -> list[AllocationRow]:
        """How a day (today) is split, and how much is used, by quest; empty if it was not split yet."""
        with self._connection() as connection:
            return quest_budgets.read_allocations(connection, self._shard_id, day or self._today(connection))

    def reserve(self, task_id: str, quest_id: str, tokens: int, worker_id: str) -> SpendingRow | None:
        """Set tokens of the quest's day aside for an attempt at a task: all of it, or nothing.

        None if the quest has too little left today, or another worker has a reservation for the task. A worker that has
        one and asks again gets the same. Of any number that ask at the same moment one gets it. Raises `Invalid`.
        """
        for field, name in (("task_id", task_id), ("quest_id", quest_id), ("worker_id", worker_id)):
            check_name(field, name)
        check_tokens("tokens", tokens, 1)
        with self._connection() as connection:
            today = self._today(connection)
            try:
                return quest_budgets.reserve(connection, self._shard_id, today, quest_id, task_id, worker_id, tokens)
            except psycopg.errors.UniqueViolation:
                # Already set aside; nothing, if it has ended just now: then it may be asked for again.
                rows = quest_budgets.reserved(connection, self._shard_id, task_id)
                return next((row for row in rows if row.worker_id == worker_id), None)

    def spend(self, reservation_id: int, cost_tokens: int) -> SpendingRow:
        """The attempt has ended and cost this, whether it succeeded or not. Spent already: how, unchanged.

        What was released may be spent all the same, for what was burned is burned. What it cost less than was set aside
        goes back to its quest. What it cost more comes from what the quest has left of that day; beyond that it is
        recorded as an overrun. Raises `Invalid`, `NotFound`.
        """
        check_tokens("cost_tokens", cost_tokens)
        return self._end(reservation_id, cost_tokens)

    def release(self, reservation_id: int) -> SpendingRow:
        """There was no attempt: all of it goes back. Ended already: how, unchanged. Raises `NotFound`."""
        return self._end(reservation_id, None)

    def reserved(self, older_than_s: float = 0) -> list[SpendingRow]:
        """Reservations open at this moment and for `older_than_s` at least, oldest first."""
        with self._connection() as connection:
            return quest_budgets.reserved(connection, self._shard_id, older_than_s=older_than_s)

    def _today(self, connection: psycopg.Connection) -> date:
        """As `today`, on an open connection."""
        return quest_budgets.today(connection) if self._clock is None else self.today()

    def _end(self, reservation_id: int, cost_tokens: int | None) -> SpendingRow:
        if type(reservation_id) is not int or not 0 < reservation_id <= SEQ_MAX:
            raise Invalid("reservation_id", reservation_id, f"1 to {SEQ_MAX}")
        with self._connection() as connection:
            ended = quest_budgets.end(connection, self._shard_id, reservation_id, cost_tokens)
        if ended is None:
            raise NotFound("reservation_id", reservation_id, "one that was made")
        return ended

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        self._process.check()
        try:
            with self._pool.use() as connection:
                yield connection
        except (persistence_errors.Unavailable, persistence_errors.AccessDenied) as error:
            raise failure_of(error, retry_after_s=RETRY_AFTER_S) from error


def persist_allocations(budgets: DailyBudgets, tokens: Mapping[str, int], day: date | None = None) -> None:
    """Write a split that `get_quest_budget_allocation` has made, for today or another day. Raises as `allocate`."""
    budgets.allocate(tokens, day)
