"""The generator of random streams reaches everything: a property tried on streams that miss a refusal says little.

Goal: over a fixed set of seeds every refusal, every event and a list of rare situations really occur.
Method: the naive market alone runs the streams and all that it says is counted.
"""

from collections import Counter
from collections.abc import Iterator
from typing import get_args

import pytest

from callmarket.engine import limits
from callmarket.engine.commands import CaptureHold, Command, Entry
from callmarket.engine.events import (
    AwardGranted,
    AwardLapsed,
    AwardSettled,
    AwardVoided,
    BidAmended,
    BidsExpired,
    Event,
    Events,
    HistoryBegun,
    HoldCaptured,
    HoldPlaced,
    HoldReleased,
    HoldsExpired,
    MarketOpened,
    Rejected,
    Repeated,
    RoundCleared,
    SlotOffered,
    SlotWithdrawn,
    SweepFinished,
    TransferPosted,
    one_by_one,
)
from callmarket.engine.limits import TOKENS_MAX
from callmarket.engine.reject import Reject
from tests.support import artifact_situations
from tests.support.artifact_situations import ArtifactObserver
from tests.support.naive import NaiveMarket
from tests.support.naive.retries import is_remembered_for_a_day
from tests.support.streams import Stream, bounds
from tests.support.swarms import capital_swarm, lingering_swarm, rewarding_swarm, swinging_swarm

SEEDS = range(240)
# Seeds of worlds in which due things wait long for a sweep.
LINGERING = range(60)
REWARDING = range(30)
TRADING = range(150)
SWINGING = range(30)
COMMANDS = 300

SITUATIONS = {
    "a round with supply and demand that matches nothing (CLR-7)",
    "a round that leaves losers to the sweeps (BID-4)",
    "a round that releases bids past their deadline (BID-4)",
    "an award without a runner-up (CLR-8)",
    "an award at a price of 0 (CLR-4)",
    "a premium of 0 (CLR-6)",
    "one bidder with several awards at several prices (CLR-5)",
    "an amendment to the same price (BID-5)",
    "an amendment of the deadline alone (BID-5)",
    "AwardSettled between one account and itself (SET-1)",
    "AwardLapsed between one account and itself (SET-1)",
    "a reward (SET-3)",
    "a lapse that charges (SET-5)",
    "a lapse that refunds (SET-5)",
    "a sweep that leaves something due (SET-6)",
    "a sweep that ends losers, awards and bids (SET-6)",
    "a sweep that ends awards alone and leaves something due (SET-6)",
    "a reward that takes all that there is (SET-3)",
    "an account rewarded up to the bound of a day (SET-3)",
    "an account rewarded twice on a day after another (SET-3)",
    "a slot offered again (SLT-2)",
    "a retry of a refused command (IDM-1)",
    "a retry that is known only for a day (IDM-1)",
    "a retry of what is forgotten after a day (IDM-1)",
    "a full supply (LED-4)",
    "a capture that gives a rest back (HLD-3)",
    "a capture that LED-4 refuses (HLD-3)",
    "an end by another than the account (HLD-2)",
    "a sweep that frees holds and leaves some due (HLD-5)",
    "a sweep that ends bids and frees holds (SET-6)",
    "an id used again for another hold (HLD-6)",
    "a slot offered under an id that another provider's live slot has (SLT-1)",
    "an award of a slot whose id another provider's live slot has (SLT-1)",
    "a hold under an id that another account's open hold has (HLD-1)",
}


def is_anothers(named: tuple[str, str], there: set[tuple[str, str]]) -> bool:
    """Whether somebody else has one of this id."""
    owner, one_id = named
    return any(other != owner and other_id == one_id for other, other_id in there)


