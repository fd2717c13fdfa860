"""A process that stands by: what it answers, when it leads, and with what. In one process, on a real database."""

import asyncio
import threading
from typing import Any

import psycopg
import pytest

from callmarket import (
    AsyncExchange,
    Exchange,
    Invalid,
    ManualClock,
    NotLeader,
    Unavailable,
    UnknownOutcome,
    open_exchange,
)
from callmarket.bridge.api.operations.bids import place_bid
from callmarket.persistence.database.connections import BoundedConnection, connect
from callmarket.persistence.journal.protocol import Journal, Position
from callmarket.persistence.leadership import register
from callmarket.persistence.leadership import standby as standby_module
from callmarket.persistence.leadership.heartbeat import Heartbeat
from callmarket.persistence.leadership.takeover import Claim, take_over
from callmarket.persistence.recovery import Replica
from tests.bridge.conftest import START_US
from tests.support.client_log import read_rows
from tests.support.following import projected
from tests.support.proxy import Proxy
from tests.support.small_market import at, award_one, furnish, last_seq, until

WAIT_S = 60.0


def leader_named_by(standby: Exchange) -> str:
    """The way to the leader that one gets from a process that does not lead."""
    with pytest.raises(NotLeader) as caught:
        standby.wallet("a")
    return caught.value.leader


def follow(market: Exchange, leader: Exchange) -> None:
    """Wait until a standby has come to where the leader is."""
    until(lambda: market.node.applied_seq >= leader.durable_seq)


def test_standby_names_the_leader_and_does_nothing(database_url: str, clock: ManualClock) -> None:
    with (
        open_exchange(database_url, clock=clock, address="http://one") as leader,
        open_exchange(database_url, clock=clock, address="http://two", standby=True) as standby,
    ):
        furnish(leader, "a")
        follow(standby, leader)
        assert (leader.role, standby.role) == ("leader", "standby")
        for ask in (
            lambda: standby.open_account("b"),
            lambda: standby.place_bids([place_bid.request("m", "a", "t", 5)]),
            lambda: standby.acknowledging("applied").open_account("b"),
            lambda: standby.wallet("a"),
            lambda: standby.get_order_book("m"),
            lambda: standby.durable_seq,
            lambda: standby.recovery,
        ):
            with pytest.raises(NotLeader, match="shard 0 is led by http://one") as caught:
                ask()
            assert (caught.value.leader, caught.value.retry_after_s) == ("http://one", 0.2)
        projected(database_url)
        assert standby.get_recent_stats("m").totals.rounds == 0, "the tables are everybody's"
        assert standby.verify().ok
        assert not standby.wait_until_leading(0.01)
    assert len(read_rows(database_url)) == 3


def test_standby_says_the_same_to_asyncio(database_url: str, clock: ManualClock) -> None:
    with (
        open_exchange(database_url, clock=clock, address="http://one"),
        open_exchange(database_url, clock=clock, standby=True) as standby,
    ):
        until(lambda: leader_named_by(standby) == "http://one")
        with pytest.raises(NotLeader, match="led by http://one"):
            asyncio.run(AsyncExchange(standby).open_account("a"))


def test_standby_leads_where_the_leader_closed(database_url: str, clock: ManualClock) -> None:
    """With the same state, byte for byte, and a new epoch; a slot that was awarded before is settled after."""
    leader = open_exchange(database_url, clock=clock)
    with open_exchange(database_url, clock=clock, standby=True) as standby:
        furnish(leader, "a")
        award_id = award_one(leader)
        image = leader.image()
        leader.close()
        assert standby.wait_until_leading(WAIT_S)
        assert standby.image() == image
        assert standby.settle("s", 3, 1.0, award_id=award_id).award_id == award_id
        assert standby.verify().ok
        assert standby.recovery.rows + standby.recovery.from_seq == 6
    assert [row.epoch for row in read_rows(database_url)][-2:] == [1, 2]


def test_retry_at_the_next_leader_is_answered_as_the_first_would_have(database_url: str, clock: ManualClock) -> None:
    """IDM-1: what a client has no answer to, it asks of whoever leads, by the same command id."""
    leader = open_exchange(database_url, clock=clock)
    with open_exchange(database_url, clock=clock, standby=True) as standby:
        furnish(leader, "a")
        minted = leader.mint("a", 5, "grant:any", command_id="mint")
        leader.close()
        assert standby.wait_until_leading(WAIT_S)
        again = standby.mint("a", 5, "grant:any", command_id="mint")
        assert (again.stamp.seq, again.stamp.repeated, again.to_balance_tokens) == (minted.stamp.seq, True, 1_005)


def test_clock_of_the_next_leader_may_be_behind(database_url: str, clock: ManualClock) -> None:
    """TIM-1: the market's time never runs back."""
    leader = open_exchange(database_url, clock=clock)
    leader.open_account("a")
    with open_exchange(database_url, clock=ManualClock(START_US - 10**9), standby=True) as standby:
        leader.close()
        assert standby.wait_until_leading(WAIT_S)
        assert standby.open_account("b").at == at(START_US)


