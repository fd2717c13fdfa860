"""The database goes away while the market runs: who waits, who is refused, who is told that nobody knows; and closing.

Method: a real server is stopped, or frozen with SIGSTOP, and comes back, or does not.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

import pytest

from callmarket import Request, Unavailable, UnknownOutcome, open_exchange
from callmarket.bridge.api.contract.results import accepted
from callmarket.bridge.api.operations import rounds
from callmarket.bridge.api.operations.accounts import open_account
from callmarket.bridge.api.operations.bids import all_placed, place_bid
from callmarket.bridge.api.operations.rounds import sweep_request
from tests.support.client_log import read_rows
from tests.support.following import projected
from tests.support.own_server import OwnServer
from tests.support.small_market import furnish, impatient, in_threads, last_seq, until

Outage = Callable[[OwnServer], AbstractContextManager[None]]
OUTAGES = [pytest.param(OwnServer.away, id="stopped"), pytest.param(OwnServer.frozen, id="frozen")]


@pytest.mark.parametrize("outage", OUTAGES)
def test_outage_holds_callers_up_and_loses_nothing(
    own_server: OwnServer, own_url: str, monkeypatch: pytest.MonkeyPatch, outage: Outage
) -> None:
    """The queue fills to its bound; then it is refused, with a time to retry; who waits is answered in the end."""
    monkeypatch.setenv("CALLMARKET_QUEUE_ROWS_MAX", "20")
    with open_exchange(own_url) as market:
        market.open_account("a0")
        seqs: list[int] = []
        waiting = [lambda number=number: seqs.append(market.open_account(f"a{number}").seq) for number in range(1, 21)]
        raised: list[list[BaseException]] = []
        with outage(own_server):
            callers = threading.Thread(target=lambda: raised.append(in_threads(waiting)))
            callers.start()
            until(lambda: last_seq(market) == 21)
            for _ in range(3):
                with pytest.raises(Unavailable, match="queue is full") as caught:
                    market.open_account("late")
                assert caught.value.retry_after_s == 1.0
            with pytest.raises(Unavailable, match="queue is full"):
                market.submit([open_account.request("late")], ack="applied")
            assert market.wallet("a20").seq == 21, "reads go on"
            assert market.durable_seq == 1
            assert seqs == [], "nobody is answered before it is durable"
        callers.join()
        assert raised == [[]]
        assert sorted(seqs) == list(range(2, 22))
        assert market.open_account("late").seq == 22, "what was refused has left no trace"
        assert market.verify().ok
    assert len(read_rows(own_url)) == 22


def test_outages_one_after_the_other_under_load(own_server: OwnServer, own_url: str) -> None:
    """LED-1: the server is stopped twice and reset once while four clients pay each other; each payment is once."""
    with open_exchange(own_url) as market:
        furnish(market, "a", "b", tokens=100_000)
        stop = threading.Event()
        paid: list[int] = []

        def pay() -> None:
            while not stop.is_set():
                paid.append(market.transfer("a", "b", 1, "gift:any").transfer_id)

        raised: list[list[BaseException]] = []
        payers = threading.Thread(target=lambda: raised.append(in_threads([pay] * 4)))
        payers.start()
        for mode in ("fast", "immediate", "fast"):
            before = len(paid)
            until(lambda before=before: len(paid) > before + 20)
            with own_server.away(mode):
                pass
        stop.set()
        payers.join()
        assert raised == [[]]
        assert len(set(paid)) == len(paid)
        assert market.wallet("b").balance_tokens == 100_000 + len(paid)
        assert market.verify().ok


def test_no_confirmation_in_time_is_an_unknown_outcome(own_server: OwnServer, own_url: str) -> None:
    """IDM-1: it names the rows that are in doubt, and the retry by the same command id tells how it ended."""
    with open_exchange(own_url) as market:
        furnish(market, "a")
        with own_server.frozen(), impatient(market, 0.2):
            with pytest.raises(UnknownOutcome, match="applied as seq 4 to 4, not known to be durable") as caught:
                market.transfer("a", "treasury", 10, "gift:any", command_id="pay")
            assert caught.value.seqs == range(4, 5)
            assert market.wallet("a").balance_tokens == 990, "applied"
            assert len([market.acknowledging("applied").open_account(name) for name in "xyz"]) == 3
        until(lambda: market.durable_seq >= 7)
        again = market.transfer("a", "treasury", 10, "gift:any", command_id="pay")
        assert (again.stamp.seq, again.stamp.repeated, again.from_balance_tokens) == (4, True, 990)
        assert market.wallet("a").balance_tokens == 990


def test_outage_beyond_its_limit_stops_the_exchange(
    own_server: OwnServer, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After that people decide: all callers are told, also when the server is back; a restart recovers."""
    monkeypatch.setenv("CALLMARKET_OUTAGE_LIMIT_S", "0.2")
    market = open_exchange(own_url)
    furnish(market, "a")
    projected(own_url)
    with own_server.away():
        with pytest.raises(UnknownOutcome, match=r"unavailable for more than 0\.2 s"):
            market.mint("a", 5, "grant:any", command_id="mint")
        with pytest.raises(Unavailable, match="the database does not answer") as caught:
            market.why(1)
        assert caught.value.retry_after_s == 1.0
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"unavailable for more than 0\.2 s"):
            market.mint("a", 5, "grant:any", command_id="mint")
    with pytest.raises(Unavailable, match=r"unavailable for more than 0\.2 s"):
        market.close()
    with open_exchange(own_url) as again:
        minted = again.mint("a", 5, "grant:any", command_id="mint")
        assert (minted.stamp.repeated, minted.to_balance_tokens) == (False, 1_005)


