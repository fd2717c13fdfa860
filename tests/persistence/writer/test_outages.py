"""The server itself goes away: killed and started again under load, or frozen and thawed.

Goal: rows wait, then are refused, and once the server is back all that were taken are there, once and in order. A
server of its own, because it is ill-treated here.
"""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from callmarket.persistence.database.migrate import ensure_schema
from callmarket.persistence.embedded import EmbeddedServer, ensure_database, ensure_server
from callmarket.persistence.errors import Unavailable
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.recovery import recover
from callmarket.persistence.tables.projector import Projector
from callmarket.persistence.tables.table_writer import PostgresTables
from callmarket.persistence.verify import verify
from callmarket.persistence.writer.limits import Limits
from callmarket.persistence.writer.write_behind import WriteBehind
from tests.support.databases import temporary_home
from tests.support.following import do_follow
from tests.support.own_server import standing_still
from tests.support.sealed import bids
from tests.support.writers import assert_whole, open_writer

WAIT_S = 60
SMALL = Limits(queue_rows_max=500, batch_rows_max=50, backoff_s_min=0.01, backoff_s_max=0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with temporary_home() as home:
        started = ensure_server(home)
        yield started
        started.stop("immediate")


@pytest.fixture
def url(server: EmbeddedServer) -> str:
    name = f"outage_{time.monotonic_ns()}"
    ensure_database(server.url("postgres"), name)
    with psycopg.connect(server.url(name)) as connection:
        ensure_schema(connection)
    return server.url(name)


def push(writer: WriteBehind, rows) -> None:
    """Enqueue as a sequencer does: ask for room, wait where there is none."""
    for row in rows:
        while not writer.has_room():
            time.sleep(0.001)
        writer.enqueue(row)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_server_is_restarted_under_load(server: EmbeddedServer, url: str, mode):
    rows = bids(4_000)
    with open_writer(url, SMALL) as writer:
        stopped = threading.Event()

        def produce() -> None:
            # However fast it is, something is left to write when the server has stopped.
            push(writer, rows[:-1])
            assert stopped.wait(WAIT_S)
            push(writer, rows[-1:])

        producer = threading.Thread(target=produce)
        producer.start()
        while writer.durable_seq < 500:
            time.sleep(0.001)
        server.stop(mode)
        stopped.set()
        durable = writer.durable_seq
        while writer.status().state != "retrying":
            time.sleep(0.001)
        assert writer.status().last_error
        ensure_server(server.home)
        producer.join(WAIT_S)
        writer.wait(len(rows), WAIT_S)
        assert durable < len(rows)
    assert_whole(url, rows)


def test_a_frozen_server_fills_the_queue_and_then_catches_up(server: EmbeddedServer, url: str):
    rows = bids(2_000)
    with open_writer(url, SMALL) as writer:
        push(writer, rows[:100])
        writer.wait(100, WAIT_S)
        with standing_still(server.pid()):
            taken = 100
            while writer.has_room():
                writer.enqueue(rows[taken])
                taken += 1
            assert taken == 600
            with pytest.raises(Unavailable, match="500 rows wait"):
                writer.enqueue(rows[taken])
            with pytest.raises(Unavailable):
                writer.wait(taken, 0.05)
            assert writer.durable_seq == 100
        push(writer, rows[taken:])
        writer.wait(len(rows), WAIT_S)
    assert_whole(url, rows)


def test_a_server_frozen_for_longer_than_an_attempt_may_take(server: EmbeddedServer, url: str):
    """The hanging connection is cut, and what its backend does when it thaws does not double the batch."""
    rows = bids(300)
    limits = Limits(backoff_s_min=0.01, backoff_s_max=0.05, attempt_s_max=0.3)
    with open_writer(url, limits) as writer:
        push(writer, rows[:100])
        writer.wait(100, WAIT_S)
        with standing_still(server.pid()):
            push(writer, rows[100:])
            while writer.status().state != "retrying":
                time.sleep(0.01)
        writer.wait(len(rows), WAIT_S)
    assert_whole(url, rows)


def test_past_the_outage_limit_the_writer_stops_and_a_successor_recovers(server: EmbeddedServer, url: str):
    rows = bids(300)
    limits = Limits(backoff_s_min=0.01, backoff_s_max=0.05, outage_s_max=0.3)
    writer = open_writer(url, limits)
    push(writer, rows[:100])
    writer.wait(100, WAIT_S)
    server.stop("immediate")
    push(writer, rows[100:200])
    with pytest.raises(Unavailable, match="unavailable for more than"):
        writer.wait(200, WAIT_S)
    with pytest.raises(Unavailable):
        writer.has_room()
    with pytest.raises(Unavailable):
        writer.close()
    with PostgresJournal(url, 0) as journal:
        with pytest.raises(Unavailable):
            recover(journal)
        ensure_server(server.home)
        recovered = recover(journal)
    assert recovered.position.last_seq == 100
    with WriteBehind(lambda: PostgresJournal(url, 0, recovered.position.epoch), recovered.position) as successor:
        push(successor, rows[100:])
    assert_whole(url, rows)


def test_tables_that_a_crash_took_are_brought_along_again_though_nothing_comes(server: EmbeddedServer, url: str):
    """No disk is waited for: what the last batch did to the tables is gone, and no row comes that would tell."""
    rows = bids(50)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        # What is not waited for reaches the disk later than the crash.
        connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        connection.execute("SELECT pg_reload_conf()")
    with PostgresJournal(url, 0) as journal:
        epoch = journal.claim()
        journal.append(rows)
    projector = Projector(lambda: PostgresTables(url, 0, epoch), len(rows))
    projector.wait(len(rows), WAIT_S)
    server.stop("immediate")
    ensure_server(server.home)
    assert do_follow(url, WAIT_S), "nobody has noticed"
    projector.close()
    assert verify(url, 0).ok