def test_cut_off_leader_is_replaced_and_learns_of_it(database_url: str, clock: ManualClock) -> None:
    """It loses its way to the database for good: the standby leads; with its line back it says who does."""
    with (
        Proxy(database_url) as proxy,
        open_exchange(database_url, clock=clock, address="http://two", standby=True) as standby,
    ):
        until(lambda: standby.role == "leader")
        with open_exchange(proxy.url, clock=clock, address="http://one", takeover=True) as first:
            assert standby.wait_until_over(WAIT_S)
            with open_exchange(database_url, clock=clock, address="http://three", standby=True) as third:
                furnish(first, "a")
                follow(third, first)
                proxy.refusing = True
                proxy.cut_all()
                assert third.wait_until_leading(WAIT_S)
                third.mint("a", 5, "grant:any", command_id="mint")
                first.node._ack_timeout_s = 0.2
                with pytest.raises(UnknownOutcome):
                    first.mint("a", 5, "grant:any", command_id="mint")
                proxy.refusing = False
                assert "another writer has taken over" in first.wait_until_over(WAIT_S)
                # Its writer may have met the fence before its heartbeat has looked who leads.
                until(lambda: first.node._session is not None and first.node._session.successor == "http://three")
                with pytest.raises(NotLeader, match="ask http://three") as caught:
                    first.mint("a", 5, "grant:any", command_id="mint")
                assert caught.value.leader == "http://three"
                with pytest.raises(NotLeader):
                    first.wallet("a")
                assert third.mint("a", 5, "grant:any", command_id="mint").stamp.repeated
                assert third.wallet("a").balance_tokens == 1_005
                with pytest.raises(Unavailable):
                    first.close()
        with pytest.raises(Unavailable):
            standby.close()


def test_two_standbys_agree_on_one_leader(database_url: str, clock: ManualClock) -> None:
    leader = open_exchange(database_url, clock=clock)
    furnish(leader, "a")
    with (
        open_exchange(database_url, clock=clock, address="http://two", standby=True) as two,
        open_exchange(database_url, clock=clock, address="http://three", standby=True) as three,
    ):
        follow(two, leader)
        follow(three, leader)
        leader.close()
        until(lambda: "leader" in (two.role, three.role))
        new, other, address = (two, three, "http://two") if two.role == "leader" else (three, two, "http://three")
        until(lambda: leader_named_by(other) == address)
        assert new.mint("a", 1, "grant:any").to_balance_tokens == 1_001
        new.close()
        assert other.wait_until_leading(WAIT_S)
        assert other.wallet("a").balance_tokens == 1_001
    assert sorted({row.epoch for row in read_rows(database_url)}) == [1, 2]


