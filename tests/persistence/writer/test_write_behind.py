"""The background writer: order, bounds, watermark, and what it does when the database goes away.

Goal: whatever happens to the connection and the server, each row is in the journal once, in order, or the writer has
stopped and said so; and nothing was called durable that is not. Real PostgreSQL, cut at chosen bytes.
"""

import random
import re
import threading
import time

import psycopg
import pytest

from callmarket.persistence.errors import Corrupt, Fenced, Gap, PersistenceError, RowsLost, Unavailable
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Position
from callmarket.persistence.writer.limits import Limits
from callmarket.persistence.writer.write_behind import WriteBehind
from tests.support.proxy import JSON_ARRAY, Proxy
from tests.support.sealed import bids
from tests.support.writers import assert_whole, feed, held_in_mid_batch, open_writer, stored

QUICK = Limits(backoff_s_min=0.01, backoff_s_max=0.05)
WAIT_S = 30


class Held(MemoryJournal):
    """A journal in memory whose appends wait for a signal, or fail as they are told."""

    def __init__(self, database: MemoryDatabase, epoch: int) -> None:
        super().__init__(database, epoch)
        self.gate = threading.Event()
        self.batches: list[list[int]] = []
        self.errors: list[BaseException] = []

    def append(self, rows) -> None:
        assert self.gate.wait(WAIT_S)
        self.batches.append([row.entry.seq for row in rows])
        if self.errors:
            raise self.errors.pop(0)
        super().append(rows)


@pytest.fixture
def held():
    database = MemoryDatabase()
    journal = Held(database, MemoryJournal(database).claim())
    yield journal
    journal.gate.set()


def writer_on(journal: Held, limits: Limits = QUICK) -> WriteBehind:
    return WriteBehind(lambda: journal, journal.position(), limits)


# --- without a database --------------------------------------------------------------------------------------------


def test_batches_grow_with_the_queue(held: Held):
    rows = bids(100)
    with writer_on(held, Limits(batch_rows_max=50)) as writer:
        writer.enqueue(rows[0])
        while writer._outbox.attempt_since_s is None:
            time.sleep(0.001)
        feed(writer, rows[1:])
        held.gate.set()
        writer.wait(rows[-1].entry.seq, WAIT_S)
    assert [len(batch) for batch in held.batches] == [1, 50, 50, 20]
    assert [seq for batch in held.batches for seq in batch] == list(range(1, len(rows) + 1))


def test_a_batch_is_bounded_by_its_bytes_but_has_a_row(held: Held):
    rows = bids(3)
    held.gate.set()
    with writer_on(held, Limits(batch_bytes_max=1)) as writer:
        feed(writer, rows)
    assert {len(batch) for batch in held.batches} == {1}


def test_callbacks_come_in_order_after_their_row_and_never_before(held: Held):
    rows = bids(20)
    told = []
    with writer_on(held) as writer:
        feed(writer, rows)
        for seq in (5, 3, 30, 5, 1, 40):
            writer.on_durable(
                seq, lambda failure, seq=seq: told.append((seq, failure, held.position().last_seq >= seq))
            )
        assert told == []
        assert writer.durable_seq == 0
        held.gate.set()
        writer.wait(len(rows), WAIT_S)
        assert told == [(seq, None, True) for seq in (1, 3, 5, 5, 30, 40)]
        writer.on_durable(7, told.append)
        assert told[-1] is None
        assert (writer.durable_seq, writer.durable_digest) == (len(rows), rows[-1].digest)


def test_an_attempt_is_cut_by_another_thread_and_closed_by_its_own(held: Held):
    """A connection that is closed under whoever waits on it is nobody's to say what became of."""
    done: list[str] = []

    class Hanging(Held):
        def append(self, rows) -> None:
            done.append("begun")
            assert self.gate.wait(WAIT_S)
            done.append("ended")
            raise Unavailable("cut")

        def interrupt(self) -> None:
            done.append("interrupted")
            self.gate.set()

        def close(self) -> None:
            done.append("closed")
            self.gate.set()

    hanging = Hanging(held.database, held.epoch)
    writer = WriteBehind(lambda: hanging, held.position(), Limits(attempt_s_max=0.05, backoff_s_min=WAIT_S))
    writer.enqueue(bids(1)[0])
    while "closed" not in done:
        time.sleep(0.001)
    assert list(dict.fromkeys(done)) == ["begun", "interrupted", "ended", "closed"]
    with pytest.raises(Unavailable):
        writer.close(0.0)


