"""The schema: applied once, by however many processes start at once, and never silently different."""

import multiprocessing
import threading
import time

import psycopg
import pytest

from callmarket.bridge.fleet.fallback import services as fallback
from callmarket.bridge.fleet.fallback.services import FallbackServices
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.bridge.fleet.tasks.tables import WorkTables
from callmarket.persistence.database import migrate
from callmarket.persistence.database.migrate import Migration, ensure_schema, load, pending
from callmarket.persistence.errors import SchemaError

KNOWN = load()
NAMES = [migration.name for migration in KNOWN]


def applied(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM schema_migrations ORDER BY name").fetchall()
    return [name for (name,) in rows]


def test_an_empty_database_gets_everything_once(empty_database_url: str):
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        assert pending(connection) == NAMES
        assert ensure_schema(connection) == NAMES
        assert applied(connection) == NAMES
        assert pending(connection) == []
        assert ensure_schema(connection) == []


def test_files_are_numbered_without_gaps():
    assert [name[:5] for name in NAMES] == [f"{number:04}_" for number in range(1, len(NAMES) + 1)]


def test_attempts_that_the_budget_pays_get_the_reservations_that_pay(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """0016 on a database in use: what is in hand goes on under the id of its reservation, or 0 where there is none."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        with monkeypatch.context() as before:
            before.setattr(migrate, "load", lambda: KNOWN[:15])
            ensure_schema(connection)
        connection.execute(
            "INSERT INTO work_quests VALUES (0, 'q', 'wallet', 0.6, now());"
            "INSERT INTO work_tasks (shard_id, task_id, quest_id, importance, downstream_impact, task_type,"
            " artifact_id, blocked, status, updated_at) SELECT 0, task, 'q', 1, 1, '', '', false, 'awarded', now()"
            " FROM unnest('{known,unknown,sold}'::text[]) AS task;"
            "INSERT INTO work_claims VALUES (0, 'known', 'w', 'budget', NULL, now()),"
            " (0, 'unknown', 'w', 'budget', NULL, now()), (0, 'sold', 'w', 'auction', 7, now());"
            "INSERT INTO work_completions (shard_id, task_id, worker_id, payer, award_id, succeeded, cost_tokens,"
            " impact, claimed_at, finished_at, reason) SELECT 0, 'known', 'w', 'budget', NULL, false, 1, 0, now(),"
            " now(), 'no' FROM generate_series(1, 2);"
            "INSERT INTO quest_budget_allocations VALUES (0, current_date, 'q', 100, 20, 0, 0, now());"
            "INSERT INTO quest_budget_spendings (shard_id, task_id, worker_id, day, quest, status, reserved_tokens,"
            " reserved_at, ended_at) VALUES (0, 'known', 'w', current_date, 'q', 'released', 9, now(), now()),"
            " (0, 'known', 'w', current_date, 'q', 'reserved', 9, now(), NULL)"
        )
        assert ensure_schema(connection) == NAMES[15:]
        claims = connection.execute("SELECT task_id, reservation_id FROM work_claims ORDER BY task_id").fetchall()
        assert claims == [("known", 2), ("sold", None), ("unknown", 0)]
        fences = connection.execute("SELECT latest_reservation_id FROM work_tasks ORDER BY task_id").fetchall()
        assert fences == [(2,), (0,), (0,)]
        assert connection.execute("SELECT DISTINCT reservation_id FROM work_completions").fetchall() == [(0,)]
    # The worker that has them in hand ends them, as after every restart.
    with WorkTables(empty_database_url) as work:
        for claim in work.claims("w"):
            work.fail(claim, "its worker was upgraded")
        assert work.counts()["open"] == 3


def test_costs_not_reported_before_a_migration_are_charged(empty_database_url: str, monkeypatch: pytest.MonkeyPatch):
    """0016, BRG-4: on a database in use, whose workers were ended between the end of their work and its cost."""
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        with monkeypatch.context() as before:
            before.setattr(migrate, "load", lambda: KNOWN[:15])
            ensure_schema(connection)
        connection.execute(
            "INSERT INTO work_quests VALUES (0, 'q', 'wallet', 0.6, now());"
            "INSERT INTO work_tasks (shard_id, task_id, quest_id, importance, downstream_impact, task_type,"
            " artifact_id, blocked, status, updated_at) SELECT 0, task, 'q', 1, 1, '', '', false, 'open', now()"
            " FROM unnest('{done,twice,again,working,never,sold}'::text[]) AS task;"
            "INSERT INTO quest_budget_allocations VALUES (0, current_date, 'q', 1000, 600, 0, 0, now());"
            "INSERT INTO quest_budget_spendings (shard_id, task_id, worker_id, day, quest, status, reserved_tokens,"
            " reserved_at) SELECT 0, task, 'w', current_date, 'q', 'reserved', 100, now() - interval '1 h'"
            " FROM unnest('{done,twice,again,working,never,sold}'::text[]) AS task;"
            "INSERT INTO work_claims VALUES (0, 'working', 'w', 'budget', NULL, now());"
            # `again` was reserved after an attempt that was charged; `working` is another try with one reservation.
            "INSERT INTO work_completions (shard_id, task_id, worker_id, payer, award_id, succeeded, cost_tokens,"
            " impact, claimed_at, finished_at, reason) SELECT 0, task, 'w', payer, award, false, cost, 0, at, at, 'no'"
            " FROM (VALUES ('done', 'budget', NULL, 70, now()), ('twice', 'budget', NULL, 1, now()),"
            " ('twice', 'budget', NULL, 40, now()), ('again', 'budget', NULL, 3, now() - interval '2 h'),"
            " ('working', 'budget', NULL, 5, now()), ('sold', 'auction', 7, 9, now()))"
            " AS ended (task, payer, award, cost, at)"
        )
        ensure_schema(connection)
    monkeypatch.setattr(fallback, "ABANDONED_S_MIN", 0.0)
    with WorkTables(empty_database_url) as work, DailyBudgets(empty_database_url) as budgets:
        ended = {row.task_id: row.charged_tokens for row in FallbackServices(work, budgets).tidy()}
    assert ended == {"done": 70, "twice": 40, "again": None, "never": None, "sold": None}


def start(url: str, barrier, results) -> None:
    with psycopg.connect(url) as connection:
        barrier.wait(60)
        results.put(ensure_schema(connection))


def test_many_processes_start_at_once(empty_database_url: str):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    processes = [context.Process(target=start, args=(empty_database_url, barrier, results)) for _ in range(4)]
    for process in processes:
        process.start()
    done = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert done == [[], [], [], NAMES]


def test_a_changed_file_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch):
    changed = [Migration(KNOWN[0].name, KNOWN[0].content + b"\n"), *KNOWN[1:]]
    monkeypatch.setattr(migrate, "load", lambda: changed)
    with psycopg.connect(database_url) as connection:
        for call in (pending, ensure_schema):
            with pytest.raises(SchemaError, match=r"0001_journal\.sql has changed"):
                call(connection)


def test_a_newer_database_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(migrate, "load", lambda: KNOWN[:-1])
    with psycopg.connect(database_url) as connection, pytest.raises(SchemaError, match=f"newer .*{NAMES[-1]}"):
        ensure_schema(connection)


def test_only_what_is_missing_is_applied(database_url: str, monkeypatch: pytest.MonkeyPatch):
    more = Migration("9999_more.sql", b"CREATE TABLE more (id int); INSERT INTO more VALUES (1)")
    monkeypatch.setattr(migrate, "load", lambda: [*KNOWN, more])
    with psycopg.connect(database_url) as connection:
        assert pending(connection) == ["9999_more.sql"]
        assert ensure_schema(connection) == ["9999_more.sql"]
        assert ensure_schema(connection) == []
        assert connection.execute("SELECT count(*) FROM more").fetchone() == (1,)


def test_a_file_that_fails_leaves_nothing(empty_database_url: str, monkeypatch: pytest.MonkeyPatch):
    broken = Migration("9999_broken.sql", b"CREATE TABLE half (id int); SELECT 1 / 0")
    monkeypatch.setattr(migrate, "load", lambda: [*KNOWN, broken])
    with psycopg.connect(empty_database_url) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            ensure_schema(connection)
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)


def test_objects_go_where_the_search_path_says(empty_database_url: str):
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA elsewhere")
        connection.execute("SET search_path = elsewhere")
        ensure_schema(connection)
        schemas = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename ~ 'journal|token|compute'"
        )
        assert schemas.fetchall() == [("elsewhere",)]


def test_a_role_without_the_right_to_make_roles_gets_everything_else(empty_database_url: str):
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        owner = f"owner_{connection.info.backend_pid}"
        connection.execute(f"CREATE ROLE {owner}")
        try:
            connection.execute("CREATE SCHEMA own")
            connection.execute(f"GRANT ALL ON SCHEMA own TO {owner}")
            connection.execute("SET search_path = own")
            connection.execute(f"SET ROLE {owner}")
            assert ensure_schema(connection) == NAMES
        finally:
            connection.execute("RESET ROLE")
            connection.execute(f"DROP OWNED BY {owner}")
            connection.execute(f"DROP ROLE {owner}")


def test_every_column_of_the_journal_is_explained(database_url: str):
    with psycopg.connect(database_url) as connection:
        silent = connection.execute(
            """
            SELECT attname FROM pg_attribute
            WHERE attrelid = 'journal'::regclass AND attnum > 0 AND col_description(attrelid, attnum) IS NULL
            """
        ).fetchall()
    assert silent == []


def test_a_writer_of_the_version_before_is_over_once_the_tables_follow(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """journal_first on a database in use: that writer's batch is waited for, and is the last one that writes tables."""
    before = next(number for number, name in enumerate(NAMES) if name.endswith("journal_first.sql"))
    with (
        psycopg.connect(empty_database_url, autocommit=True) as connection,
        psycopg.connect(empty_database_url) as writer,
    ):
        with monkeypatch.context() as patch:
            patch.setattr(migrate, "load", lambda: KNOWN[:before])
            ensure_schema(connection)
        connection.execute(
            "INSERT INTO engine_writer VALUES (0, 3, 41, sha256('x'), now(), 'old'), (1, 1, 0, sha256('y'), now(), '')"
        )
        moves = "UPDATE engine_writer SET last_seq = last_seq + 1 WHERE shard_id = 0 AND epoch = 3"
        assert writer.execute(moves).rowcount == 1
        upgrade = threading.Thread(target=ensure_schema, args=(connection,))
        upgrade.start()
        with psycopg.connect(empty_database_url, autocommit=True) as watcher:
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            while watcher.execute(waiting).fetchone() == (0,):
                time.sleep(0.005)
        writer.commit()
        upgrade.join(60)
        assert connection.execute("SELECT shard_id, seq FROM projections ORDER BY 1").fetchall() == [(0, 42), (1, 0)]
        assert writer.execute(moves).rowcount == 0, "fenced"
        assert connection.execute("SELECT epoch FROM engine_writer ORDER BY shard_id").fetchall() == [(4,), (2,)]
