"""What the database knows of time: what a leader leaves beside its lease, and what operators have said."""

from collections.abc import Iterator

import psycopg
import pytest

from callmarket.persistence.database.connections import connect
from callmarket.persistence.leadership import market_time, register
from callmarket.persistence.leadership.heartbeat import Heartbeat
from callmarket.persistence.leadership.market_time import Evidence, View, Word
from tests.support.small_market import until

EVIDENCE = Evidence("here", 7, 1_800_000_000_000_000, "the clock has leapt")


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, "test") as found:
        yield found


def test_an_empty_shard_has_no_evidence_of_time(connection: psycopg.Connection) -> None:
    seen = market_time.look(connection, 0)
    assert seen[1:] == (0, False, None, None)
    assert market_time.latest_word(connection, 0) is None


def test_a_leader_leaves_the_time_beside_its_lease(connection: psycopg.Connection) -> None:
    """Whoever takes its place finds it; what was wrong with its time is not the successor's."""
    epoch = register.take(connection, 0, address="one", lease_s=5)
    assert epoch == 1
    renewed = register.renew(connection, 0, epoch, EVIDENCE)
    assert renewed is not None
    assert (renewed.handover_requested, renewed.word_id) == (False, 0)
    assert market_time.look(connection, 0).evidence == EVIDENCE
    found = register.look(connection, 0)
    assert found is not None
    assert found.clock_fault == EVIDENCE.fault
    assert register.take(connection, 0, address="two", lease_s=5) == 2
    assert market_time.look(connection, 0).evidence == EVIDENCE._replace(fault="")
    assert register.renew(connection, 0, epoch, EVIDENCE) is None, "it leads no longer"


def test_a_leader_whose_time_is_its_own_leaves_nothing(connection: psycopg.Connection) -> None:
    register.take(connection, 0, address="one", lease_s=5)
    register.renew(connection, 0, 1, EVIDENCE)
    register.renew(connection, 0, 1)
    assert market_time.look(connection, 0).evidence is None


def test_the_latest_word_of_a_shard_is_in_force(connection: psycopg.Connection) -> None:
    register.take(connection, 0, address="one", lease_s=5)
    first = market_time.say(connection, 0, time_us=5, lead_us=0, by="me", reason="x")
    second = market_time.say(connection, 0, time_us=6, lead_us=7, by="me", reason="y")
    market_time.say(connection, 1, time_us=8, lead_us=9, by="me", reason="another shard's")
    assert second > first
    found = market_time.latest_word(connection, 0)
    assert found is not None
    word, database_us = found
    assert word == Word(second, word.said_us, 6, 7) == market_time.look(connection, 0).word
    assert word.said_us <= database_us
    renewed = register.renew(connection, 0, 1)
    assert renewed is not None
    assert renewed.word_id == second


def test_the_clock_fault_of_a_standby_is_shown(connection: psycopg.Connection) -> None:
    register.stand_by(connection, 0, "two", 3, "its clock is wrong")
    assert [one.clock_fault for one in register.standbys(connection, 0)] == ["its clock is wrong"]
    register.stand_by(connection, 0, "two", 3)
    assert [one.clock_fault for one in register.standbys(connection, 0)] == [""]


class Hears:
    """What a leader compares clocks with; it keeps what it was told."""

    def __init__(self) -> None:
        self.word_id = 0
        self.words: list[Word] = []
        self.silences = 0

    def asking(self) -> int:
        return 0

    def on_database_time(self, asked_us: int, database_us: int) -> None: ...

    def on_no_answer(self) -> None:
        self.silences += 1

    def evidence(self) -> Evidence:
        return EVIDENCE

    def on_operator_time(self, word: Word, database_us: int) -> None:
        self.word_id = word.word_id
        self.words.append(word)

    def objection(self, asked_us: int, view: View) -> str:
        return ""


def test_a_leader_hears_each_word_of_its_own_shard_once(database_url: str, connection: psycopg.Connection) -> None:
    watch = Hears()
    leader = Heartbeat(database_url, 1, address="here", lease_s=5, watch=watch)
    market_time.say(connection, 0, time_us=5, lead_us=6, by="me", reason="another shard's")
    assert leader.take() == 1
    try:
        for time_us in (7, 8):
            market_time.say(connection, 1, time_us=time_us, lead_us=9, by="me", reason="ours")
            market_time.say(connection, 0, time_us=5, lead_us=6, by="me", reason="another shard's")
            until(lambda time_us=time_us: bool(watch.words) and watch.words[-1].time_us == time_us)
        assert [word.time_us for word in watch.words] == [7, 8]
        assert market_time.look(connection, 1).evidence == EVIDENCE
        assert market_time.look(connection, 0).evidence is None
    finally:
        leader.close()