def test_congestion_says_for_how_long_the_database_has_been_unavailable(held: Held):
    """A person reads this, of a market that takes nothing more."""

    def away() -> MemoryJournal:
        raise Unavailable("nobody is there")

    began_s = time.monotonic()
    writer = WriteBehind(away, held.position(), Limits())
    assert writer.congestion() == "the database is slow", "as far as is known"
    writer.enqueue(bids(1)[0])
    while writer._outbox.outage_since_s is None:
        time.sleep(0.001)
    time.sleep(0.15)
    found = re.fullmatch(r"the database is unavailable, for (\S+) s now", writer.congestion())
    assert found is not None
    assert 0.1 <= float(found[1]) <= time.monotonic() - began_s + 0.1
    with pytest.raises(Unavailable):
        writer.close(0.0)


def test_a_callback_that_fails_disturbs_nobody(held: Held):
    def fail(_):
        raise RuntimeError("the loop is closed")

    rows = bids(2)
    with writer_on(held) as writer:
        feed(writer, rows)
        writer.on_durable(1, fail)
        held.gate.set()
        writer.wait(len(rows), WAIT_S)


class Told:
    """A listener that keeps what it is brought, and whether that was durable then."""

    def __init__(self, held: Held) -> None:
        self.held = held
        self.batches: list[list[int]] = []
        self.failures: list[PersistenceError] = []
        self.too_early = False

    def durable(self, rows) -> None:
        self.too_early |= self.held.position().last_seq < rows[-1].entry.seq
        self.batches.append([row.entry.seq for row in rows])
        if len(self.batches) == 2:
            raise RuntimeError("a listener's bug is its own")

    def failed(self, failure) -> None:
        self.failures.append(failure)


def test_listeners_are_brought_every_durable_row_once_in_order(held: Held):
    """Batch by batch, before those who wait are told; also a batch in doubt, and for who comes in the middle."""
    rows = bids(100)
    held.errors = [Unavailable("lost") for _ in range(2)]
    early, late = Told(held), Told(held)
    with writer_on(held, Limits(batch_rows_max=10, backoff_s_min=0.001)) as writer:
        assert writer.listen(early) == 0
        feed(writer, rows[:50])
        writer.on_durable(45, lambda _: early.batches.append(["told"]))
        held.gate.set()
        writer.wait(50, WAIT_S)
        assert writer.listen(late) == 50
        feed(writer, rows[50:])
        writer.wait(len(rows), WAIT_S)
    seqs = [seq for batch in early.batches for seq in batch]
    told = seqs.index("told")
    assert 45 in seqs[:told]
    seqs.remove("told")
    assert seqs == list(range(1, len(rows) + 1))
    assert [seq for batch in late.batches for seq in batch] == list(range(51, len(rows) + 1))
    assert early.failures == late.failures == []
    assert not early.too_early
    assert not late.too_early


def test_listeners_are_notified_of_the_failure(held: Held):
    """Those who are there and those who come; rows that were refused are never brought."""
    held.errors = [Fenced("another leads")]
    held.gate.set()
    early, late = Told(held), Told(held)
    writer = writer_on(held)
    writer.listen(early)
    feed(writer, bids(10))
    with pytest.raises(Fenced):
        writer.wait(10, WAIT_S)
    writer.listen(late)
    assert type(early.failures[0]) is type(late.failures[0]) is Fenced
    assert early.batches == late.batches == []
    with pytest.raises(Fenced):
        writer.close()


def test_full_means_refuse_now_and_room_comes_back(held: Held):
    rows = bids(100)
    with writer_on(held, Limits(queue_rows_max=10)) as writer:
        feed(writer, rows[:8])
        assert writer.has_room(2)
        assert not writer.has_room(3)
        feed(writer, rows[8:10])
        assert not writer.has_room()
        before = writer.status()
        with pytest.raises(Unavailable, match="10 rows wait"):
            writer.enqueue(rows[10])
        assert writer.status() == before
        held.gate.set()
        writer.wait(10, WAIT_S)
        assert writer.has_room(10)
        writer.enqueue(rows[10])
        writer.wait(11, WAIT_S)
    assert held.position().last_seq == 11


def test_the_queue_is_bounded_in_bytes_too(held: Held):
    rows = bids(100)
    size = len(rows[0].command_json) + len(rows[0].events_json)
    with writer_on(held, Limits(queue_bytes_max=size)) as writer:
        assert writer.has_room()
        assert writer.has_room(5)
        feed(writer, rows[:5])  # what was admitted together is taken together
        assert not writer.has_room()
        held.gate.set()
        writer.wait(5, WAIT_S)
        assert writer.has_room()


