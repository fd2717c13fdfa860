"""Who leads a shard: the register, when a leader is taken for gone, and the heartbeat.

Nothing here guards a token: that is the epoch's (`test_db_writes`). What is shown is that nobody leads for long who is
gone, and nobody is replaced who is well.
"""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from callmarket.engine.codec import GENESIS_DIGEST
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.migrate import ensure_schema
from callmarket.persistence.errors import Fenced, Unavailable
from callmarket.persistence.journal import lease
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.journal.protocol import Position
from callmarket.persistence.leadership import heartbeat, register
from callmarket.persistence.leadership.failure_detection import GRACE_S, LivenessTracker, living_leader
from callmarket.persistence.leadership.heartbeat import Heartbeat, News
from callmarket.persistence.leadership.register import Leader
from tests.support.roles import taken_role_on
from tests.support.sealed import bids
from tests.support.small_market import until


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, "test") as one:
        yield one


@pytest.fixture
def leader(database_url: str) -> Iterator[Heartbeat]:
    """A leader that beats."""
    one = Heartbeat(database_url, 0, address="http://one", lease_s=5)
    one.take()
    yield one
    one.close()


def sign(connection: psycopg.Connection) -> str:
    found = register.look(connection, 0)
    return "nobody" if found is None else found.sign


def row(sign: register.Sign) -> Leader:
    return Leader(1, "http://one", "process 1 on here", sign, 0.1, handover_requested=False)


# --- the register ------------------------------------------------------------------------------------------------


def test_leader_is_named_with_its_address(connection: psycopg.Connection, leader: Heartbeat) -> None:
    assert sign(connection) == "alive"
    found = register.look(connection, 0)
    assert found is not None
    assert (found.epoch, found.address, found.process) == (1, "http://one", lease.this_process())
    assert register.look(connection, 1) is None, "another shard has a leader of its own"


def test_release_is_seen_at_once(connection: psycopg.Connection, leader: Heartbeat) -> None:
    leader.close()
    assert sign(connection) == "released"


def test_lease_that_is_not_renewed_expires(connection: psycopg.Connection) -> None:
    register.take(connection, 0, address="x", lease_s=0.2)
    assert sign(connection) == "disconnected", "this session does not call itself a leader's"
    until(lambda: sign(connection) == "expired")


def test_session_that_is_gone_is_seen_long_before_the_lease_ends(
    connection: psycopg.Connection, database_url: str
) -> None:
    with connect(database_url, register.session_name(0)) as other:
        register.take(other, 0, address="x", lease_s=3_600)
        assert sign(connection) == "alive"
    until(lambda: sign(connection) == "disconnected")


def test_only_one_of_the_standbys_takes_the_leaders_place(connection: psycopg.Connection, database_url: str) -> None:
    """Two standbys miss it at the same moment: the second is told, and nothing is changed for the first."""
    register.take(connection, 0, address="dead", lease_s=5)
    first = Heartbeat(database_url, 0, address="first", lease_s=5)
    second = Heartbeat(database_url, 0, address="second", lease_s=5)
    try:
        assert first.take(after_epoch=1) == 2
        assert second.take(after_epoch=1) is None
        found = register.look(connection, 0)
        assert found is not None
        assert (found.epoch, found.address) == (2, "first")
    finally:
        first.close()
        second.close()


def test_writer_that_hangs_in_a_transaction_is_cut_off(connection: psycopg.Connection, database_url: str) -> None:
    """A frozen process may hold the fence's row; else its successor would wait until that transaction times out."""
    lease.claim(connection, 0)
    with psycopg.connect(database_url, application_name=lease.writer_name(0)) as frozen:
        frozen.execute("UPDATE engine_writer SET last_seq = 0 WHERE shard_id = 0")
        assert register.take(connection, 0, address="x", lease_s=5, after_epoch=1) == 2
        with pytest.raises(psycopg.OperationalError):
            frozen.execute("SELECT 1")


