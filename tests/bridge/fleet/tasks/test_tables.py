"""The tables of work under what only tables meet: racing processes, an outage, sessions left behind, other shards."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from callmarket.bridge.api.errors import AccessDenied, Unavailable
from callmarket.bridge.fleet.tasks.model import Quest, Task
from callmarket.bridge.fleet.tasks.tables import WorkTables
from callmarket.persistence.stores.work import pool
from tests.support.own_server import OwnServer
from tests.support.roles import role_on
from tests.support.small_market import in_threads, until

ROOT = Path(__file__).parents[4]
TASKS, PROCESSES, THREADS = 60, 3, 8


def fill(work: WorkTables, tasks: int = TASKS) -> None:
    work.put_quests([Quest("q", "wallet-q")])
    work.put_tasks([Task(f"t{number}", "q", 0.5, 0.5) for number in range(tasks)])


def test_each_task_goes_to_one_of_many_processes(tables: WorkTables, module_database_url: str) -> None:
    """Of any number that ask at the same moment one gets it, wherever they run."""
    fill(tables)
    shard_id = str(tables._shard_id)
    racing = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.support.claiming_process",
                module_database_url,
                shard_id,
                f"w{n}",
                str(TASKS),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(PROCESSES)
    ]
    try:
        for process in racing:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        told = [process.communicate("go\n", timeout=60)[0] for process in racing]
    finally:
        for process in racing:
            process.kill()
    got = [task for one in told for task in json.loads(one)]
    assert sorted(got) == list(range(TASKS))


def test_a_stale_award_never_gets_between_a_failure_and_the_next_claim(tables: WorkTables) -> None:
    """Threads claim and fail with awards of their own, some of them again and again: each award has the task once."""
    fill(tables, 1)
    had: list[int] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        for award_id in [number, number + THREADS, number] * 6:
            claim = tables.claim("t0", f"w{number}", "auction", award_id)
            if claim is not None:
                with lock:
                    had.append(award_id)
                tables.fail(claim, "no")

    assert in_threads([lambda n=n: work(n) for n in range(1, THREADS + 1)]) == []
    assert had == sorted(set(had)), "an award has had the task twice, or after a newer one"
    assert tables.tasks(["t0"])["t0"].failed_attempts == len(had) > 0


def test_no_session_is_left_inside_a_transaction(tables: WorkTables, module_database_url: str) -> None:
    """What hurt others most: connections that hold locks while nobody uses them."""
    fill(tables, 2)
    claim = tables.claim("t0", "w", "budget", reservation_id=1)
    assert claim is not None
    tables.complete(claim, 1, 1.0)
    with psycopg.connect(module_database_url, autocommit=True) as connection:

        def states() -> list[str | None]:
            rows = connection.execute(
                "SELECT state FROM pg_stat_activity WHERE application_name = 'callmarket work' "
                "AND datname = current_database()"
            )
            return [state for (state,) in rows]

        # One that is just being opened or closed has another state for a moment, or none.
        until(lambda: set(states()) <= {"idle"})
        assert len(states()) <= 4 * pool.CONNECTIONS_MAX


def test_shards_do_not_see_each_other(module_database_url: str) -> None:
    with WorkTables(module_database_url, 1001) as one, WorkTables(module_database_url, 1002) as two:
        fill(one, 1)
        assert list(two.quests()) == list(two.open_tasks()) == []
        assert two.claim("t0", "w", "budget", reservation_id=1) is None
        fill(two, 1)
        assert one.claim("t0", "w", "budget", reservation_id=1) is not None
        assert two.claim("t0", "w", "budget", reservation_id=1) is not None


def test_an_outage_is_unavailable_and_over_when_it_is_over(own_server: OwnServer, own_url: str) -> None:
    """`Unavailable` with a time to come back; the next call after it finds its way by itself."""
    with WorkTables(own_url) as work:
        fill(work, 1)
        own_server.stop()
        try:
            with pytest.raises(Unavailable) as refused:
                work.claim("t0", "w", "budget", reservation_id=1)
            assert refused.value.retry_after_s
        finally:
            own_server.start()
        assert work.claim("t0", "w", "budget", reservation_id=1) is not None


def test_the_tables_are_made_where_no_market_was_opened(empty_database_url: str) -> None:
    with WorkTables(empty_database_url) as work:
        work.ensure_schema()
        fill(work, 1)
        assert work.counts()["open"] == 1


def test_tables_that_cannot_be_made_are_an_error_with_its_reason(empty_database_url: str) -> None:
    """For want of a right, which no second try mends; and where nobody answers, with a time to come back."""
    with role_on(empty_database_url) as url, WorkTables(url) as work, pytest.raises(AccessDenied):
        work.ensure_schema()
    with WorkTables("postgresql://127.0.0.1:1/x") as work, pytest.raises(Unavailable) as refused:
        work.ensure_schema()
    assert refused.value.retry_after_s


def test_a_role_without_a_right_is_told_so_by_every_question(module_database_url: str) -> None:
    """In the words of this interface, and not as an outage, which is waited for."""
    with role_on(module_database_url) as url, WorkTables(url) as work:
        for ask in (
            work.quests,
            lambda: list(work.open_tasks()),
            lambda: work.tasks(["t0"]),
            lambda: work.claim("t0", "w", "budget", reservation_id=1),
            work.claims,
            lambda: work.done("t0"),
            work.counts,
            lambda: work.put_quests([Quest("q", "wallet-q")]),
        ):
            with pytest.raises(AccessDenied, match=r"lacks a right: permission denied for table work_.*GRANT"):
                ask()


def test_a_closed_source_is_unavailable(module_database_url: str) -> None:
    work = WorkTables(module_database_url)
    work.quests()
    work.close()
    work.close()
    with pytest.raises(Unavailable):
        work.quests()
