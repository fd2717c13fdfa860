"""Done once means once, against strangers, through kills, restarts, snapshots, cuts and takeovers.

Goal: a payment that is sent again within a day is made once, and answered as the first time, with the real bounds and
real processes. Method: strangers fill the windows of replies, for nothing or for real; then the payment is sent again.
"""

import asyncio
from pathlib import Path

import psycopg
import pytest

from callmarket import (
    AsyncExchange,
    Client,
    Conflict,
    Exchange,
    ManualClock,
    Refused,
    Request,
    UnknownOutcome,
    open_exchange,
)
from callmarket.bridge.access.issue import NewKey
from callmarket.bridge.access.keyring import Keyring
from callmarket.engine import limits as engine_limits
from callmarket.engine.commands import Command, ExpireDue, PlaceBid
from callmarket.engine.events import Rejected, SweepFinished
from callmarket.persistence.archive.journal import ArchivedJournal
from callmarket.persistence.archive.prune import carry_out, plan
from callmarket.persistence.journal.postgres import PostgresJournal
from callmarket.persistence.snapshot_follower import Follower
from callmarket.persistence.snapshots.postgres import PostgresSnapshots
from tests.bridge.conftest import START_US
from tests.support.following import projected
from tests.support.service_process import served
from tests.support.small_market import WAIT_S_MAX, furnish, impatient

BATCH = 1_000
HOUR_US = 3_600_000_000


def pay(market: Exchange | Client, command_id: str = "invoice-17") -> tuple[int, bool, int]:
    """Pay b, and return the row, whether it is a retry, and what the payer was told to have left."""
    paid = market.transfer("a", "b", 100, "invoice", command_id=command_id)
    return paid.stamp.seq, paid.stamp.repeated, paid.from_balance_tokens


def flood(market: Exchange, actor: str, command: Command) -> type:
    """Strangers' commands with ids, more than a window holds; what the last of them was answered."""
    for first in range(0, engine_limits.RECEIPTS_MAX + BATCH, BATCH):
        asked = [Request(actor, command, f"{type(command).__name__}-{first + number}") for number in range(BATCH)]
        replies = market.submit(asked, "applied")
    return type(replies[-1].events[0])


@pytest.mark.timeout(300)
def test_strangers_make_nobody_pay_twice(database_url: str, clock: ManualClock) -> None:
    """IDM-1: 66,000 refused bids of somebody without a token, and as many commands that are done: paid once.

    By a market that stayed, by one that recovered from the journal, and by a served one that is killed, all told the
    same; the flood is as many as it takes, with the real bounds.
    """
    with open_exchange(database_url, clock=clock) as market:
        furnish(market, "a", "b")
        seq, repeated, left = pay(market)
        assert (repeated, left) == (False, 900)
        assert flood(market, "b", PlaceBid("none", "b", "t", 1)) is Rejected
        assert market.read(lambda state: state.receipts.get("a", "invoice-17")) is not None, "refusals push it out"
        assert flood(market, "operator", ExpireDue()) is SweepFinished
        assert market.read(lambda state: state.receipts.get("a", "invoice-17")) is None, "the window is full of others"
        assert pay(market) == (seq, True, 900)
    with open_exchange(database_url, clock=clock) as market:
        assert pay(market) == (seq, True, 900)
        assert market.wallet("b").balance_tokens == 1_100


@pytest.mark.timeout(300)
def test_a_service_that_is_killed_pays_once(database_url: str, tmp_path: Path) -> None:
    """IDM-1: the official client, with its own id, over a real process that dies, and the next one."""
    with open_exchange(database_url) as market:
        furnish(market, "a", "b")
        seq, *_ = pay(market)
        assert flood(market, "operator", ExpireDue()) is SweepFinished
    # It makes the admin's key where there is none yet.
    with served(database_url, tmp_path), Keyring(database_url, 0) as keyring:
        key = keyring.issue(NewKey(name="a", bid=("a",)), "a test").key
    for _ in range(2):
        with served(database_url, tmp_path) as process, Client(process.url, key) as client:
            assert pay(client) == (seq, True, 900)
            assert client.wallet("b").balance_tokens == 1_100
            process.kill()


def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_limits, "RECEIPTS_MAX", 1)


def paid_and_pushed_out(market: Exchange) -> int:
    """A payment whose whole reply is forgotten; its row."""
    furnish(market, "a", "b")
    seq, *_ = pay(market)
    market.open_account("stranger", command_id="stranger")
    return seq