def test_round_stands_though_its_sweeps_fail(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """BID-4: a call that is durable is not reported as failed because of what came after it; a later sweep ends it."""
    market = open_exchange(database_url)
    furnish(market, "a", tokens=10_000)
    all_placed(market.place_bids([place_bid.request("m", "a", f"t{number}", 10) for number in range(150)]))
    build = sweep_request

    def after_a_takeover(now: datetime | None = None, command_id: str = "") -> Request:
        open_exchange(database_url, takeover=True).close()
        return build(now, command_id=command_id)

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "sweep_request", after_a_takeover)
        cleared = market.clear_round("m", command_id="round-1")
    assert (cleared.stamp.durable, cleared.losers_remaining) == (True, 50)
    with pytest.raises(Unavailable):
        market.close()
    with open_exchange(database_url) as again:
        assert again.wallet("a").held_tokens == 50 * 10
        assert again.clear_round("m", command_id="round-1").stamp.repeated
        assert again.wallet("a").held_tokens == 0


# --- closing -----------------------------------------------------------------------------------------------------


def test_closing_writes_what_is_queued(database_url: str) -> None:
    market = open_exchange(database_url, ack="applied")
    for batch in range(5):
        accepted(market.submit([open_account.request(f"a{batch}-{number}") for number in range(1_000)]))
    market.close()
    market.close()
    assert len(read_rows(database_url)) == 5_000
    assert market.durable_seq == 5_000


def test_closed_exchange_is_unavailable(database_url: str) -> None:
    with open_exchange(database_url) as market:
        furnish(market, "a")
    for ask in (
        lambda: market.open_account("b"),
        lambda: market.place_bids([place_bid.request("m", "a", "t", 5)]),
        lambda: market.acknowledging("applied").open_account("b"),
        lambda: market.wallet("a"),
        lambda: market.get_order_book("m"),
        lambda: market.why(1),
        lambda: market.get_recent_stats("m"),
    ):
        with pytest.raises(Unavailable, match="the exchange is closed"):
            ask()
    assert len(read_rows(database_url)) == 3


def test_closing_from_many_threads_under_load(database_url: str) -> None:
    """Each caller is answered or told; what was answered is there."""
    market = open_exchange(database_url)
    market.open_account("a")
    answered: list[int] = []

    def work(name: str) -> None:
        for number in range(10_000):
            try:
                answered.append(market.open_account(f"{name}-{number}").seq)
            except (Unavailable, UnknownOutcome):
                return

    def close() -> None:
        until(lambda: len(answered) > 50)
        market.close()

    assert in_threads([*(lambda name=name: work(name) for name in "wxyz"), close, close]) == []
    journaled = {row.seq for row in read_rows(database_url)}
    assert journaled >= set(answered)
    assert journaled == set(range(1, len(journaled) + 1))


def test_closing_while_the_database_is_away_says_what_is_lost(own_server: OwnServer, own_url: str) -> None:
    """Nothing of it was acknowledged; it does not hang."""
    market = open_exchange(own_url)
    furnish(market, "a")
    with own_server.frozen(), impatient(market, 0.3):
        market.acknowledging("applied").open_account("b")
        with pytest.raises(Unavailable, match="Closed with 1 rows not on disk; none of them was acknowledged"):
            market.close()
        market.close()
    # What the server was sent before it froze may be there, once it goes on.
    assert len(read_rows(own_url)) in (3, 4)