def test_a_standby_that_is_overtaken_while_it_claims_lets_go_of_all(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another claims right after it: it stands by again, beats for that claim no more, and leads once it may."""
    with open_exchange(database_url, clock=clock) as leader:
        furnish(leader, "a")
    epochs: list[int | None] = []

    def overtaken(journal: Journal, replica: Replica, seen_epoch: int, claim: Claim) -> Position | None:
        def claim_and_lose(after_epoch: int) -> int | None:
            epochs.append(claim(after_epoch))
            if epochs == [2]:
                with connect(database_url, register.session_name(0)) as connection:
                    assert register.take(connection, 0, address="http://other", lease_s=0.5) == 3
            return epochs[-1]

        return take_over(journal, replica, seen_epoch, claim_and_lose)

    monkeypatch.setattr(standby_module, "take_over", overtaken)
    with open_exchange(database_url, clock=clock, standby=True) as standby:
        assert standby.wait_until_leading(WAIT_S)
        assert [epoch for epoch in epochs if epoch is not None] == [2, 4]
        beating = [thread for thread in threading.enumerate() if thread.name == "heartbeat 0"]
        assert len(beating) == 1


def test_handover_drains_and_refuses_nothing_for_good(database_url: str) -> None:
    """What was sent before is answered by the first, what comes after by the second; nothing is lost between."""
    leader = open_exchange(database_url)
    furnish(leader, "a", tokens=10**6)
    answered: list[str] = []
    stop = threading.Event()
    with open_exchange(database_url, address="http://two", standby=True) as standby:
        follow(standby, leader)

        def pay(name: str) -> None:
            number = 0
            while not stop.is_set():
                command_id = f"{name}-{number}"
                for market in (leader, standby):
                    try:
                        market.transfer("a", "treasury", 1, "gift:any", command_id=command_id)
                    except Unavailable:
                        continue  # a retry, or the other one
                    answered.append(command_id)
                    number += 1
                    break

        payers = [threading.Thread(target=pay, args=(name,)) for name in "wxyz"]
        for payer in payers:
            payer.start()
        until(lambda: len(answered) > 50)
        with psycopg.connect(database_url, autocommit=True) as connection:
            until(lambda: register.request_handover(connection, 0))
        assert leader.wait_until_over(WAIT_S) == "it was handed over"
        assert standby.wait_until_leading(WAIT_S)
        before = len(answered)
        until(lambda: len(answered) > before + 50)
        stop.set()
        for payer in payers:
            payer.join()
        with pytest.raises(NotLeader, match="it was handed over"):
            leader.open_account("b")
        until(lambda: leader.node._session is not None and leader.node._session.successor == "http://two")
        leader.close()
        assert len(set(answered)) == len(answered)
        assert standby.wallet("a").balance_tokens == 10**6 - len(answered)
        assert standby.verify().ok
    assert {row.command_id for row in read_rows(database_url)} >= set(answered)


def test_standby_does_not_lead_over_a_history_that_it_cannot_follow(database_url: str, clock: ManualClock) -> None:
    """A row that decides otherwise here is no reason to go on without it."""
    with (
        open_exchange(database_url, clock=clock) as leader,
        open_exchange(database_url, clock=clock, standby=True) as standby,
    ):
        furnish(leader, "a")
        follow(standby, leader)
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "INSERT INTO journal SELECT shard_id, seq + 1, epoch, at_us, actor, command_id, rules, command, "
                "events, digest FROM journal WHERE seq = 3"
            )
        with pytest.raises(Unavailable, match="Row 4 does not have the digest"):
            standby.wait_until_leading(WAIT_S)
        assert standby.role == "ended"
        with pytest.raises(Unavailable, match="Row 4 does not have the digest"):
            standby.open_account("b")


def test_standby_of_an_empty_shard_leads(database_url: str, clock: ManualClock) -> None:
    with open_exchange(database_url, clock=clock, standby=True) as standby:
        assert standby.wait_until_leading(WAIT_S)
        assert standby.open_account("a").seq == 1
        assert last_seq(standby) == 1


def test_a_standby_waits_no_longer_for_an_answer_than_a_lease(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who is cut off from the database would lead long after the leader has died."""
    opened: list[float | None] = []
    connect = standby_module.connect

    def noted(url: str, name: str, **how: Any) -> BoundedConnection:
        opened.append(how.get("answer_s_max"))
        return connect(url, name, **how)

    monkeypatch.setattr(standby_module, "connect", noted)
    monkeypatch.setenv("CALLMARKET_LEASE_S", "3")
    with open_exchange(database_url, clock=clock, standby=True) as standby:
        assert standby.wait_until_leading(WAIT_S)
    assert opened
    assert set(opened) == {3.0}


def test_closing_a_standby_lets_nobody_wait_for_it(database_url: str, clock: ManualClock) -> None:
    with open_exchange(database_url, clock=clock) as leader:
        for _ in range(3):
            standby = open_exchange(database_url, clock=clock, standby=True)
            standby.close()
            standby.close()
            for ask in (
                lambda: standby.open_account("a"),  # noqa: B023
                lambda: standby.durable_seq,  # noqa: B023
                lambda: standby.recovery,  # noqa: B023
            ):
                with pytest.raises(Unavailable, match="the exchange is closed") as caught:
                    ask()
                assert not isinstance(caught.value, NotLeader), "nobody else is to be asked for this one"
        with psycopg.connect(database_url) as connection:
            assert register.standbys(connection, 0) == []
        assert leader.open_account("a").seq == 1


def test_taking_over_does_not_stand_by(database_url: str) -> None:
    with pytest.raises(Invalid, match="standby: expected False where takeover is True"):
        open_exchange(database_url, standby=True, takeover=True)


def test_rows_between_the_last_look_and_the_claim_are_led_from(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is pushed aside writes to the very moment in which its epoch ends; the next one reads on after that."""
    leader = open_exchange(database_url, clock=clock)
    furnish(leader, "a")
    take = Heartbeat.take

    def take_late(heartbeat: Heartbeat, after_epoch: int | None = None) -> int | None:
        for _ in range(3):
            leader.mint("a", 5, "grant:any")
        return take(heartbeat, after_epoch)

    with open_exchange(database_url, clock=clock, standby=True) as standby:
        follow(standby, leader)
        monkeypatch.setattr(Heartbeat, "take", take_late)
        # It lets go, as if it had hung, and its writer goes on.
        assert leader.node._session is not None
        leader.node._session._heartbeat.close()
        assert standby.wait_until_leading(WAIT_S)
        assert standby.image() == leader.image()
        assert standby.wallet("a").balance_tokens == 1_015
        assert (standby.recovery.rows, standby.mint("a", 1, "grant:any").stamp.seq) == (3, last_seq(leader) + 1)
    leader.close()


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_who_begins_to_lead_while_others_look_is_not_pushed_aside(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """Several begin at once on a shard that nobody ever led: after one of them has looked, another is faster."""
    faster = Heartbeat(database_url, 0, address="http://faster", lease_s=5)
    look, seen = register.look, []

    def look_slowly(connection: psycopg.Connection, shard_id: int) -> register.Leader | None:
        found = look(connection, shard_id)
        seen.append(found)
        if len(seen) == looks:
            assert found is None
            faster.take()
        return found

    monkeypatch.setattr(register, "look", look_slowly)
    try:
        with open_exchange(database_url, clock=clock, standby=True) as standby:
            until(lambda: leader_named_by(standby) == "http://faster")
            with psycopg.connect(database_url) as connection:
                assert connection.execute("SELECT epoch FROM engine_writer").fetchone() == (1,)
    finally:
        faster.close()
