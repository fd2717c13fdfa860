"""The register of who leads: what each statement changes, and of whom it tells nothing.

Goal: each shard, each epoch and each standby has its own rows, and a new leader begins with nothing of the one before.
"""

from collections.abc import Iterator

import psycopg
import pytest

from callmarket.persistence.database.connections import connect
from callmarket.persistence.leadership import register
from callmarket.persistence.leadership.market_time import Evidence
from callmarket.persistence.leadership.register import Leader


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, register.session_name(0)) as one:
        yield one


def leader(connection: psycopg.Connection, shard_id: int = 0) -> Leader:
    found = register.look(connection, shard_id)
    assert found is not None
    return found


def take(connection: psycopg.Connection, address: str = "one", shard_id: int = 0) -> int:
    epoch = register.take(connection, shard_id, address=address, lease_s=3_600)
    assert epoch is not None
    return epoch


def test_a_new_leader_begins_with_nothing_of_the_one_before(connection: psycopg.Connection) -> None:
    """Else it would hand over, or count as gone, for what was asked of another."""
    epoch = take(connection)
    register.stand_by(connection, 0, "two", 7)
    assert register.request_handover(connection, 0)
    register.renew(connection, 0, epoch, Evidence("here", 1, 2, "its clock is wrong"))
    assert leader(connection).handover_requested
    assert leader(connection).clock_fault == "its clock is wrong"
    register.release(connection, 0, epoch)
    assert leader(connection).sign == "released"
    connection.execute("UPDATE engine_leader SET renewed_at = renewed_at - interval '1 d'")
    assert take(connection, "two") == epoch + 1
    found = leader(connection)
    assert found[:2] == (epoch + 1, "two")
    assert (found.sign, found.handover_requested, found.clock_fault) == ("alive", False, "")
    assert found.renewed_s_ago < 3_600


def test_each_shard_has_a_leader_of_its_own(connection: psycopg.Connection) -> None:
    take(connection, "one", 0)
    take(connection, "five", 5)
    assert take(connection, "six", 5) == 2
    register.stand_by(connection, 5, "seven", 1)
    assert not register.request_handover(connection, 0), "nobody stands by there"
    assert register.request_handover(connection, 5)
    register.release(connection, 5, 2)
    assert (leader(connection).address, leader(connection).sign) == ("one", "alive")
    assert not leader(connection).handover_requested
    renewed = register.renew(connection, 0, 1)
    assert renewed is not None
    assert not renewed.handover_requested
    assert register.renew(connection, 0, 2) is None, "that epoch is the other shard's"


def test_a_former_leader_changes_the_register_no_more(connection: psycopg.Connection) -> None:
    old, new = take(connection, "one"), take(connection, "two")
    connection.execute("UPDATE engine_leader SET renewed_at = renewed_at - interval '1 min'")
    register.release(connection, 0, old)
    assert register.renew(connection, 0, old) is None
    assert leader(connection).sign == "alive"
    assert leader(connection).renewed_s_ago > 30, "its lease is not renewed for another"
    assert register.renew(connection, 0, new) is not None
    assert leader(connection).renewed_s_ago < 30


def test_a_lease_is_renewed_by_the_session_that_renews_it(connection: psycopg.Connection, database_url: str) -> None:
    epoch = take(connection)
    with connect(database_url, register.session_name(0)) as second:
        register.renew(second, 0, epoch)
        connection.execute("SET application_name = 'another'")
        assert leader(connection).sign == "alive"
    register.renew(connection, 0, epoch)
    assert leader(connection).sign == "disconnected", "it calls itself otherwise"


def test_only_the_leader_is_asked_to_hand_over(connection: psycopg.Connection) -> None:
    epoch = take(connection)
    register.stand_by(connection, 0, "two", 7)
    assert not register.request_handover(connection, 0, epoch - 1)
    assert not register.request_handover(connection, 0, epoch + 1)
    assert not leader(connection).handover_requested
    assert register.request_handover(connection, 0, epoch)
    register.release(connection, 0, epoch)
    assert not register.request_handover(connection, 0), "it has let go already"


def test_standbys_are_listed_furthest_first(connection: psycopg.Connection) -> None:
    for address, seq in (("c", 5), ("a", 5), ("d", 9), ("b", 1)):
        register.stand_by(connection, 0, address, seq)
    register.stand_by(connection, 1, "e", 99)
    register.stand_by(connection, 0, "b", 7, "its clock is wrong", "rows are lost")
    found = register.standbys(connection, 0)
    assert [(one.address, one.applied_seq) for one in found] == [("d", 9), ("b", 7), ("a", 5), ("c", 5)]
    assert [(one.clock_fault, one.loss) for one in found[:2]] == [("", ""), ("its clock is wrong", "rows are lost")]
    assert all(0 <= one.seen_s_ago < register.STANDBY_SILENT_S_MAX for one in found)
    register.stand_down(connection, 0, "d")
    register.stand_down(connection, 0, "e")
    assert [one.address for one in register.standbys(connection, 0)] == ["b", "a", "c"]
    assert [one.address for one in register.standbys(connection, 1)] == ["e"]


def test_a_standby_that_signs_in_again_is_kept_and_a_silent_one_forgotten(connection: psycopg.Connection) -> None:
    """Of the same shard, and no sooner: a person may want to see who has gone."""
    for shard_id, address in ((0, "long"), (0, "self"), (0, "short"), (1, "other")):
        register.stand_by(connection, shard_id, address, 1)
    connection.execute("UPDATE engine_standbys SET seen_at = seen_at - interval '61 min'")
    connection.execute("UPDATE engine_standbys SET seen_at = seen_at + interval '2 min' WHERE address = 'short'")
    register.stand_by(connection, 0, "self", 2)
    left = connection.execute("SELECT address, applied_seq FROM engine_standbys ORDER BY address").fetchall()
    assert left == [("other", 1), ("self", 2), ("short", 1)]
    assert [one.address for one in register.standbys(connection, 0)] == ["self"]


def test_a_loss_is_reported_by_other_present_standbys(connection: psycopg.Connection) -> None:
    register.stand_by(connection, 0, "whole", 9)
    register.stand_by(connection, 0, "self", 8, loss="rows 8 to 9 are lost")
    register.stand_by(connection, 1, "elsewhere", 8, loss="rows 1 to 2 are lost")
    assert register.reported_loss(connection, 0, "self") == ""
    assert register.reported_loss(connection, 0) == "self says: rows 8 to 9 are lost"
    register.stand_by(connection, 0, "two", 7, loss="rows 7 to 9 are lost")
    assert register.reported_loss(connection, 0, "self") == "two says: rows 7 to 9 are lost"
    connection.execute("UPDATE engine_standbys SET seen_at = seen_at - interval '6 s'")
    assert register.reported_loss(connection, 0) == ""


def test_a_proof_is_as_old_as_the_last_one(connection: psycopg.Connection) -> None:
    register.publish_proof(connection, 0, 5, 0.5)
    register.publish_proof(connection, 1, 6, 0.7)
    connection.execute("UPDATE proven_restores SET proven_at = proven_at - interval '1 h', proven_by = 'somebody'")
    old = register.last_proof(connection, 0)
    assert old is not None
    assert old.age_s > 3_000
    register.publish_proof(connection, 0, 5, 0.25)
    new, other = register.last_proof(connection, 0), register.last_proof(connection, 1)
    assert new is not None
    assert other is not None
    assert new.age_s < 3_000 < other.age_s
    assert (new.seq, new.seconds) == (5, 0.25)
    assert new.proven_at > old.proven_at
    assert new.proven_by != "somebody"
