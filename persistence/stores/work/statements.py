"""The statements on the tables of work, one function each.

Rule of this file: SQL and its values. Rows come back as whatever struct the caller names, whose fields are the columns.
A claim is taken, and ended, by a single statement that locks the row it changes and looks at it again when it has the
lock; so of any number one succeeds, and a connection that breaks leaves nothing behind.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import class_row

from callmarket.engine.ids import AwardId

R = TypeVar("R")

Values = Mapping[str, Any]

_QUEST: Final = "quest_id, account_id, bid_fraction"
_TASK: Final = """task_id, quest_id, importance, downstream_impact, tractability, estimated_cost_tokens, task_type,
    artifact_id, blocked, status, failed_attempts"""
_CLAIM: Final = "task_id, worker_id, payer, award_id, reservation_id, claimed_at"
_COMPLETION: Final = """task_id, worker_id, payer, award_id, reservation_id, succeeded, cost_tokens, impact,
    finished_at, reason"""
# The claim that is meant: all of what was said of it, for the same worker may have had the task before.
_THIS_CLAIM: Final = """shard_id = %(shard)s AND task_id = %(task_id)s AND worker_id = %(worker_id)s
    AND payer = %(payer)s AND award_id IS NOT DISTINCT FROM %(award_id)s
    AND reservation_id IS NOT DISTINCT FROM %(reservation_id)s"""


def quests(connection: psycopg.Connection, kind: type[R], shard_id: int) -> list[R]:
    """All quests, by id."""
    query = f"SELECT {_QUEST} FROM work_quests WHERE shard_id = %(shard)s ORDER BY quest_id"  # noqa: S608
    return _rows(connection, kind, query, shard_id)


def put_quests(connection: psycopg.Connection, shard_id: int, columns: Values) -> None:
    """Add or replace quests, given as columns."""
    query = """INSERT INTO work_quests (shard_id, quest_id, account_id, bid_fraction, updated_at)
        SELECT %(shard)s, given.*, clock_timestamp()
        FROM unnest(%(quest_id)s::text[], %(account_id)s::text[], %(bid_fraction)s::float8[]) AS given
        ORDER BY 2
        ON CONFLICT (shard_id, quest_id) DO UPDATE SET account_id = excluded.account_id,
            bid_fraction = excluded.bid_fraction, updated_at = excluded.updated_at"""
    connection.execute(query, {"shard": shard_id, **columns})


def put_tasks(connection: psycopg.Connection, shard_id: int, columns: Values) -> None:
    """Add or replace tasks, given as columns. Raises `psycopg.errors.ForeignKeyViolation` where a quest is missing."""
    # In one order, so that two batches do not wait for each other.
    query = """INSERT INTO work_tasks (shard_id, task_id, quest_id, importance, downstream_impact, tractability,
            estimated_cost_tokens, task_type, artifact_id, blocked, status, updated_at)
        SELECT %(shard)s, given.*, 'open', clock_timestamp()
        FROM unnest(%(task_id)s::text[], %(quest_id)s::text[], %(importance)s::float8[],
            %(downstream_impact)s::float8[], %(tractability)s::float8[],
            %(estimated_cost_tokens)s::bigint[], %(task_type)s::text[],
            %(artifact_id)s::text[], %(blocked)s::boolean[]) AS given
        ORDER BY 2
        ON CONFLICT (shard_id, task_id) DO UPDATE SET quest_id = excluded.quest_id, importance = excluded.importance,
            downstream_impact = excluded.downstream_impact, tractability = excluded.tractability,
            estimated_cost_tokens = excluded.estimated_cost_tokens, task_type = excluded.task_type,
            artifact_id = excluded.artifact_id, blocked = excluded.blocked, updated_at = excluded.updated_at"""
    connection.execute(query, {"shard": shard_id, **columns})


def missing_quests(connection: psycopg.Connection, shard_id: int, quest_ids: Sequence[str]) -> list[str]:
    """Those of these ids that no quest has."""
    query = """SELECT DISTINCT wanted FROM unnest(%(quest_ids)s::text[]) AS wanted
        WHERE NOT EXISTS (SELECT FROM work_quests WHERE shard_id = %(shard)s AND quest_id = wanted) ORDER BY wanted"""
    found = connection.execute(query, {"shard": shard_id, "quest_ids": list(quest_ids)}).fetchall()
    return [row[0] for row in found]


def set_blocked(connection: psycopg.Connection, shard_id: int, task_ids: Sequence[str], blocked: bool) -> int:
    """Block or unblock tasks; how many of them there are."""
    # Locked in one order, as in `put_tasks`.
    query = """WITH wanted AS (
            SELECT task_id FROM work_tasks WHERE shard_id = %(shard)s AND task_id = ANY(%(task_ids)s)
            ORDER BY task_id FOR NO KEY UPDATE)
        UPDATE work_tasks AS task SET blocked = %(blocked)s, updated_at = clock_timestamp()
        FROM wanted WHERE task.shard_id = %(shard)s AND task.task_id = wanted.task_id"""
    return connection.execute(query, {"shard": shard_id, "task_ids": list(task_ids), "blocked": blocked}).rowcount


def tasks_page(
    connection: psycopg.Connection,
    kind: type[R],
    shard_id: int,
    quest_id: str | None,
    status: str | None,
    after: str,
    rows_max: int,
) -> list[R]:
    """Tasks by id, after this one: of one quest or of all, with one status or with any."""
    of_status = "true" if status is None else "status = %(status)s"
    query = f"""SELECT {_TASK} FROM work_tasks WHERE shard_id = %(shard)s AND {_of_quest(quest_id)} AND {of_status}
        AND task_id > %(after)s ORDER BY task_id LIMIT %(rows_max)s"""  # noqa: S608
    return _rows(connection, kind, query, shard_id, quest_id=quest_id, status=status, after=after, rows_max=rows_max)


def tasks(connection: psycopg.Connection, kind: type[R], shard_id: int, task_ids: Sequence[str]) -> list[R]:
    """The tasks with these ids."""
    query = f"SELECT {_TASK} FROM work_tasks WHERE shard_id = %(shard)s AND task_id = ANY(%(task_ids)s)"  # noqa: S608
    return _rows(connection, kind, query, shard_id, task_ids=list(task_ids))


def counts(connection: psycopg.Connection, shard_id: int, quest_id: str | None) -> dict[str, int]:
    """How many tasks have each status that some have."""
    query = f"""SELECT status, count(*) FROM work_tasks
        WHERE shard_id = %(shard)s AND {_of_quest(quest_id)} GROUP BY status"""  # noqa: S608 -- this file's words
    return dict(connection.execute(query, {"shard": shard_id, "quest_id": quest_id}).fetchall())


def costs(connection: psycopg.Connection, shard_id: int) -> list[tuple[str, int, int]]:
    """Each task type with the number and the cost of what was finished of it."""
    query = "SELECT task_type, finished, cost_tokens FROM work_costs WHERE shard_id = %s"
    return [
        (name, finished, int(tokens)) for name, finished, tokens in connection.execute(query, (shard_id,)).fetchall()
    ]


def claim(connection: psycopg.Connection, kind: type[R], shard_id: int, values: Values) -> R | None:
    """Take an open task in hand, if what pays is newer than the latest of its kind that had it; else None."""
    query = f"""WITH taken AS (
            UPDATE work_tasks SET status = 'awarded', updated_at = clock_timestamp(),
                latest_award_id = coalesce(%(award_id)s, latest_award_id),
                latest_reservation_id = coalesce(%(reservation_id)s, latest_reservation_id)
            WHERE shard_id = %(shard)s AND task_id = %(task_id)s AND status = 'open'
                AND (%(award_id)s::bigint IS NULL OR %(award_id)s > latest_award_id)
                AND (%(reservation_id)s::bigint IS NULL OR %(reservation_id)s > latest_reservation_id)
            RETURNING shard_id, task_id)
        INSERT INTO work_claims (shard_id, {_CLAIM})
        SELECT shard_id, task_id, %(worker_id)s, %(payer)s, %(award_id)s, %(reservation_id)s, clock_timestamp()
        FROM taken
        RETURNING {_CLAIM}"""  # noqa: S608
    return _one(connection, kind, query, shard_id, **values)


def held_claim(connection: psycopg.Connection, kind: type[R], shard_id: int, values: Values) -> R | None:
    """The claim that this worker has already, for the same payer, award and reservation."""
    return _one(connection, kind, f"SELECT {_CLAIM} FROM work_claims WHERE {_THIS_CLAIM}", shard_id, **values)  # noqa: S608


def holder(connection: psycopg.Connection, kind: type[R], shard_id: int, task_id: str) -> R | None:
    """The claim on a task; None if nobody has claimed it."""
    query = f"SELECT {_CLAIM} FROM work_claims WHERE shard_id = %(shard)s AND task_id = %(task_id)s"  # noqa: S608
    return _one(connection, kind, query, shard_id, task_id=task_id)


def claims(
    connection: psycopg.Connection, kind: type[R], shard_id: int, worker_id: str | None, rows_max: int
) -> list[R]:
    """What a worker has in hand, or all of them, by task."""
    owner = "true" if worker_id is None else "worker_id = %(worker_id)s"
    query = f"""SELECT {_CLAIM} FROM work_claims WHERE shard_id = %(shard)s AND {owner}
        ORDER BY task_id LIMIT %(rows_max)s"""  # noqa: S608
    return _rows(connection, kind, query, shard_id, worker_id=worker_id, rows_max=rows_max)


def end_claim(connection: psycopg.Connection, kind: type[R], shard_id: int, values: Values) -> R | None:
    """End a claim: its task gets the status, and the completion is the row that comes back; None if it is not held."""
    query = f"""WITH ended AS (
            DELETE FROM work_claims WHERE {_THIS_CLAIM} AND claimed_at = %(claimed_at)s
            RETURNING shard_id, {_CLAIM}),
        task AS (
            UPDATE work_tasks AS task SET status = %(status)s, updated_at = clock_timestamp(),
                failed_attempts = failed_attempts + CASE WHEN %(succeeded)s THEN 0 ELSE 1 END
            FROM ended WHERE task.shard_id = ended.shard_id AND task.task_id = ended.task_id
            RETURNING task.shard_id, task.task_type),
        cost AS (
            INSERT INTO work_costs AS known (shard_id, task_type, finished, cost_tokens)
            SELECT shard_id, task_type, 1, %(cost_tokens)s FROM task WHERE %(succeeded)s
            ON CONFLICT (shard_id, task_type) DO UPDATE SET finished = known.finished + 1,
                cost_tokens = known.cost_tokens + excluded.cost_tokens)
        INSERT INTO work_completions (shard_id, {_CLAIM}, succeeded, cost_tokens, impact, finished_at, reason)
        SELECT shard_id, {_CLAIM}, %(succeeded)s, %(cost_tokens)s, %(impact)s, clock_timestamp(), %(reason)s FROM ended
        RETURNING {_COMPLETION}"""  # noqa: S608
    return _one(connection, kind, query, shard_id, **values)


def completion_of_claim(connection: psycopg.Connection, kind: type[R], shard_id: int, values: Values) -> R | None:
    """How this very claim ended."""
    query = f"""SELECT {_COMPLETION} FROM work_completions WHERE {_THIS_CLAIM} AND claimed_at = %(claimed_at)s
        ORDER BY completion_id DESC LIMIT 1"""  # noqa: S608
    return _one(connection, kind, query, shard_id, **values)


def completion(
    connection: psycopg.Connection,
    kind: type[R],
    shard_id: int,
    task_id: str,
    award_id: AwardId | None,
    reservation_id: int | None,
) -> R | None:
    """How the claim for this award, or for this reservation of the budget, ended."""
    # Each has an index of its own, which finds one row.
    pays = "award_id = %(award_id)s" if reservation_id is None else "reservation_id = %(reservation_id)s"
    query = f"""SELECT {_COMPLETION} FROM work_completions
        WHERE shard_id = %(shard)s AND task_id = %(task_id)s AND {pays}"""  # noqa: S608
    return _one(connection, kind, query, shard_id, task_id=task_id, award_id=award_id, reservation_id=reservation_id)


def done(connection: psycopg.Connection, kind: type[R], shard_id: int, task_id: str) -> R | None:
    """The attempt at a task that succeeded: a task that is done is never claimed again, so there is one at most."""
    query = f"""SELECT {_COMPLETION} FROM work_completions
        WHERE shard_id = %(shard)s AND task_id = %(task_id)s AND succeeded"""  # noqa: S608
    return _one(connection, kind, query, shard_id, task_id=task_id)


def _of_quest(quest_id: str | None) -> str:
    return "true" if quest_id is None else "quest_id = %(quest_id)s"


def _one(connection: psycopg.Connection, kind: type[R], query: str, shard_id: int, **values: Any) -> R | None:
    rows = _rows(connection, kind, query, shard_id, **values)
    return rows[0] if rows else None


def _rows(connection: psycopg.Connection, kind: type[R], query: str, shard_id: int, **values: Any) -> list[R]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        # The queries are this file's own constants; what varies goes in as parameters.
        return cursor.execute(query.encode(), {"shard": shard_id, **values}).fetchall()