def test_writer_that_hangs_is_cut_off_whichever_role_it_has_taken(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that acts as the owner of the tables: a session is that of the login, and so is the right to end it."""
    monkeypatch.setattr(register, "_CLAIM_ATTEMPTS_MAX", 2)
    with (
        taken_role_on(empty_database_url, "USAGE, CREATE ON SCHEMA public") as (url, role),
        connect(url, lease.writer_name(0), writer=True) as frozen,
        connect(url, "test") as successor,
    ):
        ensure_schema(successor)
        lease.claim(successor, 0)
        frozen.execute("BEGIN")
        frozen.execute("UPDATE engine_writer SET last_seq = 0 WHERE shard_id = 0")
        assert register.take(successor, 0, address="x", lease_s=5, after_epoch=1) == 2
        with pytest.raises(psycopg.OperationalError):
            frozen.execute("SELECT 1")
        assert successor.execute("SELECT current_user").fetchone() == (role,)


def test_writer_of_another_market_in_the_same_database_is_left_alone(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two markets in two schemas, one role, shard 0 each: the writers share a name, and lock tables of their own."""
    monkeypatch.setattr(register, "_CLAIM_ATTEMPTS_MAX", 2)
    with psycopg.connect(empty_database_url, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA ours; CREATE SCHEMA theirs")
    ours, theirs = (make_conninfo(empty_database_url, options=f"-c search_path={name}") for name in ("ours", "theirs"))
    for url in (ours, theirs):
        with connect(url, "test") as one:
            ensure_schema(one)
            lease.claim(one, 0)
    name = lease.writer_name(0)
    with (
        connect(ours, "test") as leader,
        psycopg.connect(ours, application_name="psql") as foreign,
        psycopg.connect(theirs, application_name=name) as busy,
        psycopg.connect(theirs, application_name=name) as idle,
    ):
        busy.execute("UPDATE engine_writer SET last_seq = 0 WHERE shard_id = 0")
        foreign.execute("SELECT FROM engine_writer FOR UPDATE")
        with pytest.raises(Unavailable, match="stays locked"):
            register.take(leader, 0, address="x", lease_s=5)
        busy.execute("SELECT 1")
        idle.execute("SELECT 1")


def test_claim_waits_for_the_fence_longer_than_a_short_lease(connection: psycopg.Connection, database_url: str) -> None:
    """The session that renews is bounded by the lease, and what it waits for here takes a second of its own."""
    lease.claim(connection, 0)
    one = Heartbeat(database_url, 0, address="x", lease_s=0.5)
    with psycopg.connect(database_url, application_name=lease.writer_name(0)) as frozen:
        frozen.execute("UPDATE engine_writer SET last_seq = 0 WHERE shard_id = 0")
        try:
            assert one.take(after_epoch=1) == 2
        finally:
            one.close()
        with pytest.raises(psycopg.OperationalError):
            frozen.execute("SELECT 1")


def test_foreign_lock_on_the_fence_is_waited_for_and_named(
    connection: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the writer's own sessions are cut off; of somebody else's lock a person is told."""
    monkeypatch.setattr(register, "_CLAIM_ATTEMPTS_MAX", 1)
    lease.claim(connection, 0)
    with psycopg.connect(database_url, application_name="psql") as foreign:
        foreign.execute("SELECT FROM engine_writer FOR UPDATE")
        with pytest.raises(Unavailable, match="stays locked"):
            register.take(connection, 0, address="x", lease_s=5)
        foreign.execute("SELECT 1")
    assert register.take(connection, 0, address="x", lease_s=5) == 2


def test_handover_is_asked_for_only_where_somebody_stands_by(connection: psycopg.Connection, leader: Heartbeat) -> None:
    assert not register.request_handover(connection, 0)
    register.stand_by(connection, 0, "http://two", 7)
    assert register.request_handover(connection, 0)
    assert [(one.address, one.applied_seq) for one in register.standbys(connection, 0)] == [("http://two", 7)]
    register.stand_down(connection, 0, "http://two")
    assert register.standbys(connection, 0) == []
    assert not register.request_handover(connection, 0)


def test_silent_standby_is_none_and_is_forgotten(connection: psycopg.Connection, leader: Heartbeat) -> None:
    register.stand_by(connection, 0, "http://two", 7)
    connection.execute("UPDATE engine_standbys SET seen_at = seen_at - interval '6 s'")
    assert register.standbys(connection, 0) == []
    assert not register.request_handover(connection, 0)
    connection.execute("UPDATE engine_standbys SET seen_at = seen_at - interval '2 h'")
    register.stand_by(connection, 0, "http://three", 8)
    assert connection.execute("SELECT address FROM engine_standbys").fetchall() == [("http://three",)]


def test_proof_is_published(connection: psycopg.Connection) -> None:
    assert register.last_proof(connection, 0) is None
    for seq in (5, 9, 7):
        register.publish_proof(connection, 0, seq, 0.5)
        proof = register.last_proof(connection, 0)
        assert proof is not None
        # The last one counts, also where a history is shorter than it was.
        assert (proof.seq, proof.seconds, proof.proven_by) == (seq, 0.5, lease.this_process())


# --- when a leader is gone ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("missed", ["expired", "disconnected"])
def test_leader_is_missed_for_a_while_before_it_is_gone(missed: register.Sign) -> None:
    liveness = LivenessTracker(grace_s=0.3)
    assert not liveness.is_gone(row("alive"), 10.0)
    assert not liveness.is_gone(row(missed), 10.1)
    assert not liveness.is_gone(row(missed), 10.3)
    assert liveness.is_gone(row(missed), 10.5)


def test_leader_that_shows_again_is_not_gone() -> None:
    liveness = LivenessTracker(grace_s=0.3)
    assert not liveness.is_gone(row("disconnected"), 10.0)
    assert not liveness.is_gone(row("alive"), 10.2)
    assert not liveness.is_gone(row("disconnected"), 10.4), "it is missed anew"
    assert not liveness.is_gone(row("expired"), 10.6)
    assert liveness.is_gone(row("disconnected"), 10.8)


def test_a_standby_that_lost_the_database_judges_the_leader_anew() -> None:
    """After an outage of the database both come back at once: the leader is given its time."""
    liveness = LivenessTracker(grace_s=0.3)
    assert not liveness.is_gone(row("expired"), 10.0)
    liveness.forget()
    assert not liveness.is_gone(row("expired"), 20.0)
    assert liveness.is_gone(row("expired"), 20.4)


def test_a_leader_that_released_its_lease_is_gone_at_once() -> None:
    assert LivenessTracker().is_gone(row("released"), 0.0)
    assert LivenessTracker().is_gone(None, 0.0)


def test_living_leader_is_found(connection: psycopg.Connection, leader: Heartbeat) -> None:
    found = living_leader(connection, 0)
    assert found is not None
    assert str(found).startswith("http://one (process ")
    leader.close()
    assert living_leader(connection, 0) is None


# --- the heartbeat -----------------------------------------------------------------------------------------------


class Listener:
    """Notes what it hears."""

    def __init__(self, one: Heartbeat) -> None:
        self.heard: list[News] = []
        self.alive = True
        one.listen(self.heard.append, lambda: self.alive, lambda: Position(1, 0, GENESIS_DIGEST))


def test_leader_hears_that_it_was_replaced(connection: psycopg.Connection, leader: Heartbeat) -> None:
    """By whom, once; and then it does not write in the register any more."""
    listener = Listener(leader)
    register.take(connection, 0, address="http://two", lease_s=5)
    until(lambda: bool(listener.heard))
    (news,) = listener.heard
    assert isinstance(news, Fenced)
    assert "Epoch 1 of shard 0 is over: another writer has taken over (http://two)" in str(news)
    assert leader.successor == "http://two"
    leader.close()
    found = register.look(connection, 0)
    assert found is not None
    assert (found.epoch, found.sign) == (2, "disconnected"), "not released by the one before"


def test_events_before_a_listener_came_are_delivered_to_it(connection: psycopg.Connection, leader: Heartbeat) -> None:
    """Recovery may take minutes, and the lease runs meanwhile."""
    register.take(connection, 0, address="http://two", lease_s=5)
    until(lambda: bool(leader._untold))
    assert [type(news) for news in Listener(leader).heard] == [Fenced]


def test_handover_is_heard_once(connection: psycopg.Connection, leader: Heartbeat) -> None:
    listener = Listener(leader)
    register.stand_by(connection, 0, "http://two", 0)
    assert register.request_handover(connection, 0)
    until(lambda: bool(listener.heard))
    time.sleep(4 * heartbeat.RENEWAL_S_MAX)
    assert listener.heard == ["handover"]
    assert sign(connection) == "alive", "it leads until it has drained"
    leader.release()
    until(lambda: sign(connection) == "released")


def test_heart_does_not_beat_for_a_dead_engine(connection: psycopg.Connection, leader: Heartbeat) -> None:
    listener = Listener(leader)
    listener.alive = False
    until(lambda: sign(connection) == "released")


def session_of_leader(connection: psycopg.Connection) -> int:
    return connection.execute("SELECT backend_pid FROM engine_leader").fetchone()[0]


def test_cut_session_is_renewed_by_another(connection: psycopg.Connection, leader: Heartbeat) -> None:
    """It goes on leading. Where a session is opened in the usual time, that is within the grace."""
    assert heartbeat.RENEWAL_S_MAX + heartbeat._RETRY_S < GRACE_S
    listener = Listener(leader)
    for _ in range(3):
        query = "SELECT backend_pid, pg_terminate_backend(backend_pid) FROM engine_leader"
        (cut, _) = connection.execute(query).fetchone()
        until(lambda cut=cut: session_of_leader(connection) != cut and sign(connection) == "alive")
    assert living_leader(connection, 0) is not None
    assert listener.heard == []


def test_a_heartbeat_can_be_closed_from_many_threads_at_once(leader: Heartbeat) -> None:
    closers = [threading.Thread(target=leader.close) for _ in range(4)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()


def test_rows_acknowledged_while_the_database_answers_are_not_taken_for_lost(database_url: str):
    """A leader looks at what it has told before it asks: rows that come meanwhile are behind no answer."""
    rows, told, looks = iter(bids(200)), list[News](), list[int]()
    with PostgresJournal(database_url, 0) as journal:
        one = Heartbeat(database_url, 0, address="one", lease_s=0.05)
        epoch = one.take()
        assert epoch is not None
        journal.epoch = epoch

        def acknowledged() -> Position:
            """As if a row became durable, and was told, in this very moment."""
            journal.append([next(rows)])
            looks.append(len(looks))
            return journal.position()

        one.listen(told.append, lambda: True, acknowledged)
        until(lambda: told or len(looks) >= 5)
        one.close()
    assert told == []