class Observer:
    """Names the situations in a stream as it goes by."""

    def __init__(self) -> None:
        # Slots and holds by whose they are and id: all so far, and those that are live and open.
        self.slots: set[tuple[str, str]] = set()
        self.live: set[tuple[str, str]] = set()
        self.own_awards: set[int] = set()
        self.refused: set[int] = set()
        self.holds: set[tuple[str, str]] = set()
        self.open: set[tuple[str, str]] = set()
        # Of what was done under an id: the rows in order, and under which ids tokens moved when.
        self.done: list[int] = []
        self.moved: dict[tuple[str, str, Command], int] = {}
        # The bound of each market, and what was paid to whom on which day.
        self.day_caps: dict[str, int] = {}
        self.rewarded: dict[tuple[str, str, int], int] = {}

    def situations(self, entry: Entry, events: Events) -> Iterator[str]:
        """Yield what is remarkable in one entry and its events."""
        events = tuple(one_by_one(events))
        for index, event in enumerate(events):
            yield from self.at_the_call(event, events[:index], events[index + 1 :])
            yield from self.of_bids_and_slots(entry, event)
            yield from self.after_the_call(event)
            yield from self.of_named_holds(entry, event)
        yield from self.of_retries(entry, events[0])
        if isinstance(events[0], Rejected):
            self.refused.add(entry.seq)
        elif entry.command_id and not isinstance(events[0], Repeated):
            self.done.append(entry.seq)
            if is_remembered_for_a_day(entry.command):
                self.moved[entry.actor, entry.command_id, entry.command] = entry.at_us

    def of_retries(self, entry: Entry, first: Event) -> Iterator[str]:
        """Yield what is remarkable in how a command is known again, or no longer."""
        moved_at_us = self.moved.get((entry.actor, entry.command_id, entry.command))
        if isinstance(first, Repeated):
            later = len([seq for seq in self.done if seq > first.first_seq])
            if first.first_seq in self.done and later >= limits.RECEIPTS_MAX:
                yield "a retry that is known only for a day (IDM-1)"
        elif moved_at_us is not None and not isinstance(first, Rejected):
            yield "a retry of what is forgotten after a day (IDM-1)"

    def at_the_call(self, event: Event, before: Events, after: Events) -> Iterator[str]:
        """Yield what is remarkable in an event of a call."""
        match event:
            case RoundCleared():
                if event.slots_available and event.bids_open and not event.awards_granted:
                    yield "a round with supply and demand that matches nothing (CLR-7)"
                if event.losers_remaining:
                    yield "a round that leaves losers to the sweeps (BID-4)"
                if any(isinstance(later, BidsExpired) for later in after):
                    yield "a round that releases bids past their deadline (BID-4)"
            case AwardGranted():
                if event.runner_up_task_id is None:
                    yield "an award without a runner-up (CLR-8)"
                if event.price_tokens == 0:
                    yield "an award at a price of 0 (CLR-4)"
                if event.premium_tokens == 0:
                    yield "a premium of 0 (CLR-6)"
                others = [award for award in before if isinstance(award, AwardGranted)]
                if any(o.bidder_id == event.bidder_id and o.price_tokens != event.price_tokens for o in others):
                    yield "one bidder with several awards at several prices (CLR-5)"
            case _:
                pass

    def of_bids_and_slots(self, entry: Entry, event: Event) -> Iterator[str]:
        """Yield what is remarkable in how bids, slots and commands come back, and in how tokens come to be."""
        match event:
            case BidAmended() if event.priority_seq != entry.seq:
                yield "an amendment of the deadline alone (BID-5)"
            case BidAmended() if event.max_price_tokens == event.max_price_tokens_before:
                yield "an amendment to the same price (BID-5)"
            case SlotOffered():
                slot = event.provider_id, event.slot_id
                if slot in self.slots:
                    yield "a slot offered again (SLT-2)"
                if is_anothers(slot, self.live):
                    yield "a slot offered under an id that another provider's live slot has (SLT-1)"
                self.slots.add(slot)
                self.live.add(slot)
            case AwardGranted() if is_anothers((event.provider_id, event.slot_id), self.live):
                yield "an award of a slot whose id another provider's live slot has (SLT-1)"
            case SlotWithdrawn() | AwardSettled() | AwardVoided() | AwardLapsed():
                self.live.remove((event.provider_id, event.slot_id))
                yield from self.of_rewards(entry, event)
            case Repeated() if event.first_seq in self.refused:
                yield "a retry of a refused command (IDM-1)"
            case TransferPosted() if -event.debit_balance_tokens == TOKENS_MAX:
                yield "a full supply (LED-4)"
            case _:
                yield from self.of_rewards(entry, event)

    def of_rewards(self, entry: Entry, event: Event) -> Iterator[str]:
        """Yield what bounds a reward."""
        match event:
            case MarketOpened():
                self.day_caps[event.market_id] = event.reward_day_cap_tokens
            case TransferPosted(reason="reward:impact", debit_balance_tokens=0):
                yield "a reward that takes all that there is (SET-3)"
            case AwardSettled(market_id=market_id) if event.reward_tokens:
                key = market_id, event.bidder_id, entry.at_us // limits.REWARD_DAY_US
                self.rewarded[key] = self.rewarded.get(key, 0) + event.reward_tokens
                assert self.rewarded[key] <= self.day_caps[market_id]
                earlier = [day for market, bidder, day in self.rewarded if (market, bidder) == key[:2] and day < key[2]]
                if earlier and self.rewarded[key] > event.reward_tokens:
                    yield "an account rewarded twice on a day after another (SET-3)"
                if self.rewarded[key] == self.day_caps[market_id]:
                    yield "an account rewarded up to the bound of a day (SET-3)"
            case _:
                pass

    def of_named_holds(self, entry: Entry, event: Event) -> Iterator[str]:
        """Yield what is remarkable in how named holds come and go."""
        match event:
            case HoldPlaced():
                hold = event.account_id, event.hold_id
                if hold in self.holds:
                    yield "an id used again for another hold (HLD-6)"
                if is_anothers(hold, self.open):
                    yield "a hold under an id that another account's open hold has (HLD-1)"
                self.holds.add(hold)
                self.open.add(hold)
            case HoldsExpired():
                self.open -= set(zip(event.account_ids, event.hold_ids, strict=True))
            case HoldCaptured() | HoldReleased():
                self.open.remove((event.account_id, event.hold_id))
                if event.released_tokens and isinstance(event, HoldCaptured):
                    yield "a capture that gives a rest back (HLD-3)"
                if entry.actor != event.account_id:
                    yield "an end by another than the account (HLD-2)"
            case Rejected(reason=Reject.EARNING_DUPLICATE | Reject.EARNINGS_FULL):
                if isinstance(entry.command, CaptureHold):
                    yield "a capture that LED-4 refuses (HLD-3)"
            case SweepFinished() if event.holds_expired:
                if event.more_due:
                    yield "a sweep that frees holds and leaves some due (HLD-5)"
                if event.bids_expired:
                    yield "a sweep that ends bids and frees holds (SET-6)"
            case _:
                pass

    def after_the_call(self, event: Event) -> Iterator[str]:
        """Yield what is remarkable in how awards end, and in sweeps."""
        match event:
            case AwardGranted() if event.bidder_id == event.provider_id and event.price_tokens:
                self.own_awards.add(event.award_id)
            case AwardSettled() | AwardLapsed() if event.award_id in self.own_awards:
                yield f"{type(event).__name__} between one account and itself (SET-1)"
            case AwardSettled() if event.reward_tokens:
                yield "a reward (SET-3)"
            case AwardLapsed() if event.price_tokens:
                yield "a lapse that charges (SET-5)" if event.charged_tokens else "a lapse that refunds (SET-5)"
            case SweepFinished():
                if event.more_due:
                    yield "a sweep that leaves something due (SET-6)"
                if event.more_due and event.awards_lapsed and not event.bids_lost + event.bids_expired:
                    yield "a sweep that ends awards alone and leaves something due (SET-6)"
                if event.bids_lost and event.awards_lapsed and event.bids_expired:
                    yield "a sweep that ends losers, awards and bids (SET-6)"
            case _:
                pass