def test_the_next_leader_knows_it(database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """IDM-1: a standby has followed, and answers as the leader would have."""
    small_window(monkeypatch)
    leader = open_exchange(database_url, clock=clock)
    with open_exchange(database_url, clock=clock, standby=True) as standby:
        seq = paid_and_pushed_out(leader)
        leader.close()
        assert standby.wait_until_leading(WAIT_S_MAX)
        clock.set_us(START_US + 24 * HOUR_US)
        assert pay(standby) == (seq, True, 900)
        assert standby.verify().ok


def test_a_snapshot_knows_it(database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """IDM-1: a recovery that does not read the row itself."""
    small_window(monkeypatch)
    with open_exchange(database_url, clock=clock) as market:
        seq = paid_and_pushed_out(market)
        snapshot(database_url)
    with open_exchange(database_url, clock=clock) as market:
        assert market.recovery.from_seq > seq
        assert pay(market) == (seq, True, 900)


def snapshot(url: str) -> None:
    with PostgresJournal(url, 0, reader=True) as journal, PostgresSnapshots(url, 0) as snapshots:
        Follower(journal, snapshots, 3).take()


def test_an_answer_that_is_not_waited_for_is_the_whole_one_too(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IDM-1: `applied` waits for the row all the same where only the journal knows what it said; asyncio too."""
    small_window(monkeypatch)
    with open_exchange(database_url, clock=clock) as market:
        seq = paid_and_pushed_out(market)
        assert pay(market.acknowledging("applied")) == (seq, True, 900)

        async def ask() -> int:
            again = AsyncExchange(market.acknowledging("applied"))
            return (await again.transfer("a", "b", 100, "invoice", command_id="invoice-17")).stamp.seq

        assert asyncio.run(ask()) == seq
        # In one batch with others, each has its own.
        requests = [Request("a", market_command(market, seq), "invoice-17"), Request("operator", ExpireDue(), "new")]
        told = market.submit(requests)
        assert [(one.seq == seq, one.repeated) for one in told] == [(True, True), (False, False)]


def test_a_retry_of_what_is_not_durable_yet_leaves_a_doubt(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IDM-1: with the fence locked the tables answer and lack the row: it has not left the journal, it is to come."""
    small_window(monkeypatch)
    with open_exchange(database_url, clock=clock) as market:
        furnish(market, "a", "b")
        quick = market.acknowledging("applied")
        with psycopg.connect(database_url) as other:
            other.execute("SELECT FROM engine_writer FOR UPDATE")
            seq, *_ = pay(quick)
            market.submit([Request("operator", ExpireDue(), f"s{number}") for number in range(20)], "applied")
            assert market.read(lambda state: state.receipts.get("a", "invoice-17")) is None
            with impatient(market, 0.2):
                with pytest.raises(UnknownOutcome):
                    pay(quick)
                with pytest.raises(UnknownOutcome):
                    asyncio.run(
                        AsyncExchange(quick).transfer("a", "b", 100, "invoice", command_id="invoice-17"),
                    )
        assert pay(quick) == (seq, True, 900)
        assert market.wallet("b").balance_tokens == 1_100


def market_command(market: Exchange, seq: int) -> Command:
    """The command of a row, as the journal has it."""
    with PostgresJournal(market.node.url, 0, reader=True) as journal:
        row = journal.row_at(seq)
        assert row is not None
        return row.entry().command


def test_a_row_that_left_the_journal_is_named(
    database_url: str, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IDM-1: done once all the same; what it said is in the archive, and nobody is told to try again for ever."""
    small_window(monkeypatch)
    with open_exchange(database_url, clock=clock) as market:
        seq = paid_and_pushed_out(market)
        snapshot(database_url)
        with (
            ArchivedJournal(PostgresJournal(database_url, 0, reader=True), tmp_path, 0) as archived,
            PostgresSnapshots(database_url, 0) as snapshots,
        ):
            projected(database_url)
            carry_out(database_url, archived, snapshots, plan(archived, snapshots, 0, 0), tmp_path, lambda _: None)
        with pytest.raises(Conflict, match=f"done as row {seq}, which has left the journal") as told:
            pay(market)
        assert "new id" not in str(told.value), "under a new one it would be paid twice"
        assert market.wallet("b").balance_tokens == 1_100


def test_a_database_that_answers_no_question_leaves_a_doubt(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IDM-1: it was done, so it is not `Unavailable`, which would say that nothing happened."""
    small_window(monkeypatch)
    with open_exchange(database_url, clock=clock) as market:
        seq = paid_and_pushed_out(market)
        # The connections of questions are gone; the writer has its own.
        market.wallets()
        market.node._tables.close()
        with pytest.raises(UnknownOutcome, match=f"done before, as row {seq}") as caught:
            pay(market)
        assert caught.value.seqs == range(seq, seq + 1)
        assert market.wallet("b").balance_tokens == 1_100


def test_every_other_actor_has_room_when_one_is_full(market: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """IDM-1: whoever is full is told so, and can go on without an id; nobody else hears of it."""
    monkeypatch.setattr(engine_limits, "RETRIES_PER_ACCOUNT_MAX", 1)
    furnish(market, "a", "b")
    pay(market)
    with pytest.raises(Refused, match="RETRIES_FULL: command_id 'invoice-18'"):
        pay(market, "invoice-18")
    assert market.transfer("b", "a", 1, "invoice", command_id="invoice-18").from_balance_tokens == 1_099
    assert market.transfer("a", "b", 1, "invoice").to_balance_tokens == 1_100
