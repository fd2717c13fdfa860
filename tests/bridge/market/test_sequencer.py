"""The one order: who gives the time, what happens when an invariant breaks, and batches that are cut short."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from callmarket import Exchange, Invalid, ManualClock, NotLeader, Unavailable, open_exchange
from callmarket.bridge.api.messages import Request
from callmarket.bridge.api.operations.accounts import open_account
from callmarket.bridge.api.operations.bids import place_bid
from callmarket.bridge.api.operations.rounds import sweep_request
from callmarket.bridge.market import app
from callmarket.bridge.market.sequencer import CLOCK_AHEAD_US_MAX, Sequencer
from callmarket.engine import core
from callmarket.engine.codec import GENESIS_DIGEST, SealedRow
from callmarket.engine.commands import Entry
from callmarket.engine.core import Engine
from callmarket.engine.events import Events
from callmarket.engine.state import State
from callmarket.persistence.errors import Fenced
from callmarket.persistence.journal.memory import MemoryDatabase, MemoryJournal
from callmarket.persistence.writer.limits import Limits
from callmarket.persistence.writer.write_behind import WriteBehind
from tests.bridge.conftest import START_US
from tests.support.client_log import read_rows
from tests.support.small_market import WAIT_S_MAX, at, furnish, last_seq

# --- time --------------------------------------------------------------------------------------------------------


def test_time_never_runs_back_when_the_clock_does(market: Exchange, clock: ManualClock) -> None:
    assert market.open_account("a").at == at(START_US)
    clock.set_us(START_US - 3_600_000_000)
    assert market.open_account("b").at == at(START_US)
    clock.set_us(START_US + 1)
    assert market.open_account("c").at == at(START_US + 1)


def test_time_never_runs_back_over_a_restart(database_url: str, clock: ManualClock) -> None:
    with open_exchange(database_url, clock=clock) as market:
        market.open_account("a")
    clock.set_us(START_US - 1)
    with open_exchange(database_url, clock=clock) as market:
        assert market.open_account("b").at == at(START_US)


def test_caller_may_say_when_now_is(market: Exchange, clock: ManualClock) -> None:
    """Up to a second ahead of the clock; and then it is that time for everyone."""
    furnish(market, "a")
    ahead = at(START_US + CLOCK_AHEAD_US_MAX)
    assert market.clear_round("m", ahead).stamp.at == ahead
    assert market.place_bid("m", "a", "t", 5).stamp.at == ahead
    assert market.refund_unfilled(at(START_US)).stamp.at == ahead, "a caller cannot turn it back either"


def test_caller_too_far_ahead_is_invalid(market: Exchange) -> None:
    """More than a second ahead would move the market's time for everyone; nothing is recorded."""
    furnish(market, "a")
    before = last_seq(market)
    with pytest.raises(Invalid) as caught:
        market.clear_round("m", at(START_US + CLOCK_AHEAD_US_MAX + 1))
    assert (caught.value.field, caught.value.value) == ("now", START_US + CLOCK_AHEAD_US_MAX + 1)
    with pytest.raises(Invalid):
        market.submit([open_account.request("b"), sweep_request(at(START_US * 2))])
    assert last_seq(market) == before, "one bad request takes the whole batch with it"


def test_deadlines_follow_the_clock_that_is_set(market: Exchange, clock: ManualClock) -> None:
    """BID-3: to the microsecond."""
    furnish(market, "a")
    market.place_bid("m", "a", "t", 5, ttl_at=at(START_US + 10))
    clock.set_us(START_US + 9)
    assert market.refund_unfilled().bids_expired == 0
    clock.set_us(START_US + 10)
    assert market.refund_unfilled().bids_expired == 1


def test_clock_that_does_not_give_microseconds_is_refused(market: Exchange, clock: ManualClock) -> None:
    """Once it were recorded, time could never run back from there."""
    market.open_account("a")
    wrong: list[Any] = [1.8e15, START_US * 1_000, -1, None]
    for at_us in wrong:
        clock.set_us(at_us)
        with pytest.raises(Invalid, match="clock: expected whole microseconds since 1970"):
            market.open_account("b")
    clock.set_us(START_US + 1)
    assert market.open_account("b").seq == 2