def test_a_wait_that_takes_too_long_says_so(held: Held):
    with writer_on(held) as writer:
        feed(writer, bids(1))
        with pytest.raises(Unavailable, match="ask again"):
            writer.wait(1, 0.01)
        held.gate.set()
        writer.wait(1, WAIT_S)


def test_a_row_out_of_order_is_a_bug(held: Held):
    rows = bids(3)
    with writer_on(held) as writer:
        writer.enqueue(rows[0])
        with pytest.raises(AssertionError):
            writer.enqueue(rows[2])
        held.gate.set()


@pytest.mark.parametrize("error", [Fenced("x"), Gap("x"), Corrupt("x", 7), PersistenceError("x"), ValueError("a bug")])
def test_a_permanent_failure_stops_the_writer(held: Held, error: Exception):
    rows = bids(20)
    expected = type(error) if isinstance(error, PersistenceError) else PersistenceError
    told = []
    held.errors = [error]
    writer = writer_on(held)
    feed(writer, rows[:10])
    writer.on_durable(3, told.append)
    held.gate.set()
    with pytest.raises(expected):
        writer.wait(10, WAIT_S)
    for call in (writer.has_room, lambda: writer.enqueue(rows[10]), lambda: writer.wait(2, 1), writer.close):
        with pytest.raises(expected):
            call()
    writer.on_durable(4, told.append)
    assert [type(failure) for failure in told] == [expected, expected]
    assert writer.status().state == "failed"
    assert writer.durable_seq == 0
    assert isinstance(writer.failure, expected)


def test_an_outage_is_tried_again_with_the_same_rows(held: Held):
    rows = bids(40)
    held.errors = [Unavailable("away") for _ in range(3)]
    with writer_on(held, Limits(batch_rows_max=10, backoff_s_min=0.001)) as writer:
        feed(writer, rows)
        held.gate.set()
        writer.wait(len(rows), WAIT_S)
        assert writer.status().state == "running"
        assert writer.status().last_error == "away"
    assert held.batches[:4] == [held.batches[0]] * 4
    assert [seq for batch in held.batches[3:] for seq in batch] == list(range(1, len(rows) + 1))


def test_past_the_outage_limit_it_stops(held: Held):
    held.errors = [Unavailable("away") for _ in range(1000)]
    held.gate.set()
    writer = writer_on(held, Limits(backoff_s_min=0.01, backoff_s_max=0.01, outage_s_max=0.1))
    feed(writer, bids(10))
    with pytest.raises(Unavailable, match="unavailable for more than"):
        writer.wait(10, WAIT_S)
    assert writer.status().state == "failed"
    with pytest.raises(Unavailable):
        writer.close()


def test_closing_writes_what_waits_and_takes_nothing_more(held: Held):
    rows = bids(50)
    writer = writer_on(held)
    feed(writer, rows[:-1])
    held.gate.set()
    writer.close()
    assert held.position().last_seq == len(rows) - 1
    assert writer.status().state == "closed"
    with pytest.raises(PersistenceError, match="closing"):
        writer.enqueue(rows[-1])
    writer.close()


def test_closing_while_the_database_is_away_gives_up_in_time(held: Held):
    held.errors = [Unavailable("away") for _ in range(1000)]
    held.gate.set()
    writer = writer_on(held)
    feed(writer, bids(10))
    started = time.monotonic()
    with pytest.raises(Unavailable, match="not on disk"):
        writer.close(drain_s_max=0.2)
    # Not the five minutes that an outage may take: a bound for a hang, and no performance.
    assert time.monotonic() - started < WAIT_S
    assert not writer._thread.is_alive()


def test_the_writer_can_be_stopped_from_outside_as_if_it_had_failed(held: Held):
    """Who waits and who comes gets the first failure; what was under way may be in, and nothing more is written."""
    rows, told, failures = bids(20), [], [Fenced("the lease is over"), Unavailable("too late")]
    writer = writer_on(held, Limits(batch_rows_max=5))
    feed(writer, rows[:20])
    writer.on_durable(20, told.append)
    while writer._outbox.attempt_since_s is None:
        time.sleep(0.001)
    stoppers = [threading.Thread(target=writer.stop, args=(failures[0],)) for _ in range(4)]
    for stopper in stoppers:
        stopper.start()
    for stopper in stoppers:
        stopper.join(WAIT_S)
    writer.stop(failures[1])
    assert told == [failures[0]]
    assert writer.failure is failures[0]
    assert writer.status().state == "failed"
    for call in (writer.has_room, lambda: writer.enqueue(rows[20]), lambda: writer.wait(20, 1)):
        with pytest.raises(Fenced, match="lease"):
            call()
    held.gate.set()
    with pytest.raises(Fenced):
        writer.close()
    assert held.batches == [[1, 2, 3, 4, 5]]
    assert told == [failures[0]]


