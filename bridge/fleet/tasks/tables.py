"""The tables of work as a source of tasks: ours, where a platform has none of its own.

Rule of this file: check, ask, and put errors into the bridge's words. Every call is one statement, and so one
transaction; what was asked may be asked again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, get_args

import psycopg

from callmarket.bridge.api.checks import check_limit
from callmarket.bridge.api.contract.pages import cursor, name_after
from callmarket.bridge.api.errors import Invalid, NotFound, Unavailable
from callmarket.bridge.api.failures import failure_of
from callmarket.bridge.api.one_process import OneProcess
from callmarket.bridge.fleet.tasks import checks
from callmarket.bridge.fleet.tasks.model import Claim, Completion, Payer, Quest, Task, TaskPage, TaskStatus
from callmarket.engine.ids import AwardId
from callmarket.persistence import errors as persistence_errors
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.migrate import ensure_schema
from callmarket.persistence.stores.work import statements
from callmarket.persistence.stores.work.pool import WorkPool

T = TypeVar("T")

# A database that is starting, or a failover, is over within seconds as a rule.
RETRY_AFTER_S: Final = 1.0
_QUEST_COLUMNS: Final = ("quest_id", "account_id", "bid_fraction")
_TASK_COLUMNS: Final = (
    "task_id",
    "quest_id",
    "importance",
    "downstream_impact",
    "tractability",
    "estimated_cost_tokens",
    "task_type",
    "artifact_id",
    "blocked",
)


class WorkTables:
    """Quests and tasks in PostgreSQL, for many threads and processes. Use it as a context manager.

    Every method raises `Unavailable` where the database does not answer in bounded time, `AccessDenied` where the role
    lacks a right, `Invalid` for what makes no sense; the rest is in `bridge.fleet.tasks.source`.
    """

    def __init__(self, database_url: str, shard_id: int = 0) -> None:
        """Remember where; the first call connects. The tables are there once a market was opened on this database."""
        self._url: Final = database_url
        self._shard_id: Final = shard_id
        self._pool: Final = WorkPool(database_url)
        self._process: Final = OneProcess("source of tasks")

    def __enter__(self) -> Self:
        """The source itself."""
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

    def ensure_schema(self) -> None:
        """Bring the tables up to date, where no market has done so. Raises `persistence.errors.SchemaError`."""
        try:
            with connect(self._url, "callmarket work") as connection:
                ensure_schema(connection)
        except (persistence_errors.Unavailable, persistence_errors.AccessDenied) as error:
            raise failure_of(error, retry_after_s=RETRY_AFTER_S) from error
        except psycopg.OperationalError as error:
            raise Unavailable(str(error), RETRY_AFTER_S) from error

    # --- what a platform fills in --------------------------------------------------------------------------------

    def put_quests(self, quests: Sequence[Quest]) -> None:
        """Add quests, or replace those of the same id, all or none."""
        checks.check_quests(quests)
        self._ask(statements.put_quests, _columns(_QUEST_COLUMNS, quests))

    def put_tasks(self, tasks: Sequence[Task]) -> None:
        """Add tasks, or replace those of the same id, all or none; `status` and attempts stay."""
        checks.check_tasks(tasks)
        try:
            self._ask(statements.put_tasks, _columns(_TASK_COLUMNS, tasks))
        except psycopg.errors.ForeignKeyViolation:
            missing = self._ask(statements.missing_quests, [task.quest_id for task in tasks])
            raise NotFound("quest_id", missing[0] if missing else "", "a quest that was put before") from None

    def block(self, task_ids: Sequence[str]) -> int:
        """These tasks wait for others: nobody bids for them. Returns how many of them there are."""
        checks.check_task_ids(task_ids)
        return self._ask(statements.set_blocked, task_ids, True)

    def unblock(self, task_ids: Sequence[str]) -> int:
        """These tasks wait no longer. Returns how many of them there are."""
        checks.check_task_ids(task_ids)
        return self._ask(statements.set_blocked, task_ids, False)

    def list_tasks(
        self,
        quest_id: str | None = None,
        status: TaskStatus | None = None,
        *,
        limit: int = 100,
        after: str | None = None,
    ) -> TaskPage:
        """Tasks by id, page after page."""
        checks.check_filter(quest_id, status)
        check_limit(limit)
        begin = name_after("tasks", after) or ""
        rows = self._ask_for(Task, statements.tasks_page, quest_id, status, begin, limit + 1)
        return page_of(rows, limit)

    def counts(self, quest_id: str | None = None) -> Mapping[TaskStatus, int]:
        """How many tasks have each status, zeros too: of one quest, or of all. O(tasks)."""
        checks.check_filter(quest_id, None)
        found = self._ask(statements.counts, quest_id)
        return {status: found.get(status, 0) for status in get_args(TaskStatus)}

    # --- what the scorer and the worker ask ----------------------------------------------------------------------

    def quests(self) -> Sequence[Quest]:
        """All quests, by id."""
        return self._ask_for(Quest, statements.quests)

    def open_tasks(self, quest_id: str | None = None) -> Sequence[Task]:
        """The open tasks, blocked or not, by id; the first `checks.OPEN_TASKS_MAX` of them."""
        checks.check_filter(quest_id, None)
        return self._ask_for(Task, statements.tasks_page, quest_id, "open", "", checks.OPEN_TASKS_MAX)

    def tasks(self, task_ids: Sequence[str]) -> Mapping[str, Task]:
        """These tasks by id; those that there are not are left out."""
        checks.check_task_ids(task_ids)
        return {task.task_id: task for task in self._ask_for(Task, statements.tasks, task_ids)}

    def mean_cost_tokens(self) -> Mapping[str, float]:
        """What finished work has cost on average, by the type that it had then; of all under "". O(types)."""
        return means(self._ask(statements.costs))

    def claim(
        self,
        task_id: str,
        worker_id: str,
        payer: Payer,
        award_id: AwardId | None = None,
        reservation_id: int | None = None,
    ) -> Claim | None:
        """Take a task in hand; of any number that ask one gets it."""
        checks.check_claim(task_id, worker_id, payer, award_id, reservation_id)
        values = {
            "task_id": task_id,
            "worker_id": worker_id,
            "payer": payer,
            "award_id": award_id,
            "reservation_id": reservation_id,
        }
        taken: Claim | None = self._ask_for(Claim, statements.claim, values)
        return taken or self._ask_for(Claim, statements.held_claim, values)

    def holder(self, task_id: str) -> Claim | None:
        """The live claim on a task; None if there is none."""
        checks.check_task_ids([task_id])
        return self._ask_for(Claim, statements.holder, task_id)

    def claims(self, worker_id: str | None = None) -> Sequence[Claim]:
        """The live claims, by task: of one worker, or of all; the first `checks.CLAIMS_MAX`."""
        return self._ask_for(Claim, statements.claims, worker_id, checks.CLAIMS_MAX)

    def completion(
        self, task_id: str, payer: Payer, award_id: AwardId | None = None, reservation_id: int | None = None
    ) -> Completion | None:
        """How the claim for this award or reservation ended."""
        checks.check_task_ids([task_id])
        checks.check_payer(payer, award_id, reservation_id)
        return self._ask_for(Completion, statements.completion, task_id, award_id, reservation_id)

    def done(self, task_id: str) -> Completion | None:
        """The attempt that succeeded. O(attempts at the task)."""
        checks.check_task_ids([task_id])
        return self._ask_for(Completion, statements.done, task_id)

    def complete(self, claim: Claim, cost_tokens: int, impact: float) -> Completion:
        """The work is done."""
        checks.check_outcome(cost_tokens, impact)
        return self._end(claim, "done", cost_tokens, impact, "")

    def fail(self, claim: Claim, reason: str, *, cost_tokens: int = 0, again: bool = True) -> Completion:
        """The work failed: it may be tried again, or not."""
        checks.check_outcome(cost_tokens, 0.0)
        return self._end(claim, "open" if again else "failed", cost_tokens, 0.0, checks.reason_of(reason))

    def _end(self, claim: Claim, status: TaskStatus, cost_tokens: int, impact: float, reason: str) -> Completion:
        checks.check_claim(claim.task_id, claim.worker_id, claim.payer, claim.award_id, claim.reservation_id, least=0)
        values = {field: getattr(claim, field) for field in Claim.__struct_fields__} | {
            "status": status,
            "succeeded": status == "done",
            "cost_tokens": cost_tokens,
            "impact": impact,
            "reason": reason,
        }
        ended: Completion | None = self._ask_for(Completion, statements.end_claim, values)
        ended = ended or self._ask_for(Completion, statements.completion_of_claim, values)
        if ended is None:
            raise Invalid("claim", claim, "one that this source has given")
        return ended

    def _ask(self, statement: Callable[..., T], *values: Any) -> T:
        with self._connection() as connection:
            return statement(connection, self._shard_id, *values)

    def _ask_for(self, kind: type[Any], statement: Callable[..., T], *values: Any) -> T:
        with self._connection() as connection:
            return statement(connection, kind, self._shard_id, *values)

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        self._process.check()
        try:
            with self._pool.use() as connection:
                yield connection
        except (persistence_errors.Unavailable, persistence_errors.AccessDenied) as error:
            raise failure_of(error, retry_after_s=RETRY_AFTER_S) from error


def page_of(rows: Sequence[Task], limit: int) -> TaskPage:
    """A page, from one row more than it has room for."""
    items = tuple(rows[:limit])
    return TaskPage(items, cursor("tasks", items[-1].task_id) if len(rows) > limit else None)


def means(costs: Sequence[tuple[str, int, int]]) -> Mapping[str, float]:
    """Mean costs, from the number and the sum of what was finished of each type."""
    if not costs:
        return {}
    total = sum(tokens for _, _, tokens in costs) / sum(finished for _, finished, _ in costs)
    return {name: tokens / finished for name, finished, tokens in costs} | {"": total}


def _columns(names: Sequence[str], rows: Sequence[Any]) -> dict[str, list[Any]]:
    return {name: list(map(attrgetter(name), rows)) for name in names}


if TYPE_CHECKING:
    from callmarket.bridge.fleet.tasks.source import Backlog

    def _is_one(tables: WorkTables) -> Backlog:
        """It has all that a source that is filled from outside has."""
        return tables
