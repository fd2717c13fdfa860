"""The counts that are made on the way of a command, on a real market.

Goal: what Prometheus is told is what happened. Method: a market whose history is known, and its node's counts.
"""

import threading
from datetime import timedelta

import pytest

from callmarket import Exchange, Invalid, ManualClock, Refused, open_exchange
from callmarket.bridge.api.operations.bids import all_placed, place_bid
from callmarket.bridge.market.counters import APPLY_BOUNDS_S, CommandCounters
from callmarket.bridge.market.histogram import Histogram
from tests.support.small_market import at


def counts(counters: CommandCounters) -> dict[tuple[str, str], int]:
    return {(str(kind.__struct_config__.tag), how): count for (kind, how), count in counters.commands.items()}


def test_commands_are_counted_by_kind_and_by_how_they_ended(database_url: str, clock: ManualClock) -> None:
    with open_exchange(database_url, clock=clock) as market:
        worked(market)
        counters = market.node.counters
        assert counts(counters) == {
            ("open_market", "done"): 1,
            ("open_account", "done"): 2,
            ("mint", "done"): 2,
            ("offer_slot", "done"): 2,
            ("place_bid", "done"): 3,
            ("place_bid", "repeated"): 1,
            ("place_bid", "FUNDS_INSUFFICIENT"): 1,
            ("clear_round", "done"): 2,
            ("settle_award", "done"): 1,
        }
        commands = sum(counts(counters).values())
        assert sum(counters.apply.counts) == commands
        assert sum(counters.ack.counts) == commands, "each was waited for"
        assert counters.not_taken == counters.unknown_outcomes == 0

        first = counters.rounds["m"]
        assert (first.rounds, first.slots_available, first.bids_open, first.awards_granted) == (2, 2, 4, 2)
        assert first.clearing_price_tokens == 20, "the second call sold nothing, so the first one's price stands"


def test_what_sweeps_end_is_counted_by_its_kind(database_url: str, clock: ManualClock) -> None:
    """One award, two bids that expire, three holds, and four bids that lost beyond those that the call itself ends."""
    with open_exchange(database_url, clock=clock) as market:
        market.open_market("m", lease=timedelta(minutes=30))
        for name in "abcdefgh":
            market.open_account(name)
            market.mint(name, 10_000, "grant:initial")
        counters = market.node.counters

        def found() -> tuple[int, int, int, int]:
            return counters.awards_lapsed, counters.bids_expired, counters.holds_expired, counters.bids_lost

        for times in (1, 2):
            soon = at(clock()) + timedelta(hours=1)
            market.offer_slot("m", f"s{times}")
            market.place_bid("m", "a", f"won{times}", 900)
            all_placed(market.place_bids([place_bid.request("m", "b", f"lost{times}-{i}", 10) for i in range(104)]))
            market.clear_round("m")
            for name in "fg":
                market.place_bid("m", name, f"later{times}{name}", 20, time_in_force="gtd", ttl_at=soon)
            for name in "fgh":
                market.place_hold(f"hold{times}{name}", name, 5, "stake:any", expires_at=soon)
            market.refund_unfilled()
            assert found() == (times - 1, 2 * times - 2, 3 * times - 3, 4 * times), "nothing else is due yet"
            clock.set_us(clock() + 2 * 3_600_000_000)
            market.refund_unfilled()
            assert found() == (times, 2 * times, 3 * times, 4 * times)


def test_what_was_not_applied_is_counted_apart(database_url: str, clock: ManualClock) -> None:
    with open_exchange(database_url, clock=clock) as market:
        market.open_market("m")
        clock.set_us(-1)
        with pytest.raises(Invalid):
            market.open_account("a")
        clock.set_us(10**15)
        assert market.node.counters.not_taken == 1
        assert counts(market.node.counters) == {("open_market", "done"): 1}


def test_threads_lose_no_count() -> None:
    counters, threads = CommandCounters(), 8

    def work() -> None:
        for _ in range(5_000):
            counters.acknowledged(1, 0.5)
            counters.refused(1)
            counters.unknown(1)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (sum(counters.ack.counts), counters.not_taken, counters.unknown_outcomes) == (40_000, 40_000, 40_000)


def test_a_histogram_counts_at_most_so_long_with_all_below() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds, times in ((0.05, 1), (0.1, 2), (0.5, 3), (7.0, 4)):
        histogram.add(seconds, times)
    assert histogram.buckets() == [("0.1", 3.0), ("1.0", 6.0), ("+Inf", 10.0)]
    assert histogram.total_s == pytest.approx(0.05 + 0.2 + 1.5 + 28)
    assert APPLY_BOUNDS_S[0] == 1e-5


def worked(market: Exchange) -> None:
    """Two calls: at the first, two slots and three bids, of which one is of the same bidder again."""
    market.open_market("m")
    for name in "ab":
        market.open_account(name)
        market.mint(name, 100, "grant:initial")
    for slot_id in ("s1", "s2"):
        market.offer_slot("m", slot_id)
    market.place_bid("m", "a", "t1", 50, command_id="again")
    market.place_bid("m", "a", "t1", 50, command_id="again")
    market.place_bid("m", "b", "t2", 40)
    market.place_bid("m", "b", "t3", 20, time_in_force="gtd", ttl_at=market.node.now().replace(year=2100))
    with pytest.raises(Refused):
        market.place_bid("m", "b", "t4", 10_000)
    cleared = market.clear_round("m")
    assert [award.price_tokens for award in cleared.awards] == [20, 20]
    market.settle(cleared.awards[0].slot_id, 10, 1.0)
    market.clear_round("m")