# --- a broken invariant ------------------------------------------------------------------------------------------


@contextmanager
def decide_that_breaks(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, *, at_call: int = 1, change: bool = False
) -> Iterator[None]:
    """A bug in the engine: deciding raises, perhaps after it has changed what it must not."""
    real, calls = core.decide, 0

    def decide(state: State, entry: Entry) -> Events:
        nonlocal calls
        calls += 1
        if calls < at_call:
            return real(state, entry)
        if change:
            state.ledger.accounts["a"].balance_tokens += 1_000_000
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(core, "decide", decide)
        yield


@pytest.mark.parametrize("error", [AssertionError("a bug"), KeyboardInterrupt(), KeyError("x")], ids=repr)
def test_broken_invariant_stops_everything_and_recovery_is_right(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """After it nothing is taken or shown any more; the journal has nothing of it; a restart is as before."""
    market = open_exchange(database_url, clock=clock)
    furnish(market, "a")
    image, before = market.image(), last_seq(market)
    with decide_that_breaks(monkeypatch, error, change=True), pytest.raises(type(error)):
        market.mint("a", 5, "grant:any")
    for ask in (
        lambda: market.mint("a", 5, "grant:any"),
        lambda: market.place_bids([place_bid.request("m", "a", "t", 5)]),
        lambda: market.wallet("a"),
        market.image,
    ):
        with pytest.raises(Unavailable, match="the engine stopped in the middle of a command"):
            ask()
    assert len(read_rows(database_url)) == before
    # Whoever serves it hears of that, though nobody asks any more.
    reign = market.node._session
    assert reign is not None
    assert reign.over.wait(WAIT_S_MAX)
    assert "stopped in the middle" in market.node.wait_until_over(0)
    market.close()
    with open_exchange(database_url, clock=clock) as again:
        assert again.image() == image
        assert again.mint("a", 5, "grant:any").to_balance_tokens == 1_005


def test_waiting_callers_are_answered_when_another_breaks_the_engine(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was applied before the bug is journaled all the same, and acknowledged."""
    with open_exchange(database_url, clock=clock) as market:
        eager = market.acknowledging("applied")
        stamp = eager.open_account("a")
        with decide_that_breaks(monkeypatch, AssertionError("a bug")), pytest.raises(AssertionError):
            eager.open_account("b")
    assert [row.seq for row in read_rows(database_url)] == [stamp.seq]


def test_batch_that_breaks_in_the_middle_did_not_happen(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows of a batch go to the journal together, so a batch that broke can be sent again as a whole."""
    with open_exchange(database_url, clock=clock) as market:
        asked = [open_account.request(f"a{number}", command_id=f"open-{number}") for number in range(5)]
        with decide_that_breaks(monkeypatch, AssertionError("a bug"), at_call=3), pytest.raises(AssertionError):
            market.submit(asked)
    with open_exchange(database_url, clock=clock) as market:
        assert [reply.repeated for reply in market.submit(asked)] == [False] * 5


def test_batch_cut_short_by_the_journal_did_not_happen(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IDM-1: the writer stops in the middle of a batch: none of it is in, and that is what is said."""
    writers: list[WriteBehind] = []

    def write_behind(*arguments: Any, **options: Any) -> WriteBehind:
        writers.append(WriteBehind(*arguments, **options))
        return writers[-1]

    with monkeypatch.context() as patch:
        patch.setattr(app, "WriteBehind", write_behind)
        market = open_exchange(database_url, clock=clock)
    asked = [open_account.request(f"a{number}", command_id=f"open-{number}") for number in range(5)]
    real = core.decide

    def decide(state: State, entry: Entry) -> Events:
        if entry.seq == 3:
            writers[0].stop(Fenced("another writer has taken over"))
        return real(state, entry)

    with monkeypatch.context() as patch:
        patch.setattr(core, "decide", decide)
        with pytest.raises(NotLeader, match="another writer has taken over"):
            market.submit(asked)
    with pytest.raises(Unavailable):
        market.close()
    with open_exchange(database_url, clock=clock) as again:
        assert [reply.repeated for reply in again.submit(asked)] == [False] * 5


def test_closing_waits_for_a_batch(database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who closes at the same moment comes before a batch or after it, never between."""
    market = open_exchange(database_url, clock=clock)
    asked = [open_account.request(f"a{number}", command_id=f"open-{number}") for number in range(5)]
    real = core.decide
    closer = threading.Thread(target=market.close)

    def decide(state: State, entry: Entry) -> Events:
        if entry.seq == 3:
            closer.start()
            closer.join(0.1)
        return real(state, entry)

    with monkeypatch.context() as patch:
        patch.setattr(core, "decide", decide)
        assert [reply.seq for reply in market.submit(asked)] == [1, 2, 3, 4, 5]
    closer.join()
    with open_exchange(database_url, clock=clock) as again:
        assert [reply.repeated for reply in again.submit(asked)] == [True] * 5


# --- batches and the queue ---------------------------------------------------------------------------------------


class Watched(WriteBehind):
    """A writer whose journal takes nothing, and that knows how it was handed what."""

    def __init__(self, queue_rows_max: int) -> None:
        self.handed: list[int] = []
        self.gate, journal = threading.Event(), MemoryJournal(MemoryDatabase())
        journal.claim()

        def open_journal() -> MemoryJournal:
            assert self.gate.wait(30)
            return journal

        super().__init__(open_journal, journal.position(), Limits(queue_rows_max=queue_rows_max))

    def enqueue(self, *rows: SealedRow, wakes: bool = True) -> None:
        self.handed.append(len(rows))
        super().enqueue(*rows, wakes=wakes)


@contextmanager
def sequencing(queue_rows_max: int) -> Iterator[tuple[Sequencer, Watched]]:
    writer = Watched(queue_rows_max)
    try:
        yield Sequencer(Engine(), GENESIS_DIGEST, writer, lambda: START_US), writer
    finally:
        writer.gate.set()
        writer.close()


def accounts(*names: str) -> list[Request]:
    return [open_account.request(name) for name in names]


def test_a_batch_is_handed_over_in_one_piece() -> None:
    """All of its rows or none: between two of them the writer may stop for good."""
    with sequencing(queue_rows_max=10) as (sequencer, writer):
        sequencer.submit(accounts("a", "b", "c"))
        sequencer.submit(accounts("d"))
        assert writer.handed == [3, 1]


def test_a_batch_for_which_there_is_no_room_is_refused_before_it_is_applied() -> None:
    """And a smaller one is taken: what was refused has changed nothing and stopped nothing."""
    with sequencing(queue_rows_max=4) as (sequencer, writer):
        sequencer.submit(accounts("a", "b", "c"))
        with pytest.raises(Unavailable, match="queue is full"):
            sequencer.submit(accounts("d", "e"))
        assert (sequencer.seq, sequencer.works) == (3, True)
        sequencer.submit(accounts("d"))
        assert (sequencer.seq, writer.handed) == (4, [3, 1])


def test_a_retry_is_durable_with_its_own_row() -> None:
    """The first may be on the disk already: what is told again is recorded as any other answer (IDM-1)."""
    with sequencing(queue_rows_max=4) as (sequencer, _):
        once = [open_account.request("a", command_id="k")]
        (first,), (again,) = sequencer.submit(once), sequencer.submit(once)
        assert (first.journal_seq, first.repeated) == (1, False)
        assert (again.journal_seq, again.seq, again.repeated) == (2, 1, True)


# --- the interpreter ---------------------------------------------------------------------------------------------


def test_the_collector_does_not_run_in_a_call(market: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little it takes to start it: everybody waits for the lock."""
    furnish(market, "a")
    for number in range(50):
        market.offer_slot("m", f"s{number}")
        market.place_bid("m", "a", f"t{number}", 1)
    running, began = False, list[bool]()
    apply = core.Engine.apply

    def applied(self: core.Engine, entry: Entry) -> Events:
        nonlocal running
        running = True
        try:
            return apply(self, entry)
        finally:
            running = False

    def collects(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            began.append(running)

    monkeypatch.setattr(core.Engine, "apply", applied)
    before = gc.get_threshold()
    gc.callbacks.append(collects)
    gc.set_threshold(1, 1, 1)
    try:
        assert len(market.clear_round("m").awards) == 50
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(collects)
    assert began, "it has run meanwhile, only not there"
    assert not any(began)
    assert gc.isenabled()