class AnswersLost(MemoryJournal):
    """A journal that takes each batch, and of every other one does not say so."""

    appends = 0

    def append(self, rows) -> None:
        super().append(rows)
        self.appends += 1
        if self.appends % 2:
            raise Unavailable("the answer is lost")


def test_the_high_water_mark_is_kept_before_waiters_are_notified():
    """Also of a batch whose answer was lost, and that was looked for."""
    journal, rows, kept = AnswersLost(MemoryDatabase()), bids(40), list[tuple[int, bytes]]()
    journal.claim()
    limits, told = Limits(batch_rows_max=3, backoff_s_min=0.001), list[tuple[int, int]]()
    with WriteBehind(
        lambda: journal, journal.position(), limits, keep=lambda seq, digest: kept.append((seq, digest))
    ) as writer:
        for row in rows:
            writer.on_durable(
                row.entry.seq, lambda _, seq=row.entry.seq: told.append((seq, kept[-1][0] if kept else 0))
            )
            writer.enqueue(row)
        writer.wait(rows[-1].entry.seq, WAIT_S)
    assert [seq for seq, _ in told] == [row.entry.seq for row in rows]
    assert all(seq <= kept_seq for seq, kept_seq in told), told
    assert kept == [(seq, rows[seq - 1].digest) for seq, _ in kept]


def test_stopping_wakes_a_writer_that_has_nothing_to_do(held: Held):
    writer = writer_on(held)
    writer.stop(Unavailable("enough"))
    writer._thread.join(WAIT_S)
    assert not writer._thread.is_alive()
    with pytest.raises(Unavailable):
        writer.close()


# --- with PostgreSQL -----------------------------------------------------------------------------------------------


def test_stopping_cuts_an_attempt_that_hangs(database_url: str):
    """Nothing else would end it: the network is silent, and its own time-out is longer than we wait."""
    rows = bids(10)
    with Proxy(database_url) as proxy:
        writer = open_writer(proxy.url, QUICK, claim_url=database_url)
        writer.enqueue(rows[0])
        writer.wait(1, WAIT_S)
        proxy.flowing.clear()
        feed(writer, rows[1:])
        while writer._outbox.attempt_since_s is None:
            time.sleep(0.001)
        writer.stop(Unavailable("enough"))
        writer._thread.join(WAIT_S)
        assert not writer._thread.is_alive()
        with pytest.raises(Unavailable, match="enough"):
            writer.close()
        proxy.flowing.set()


def test_a_stream_is_stored_whole(database_url: str):
    rows = bids(5_000)
    with open_writer(database_url, QUICK) as writer:
        feed(writer, rows)
    assert_whole(database_url, rows)


@pytest.mark.parametrize("moment", ["before", "sent", "answered"])
def test_a_connection_lost_around_the_commit(database_url: str, moment):
    """Whether the commit got through is unknown to the writer each time; the rows are there once all the same."""
    rows = bids(600)
    with Proxy(database_url) as proxy, open_writer(proxy.url, QUICK, claim_url=database_url) as writer:
        for start in range(0, len(rows), 40):
            proxy.cut(JSON_ARRAY, moment)
            feed(writer, rows[start : start + 40])
            writer.wait(rows[start : start + 40][-1].entry.seq, WAIT_S)
            # What was called durable is, in the eyes of everybody.
            with psycopg.connect(database_url) as connection:
                found = connection.execute("SELECT max(seq), count(*) FROM journal").fetchone()
            assert found == (writer.durable_seq, writer.durable_seq)
        assert proxy.cuts_made >= len(rows) // 40
    assert_whole(database_url, rows)


@pytest.mark.parametrize(
    ("pattern", "batch_rows"),
    [
        (b"UPDATE engine_writer", 20),
        (JSON_ARRAY, 20),
        (JSON_ARRAY, 256),
        (b"SELECT epoch", 20),
    ],
)
@pytest.mark.parametrize("moment", ["before", "sent", "answered"])
def test_a_connection_cut_at_any_statement_loses_and_doubles_nothing(
    database_url: str, pattern: bytes, batch_rows: int, moment
):
    rows = bids(3 * batch_rows)
    with Proxy(database_url) as proxy, open_writer(proxy.url, QUICK, claim_url=database_url) as writer:
        for start in range(0, len(rows), batch_rows):
            proxy.cut(pattern, moment)
            feed(writer, rows[start : start + batch_rows])
            writer.wait(rows[start : start + batch_rows][-1].entry.seq, WAIT_S)
        assert proxy.cuts_made
    assert_whole(database_url, rows)