@pytest.fixture(scope="module")
def counted() -> Counter[object]:
    """Count refusals, types of events and situations over all seeds."""
    counts: Counter[object] = Counter()
    streams = [Stream(seed) for seed in SEEDS]
    streams += [Stream(seed, choose_swarm=lingering_swarm) for seed in LINGERING]
    streams += [Stream(seed, choose_swarm=rewarding_swarm) for seed in REWARDING]
    streams += [Stream(seed, choose_swarm=capital_swarm) for seed in TRADING]
    streams += [Stream(seed, choose_swarm=swinging_swarm) for seed in SWINGING]
    for stream in streams:
        naive, observer, artifacts = NaiveMarket(), Observer(), ArtifactObserver()
        with bounds(stream.swarm.bounds):
            for _ in range(COMMANDS):
                entry = stream.next_entry()
                events = naive.apply(entry)
                stream.observe(entry, events)
                counts.update(observer.situations(entry, events))
                counts.update(artifacts.situations(entry, events))
                counts.update(type(event) for event in events)
                counts.update(event.reason for event in events if isinstance(event, Rejected))
    return counts


def test_streams_reach_every_refusal(counted: Counter[object]) -> None:
    assert [reason.value for reason in Reject if counted[reason] < 5] == []


def test_streams_reach_every_event(counted: Counter[object]) -> None:
    # In a stream nothing is lost.
    rare = {event for event in get_args(Event) if counted[event] < 100}
    # Rows of these rules say the awards of a call together.
    assert rare == {HistoryBegun, AwardGranted}


def test_streams_reach_the_rare_situations(counted: Counter[object]) -> None:
    wanted = SITUATIONS | artifact_situations.SITUATIONS
    assert sorted(name for name in wanted if counted[name] < 3) == []


def test_streams_do_not_drown_in_refusals(counted: Counter[object]) -> None:
    """At least a third of all commands change something, or the rare successes would hide what follows them."""
    streams = len(SEEDS) + len(LINGERING) + len(REWARDING) + len(TRADING) + len(SWINGING)
    assert counted[Rejected] + counted[Repeated] < streams * COMMANDS * 2 / 3


def test_a_stream_follows_from_its_seed(seed: int) -> None:
    def run() -> list[tuple[Entry, Events]]:
        stream, naive, record = Stream(seed), NaiveMarket(), []
        with bounds(stream.swarm.bounds):
            for _ in range(200):
                entry = stream.next_entry()
                events = naive.apply(entry)
                stream.observe(entry, events)
                record.append((entry, events))
        return record

    assert run() == run()