def test_connections_ended_by_the_server_under_load(database_url: str, seed: int):
    """Sessions are ended at random moments of some batches, each time as soon as the one before has been overcome."""
    rows, rng, ended = bids(3_000), random.Random(seed), 0
    limits = Limits(batch_rows_max=50, backoff_s_min=0.005, backoff_s_max=0.02)
    with (
        open_writer(database_url, limits) as writer,
        psycopg.connect(database_url, autocommit=True) as connection,
    ):
        for start in range(0, len(rows), 200):
            feed(writer, rows[start : start + 200])
            time.sleep(rng.uniform(0, 0.02))
            ended += connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'callmarket journal%'"
            ).rowcount
            writer.wait(rows[start : start + 200][-1].entry.seq, WAIT_S)
    assert ended > 5
    assert_whole(database_url, rows)


def test_a_silent_network_is_cut_and_the_rows_arrive_once(database_url: str):
    rows = bids(40)
    limits = Limits(backoff_s_min=0.01, backoff_s_max=0.05, attempt_s_max=0.4)
    with Proxy(database_url) as proxy, open_writer(proxy.url, limits, claim_url=database_url) as writer:
        feed(writer, rows[:30])
        writer.wait(30, WAIT_S)
        proxy.flowing.clear()
        feed(writer, rows[30:])
        while writer.status().state != "retrying":
            time.sleep(0.01)
        assert writer.durable_seq == 30
        proxy.flowing.set()
        writer.wait(len(rows), WAIT_S)
    assert_whole(database_url, rows)


def test_a_batch_that_arrives_after_it_was_given_up_is_not_written_twice(database_url: str):
    """The old backend commits only after the writer has looked and sent the batch again: the fence makes it a gap."""
    rows = bids(10)
    with held_in_mid_batch(database_url) as blocker, Proxy(database_url) as proxy:
        limits = Limits(backoff_s_min=0.01, backoff_s_max=0.05, attempt_s_max=0.5)
        writer = open_writer(proxy.url, limits, claim_url=database_url)
        feed(writer, rows)
        while writer.status().state != "retrying":
            time.sleep(0.01)
        blocker.rollback()
        writer.wait(len(rows), WAIT_S)
        writer.close()
    assert_whole(database_url, rows)


def test_a_successor_stops_the_writer(database_url: str):
    rows = bids(20)
    writer = open_writer(database_url, QUICK)
    feed(writer, rows[:10])
    writer.wait(10, WAIT_S)
    with open_writer(database_url, QUICK) as successor:
        feed(writer, rows[10:15])
        with pytest.raises(Fenced):
            writer.wait(15, WAIT_S)
        assert writer.durable_seq == 10
        feed(successor, rows[10:])
    with pytest.raises(Fenced):
        writer.close()
    assert_whole(database_url, rows)


def test_no_connection_is_left_in_a_transaction(database_url: str):
    with open_writer(database_url, QUICK) as writer, psycopg.connect(database_url, autocommit=True) as connection:
        feed(writer, bids(100))
        writer.wait(100, WAIT_S)
        state = connection.execute(
            "SELECT state FROM pg_stat_activity "
            "WHERE application_name = 'callmarket journal 0' AND datname = current_database()"
        ).fetchall()
    # The session that claimed the shard is closed by then, but the server may not have noticed yet.
    assert set(state) == {("idle",)}


def test_position_is_where_it_goes_on(database_url: str):
    rows = bids(30)
    with open_writer(database_url, QUICK) as writer:
        feed(writer, rows[:10])
    with open_writer(database_url, QUICK) as writer:
        assert writer.durable_seq == 10
        assert writer.durable_digest == rows[9].digest
        feed(writer, rows[10:])
    assert_whole(database_url, rows)


def test_a_writer_told_of_a_wrong_position_meets_the_fence(database_url: str):
    rows = bids(30)
    journal = PostgresJournal(database_url, 0)
    epoch = journal.claim()
    journal.append(rows[:10])
    journal.close()
    writer = WriteBehind(lambda: PostgresJournal(database_url, 0, epoch), Position(epoch, 12, rows[11].digest), QUICK)
    feed(writer, rows[12:])
    with pytest.raises(RowsLost, match="went back from row 12 to row 10"):
        writer.wait(20, WAIT_S)
    with pytest.raises(RowsLost, match="went back from row 12 to row 10"):
        writer.close()
    assert stored(database_url) == rows[:10]
