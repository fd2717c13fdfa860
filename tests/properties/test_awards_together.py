"""All awards of a call and its losers, taken in one pass, leave the very state that they leave one by one.

Goal: what is done in bulk is nothing but what is done for each, with every structure as its own check wants it.
Method: random worlds with crowded prices and deadlines, shared tasks and mixed kinds of bids, and many slots sold in
each call; the same events are folded together and one by one. The receipts alone may differ: they keep the events.
"""

import random
from collections.abc import Iterator

import pytest

from benchmarks.workload import accepted
from callmarket.engine.commands import (
    ClearRound,
    Command,
    Entry,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    SettleAward,
)
from callmarket.engine.core import Engine
from callmarket.engine.events import AwardsGranted, BidsExpired, BidsLost, Event, Events, one_by_one
from callmarket.engine.evolve import evolve
from callmarket.engine.receipts import Receipts
from callmarket.engine.state import State
from tests.support.recording import record
from tests.support.streams import bounds

WORLDS = 12
BIDDERS = 12


def image(state: State) -> bytes:
    """The state without its receipts, and whole."""
    state.check()
    other = State.decode(state.encode())
    other.receipts = Receipts()
    return other.encode()


def losers_one_by_one(event: Event) -> Iterator[Event]:
    """An event as it is; of losers one for each, by the way that knows them only by their ids."""
    if isinstance(event, BidsLost):
        for bid_id, bidder_id, tokens in zip(event.bid_ids, event.bidder_ids, event.released_tokens, strict=True):
            yield BidsExpired((bid_id,), (bidder_id,), (tokens,))
    else:
        yield event


def world(rng: random.Random) -> Engine:
    """A market with many bids, of which many share a price, a deadline or a task, and calls with many slots."""
    engine = Engine()

    def do(command: Command, at_us: int) -> Events:
        return engine.apply(Entry(engine.state.seq + 1, max(at_us, engine.state.at_us), "admin", command))

    rule = rng.choice(["first_rejected", "last_accepted", "pay_as_bid", "vickrey"])
    scope, cap = rng.choice(["market", "bidder"]), rng.choice([0, 0, 3])
    do(OpenMarket("m", rule, task_scope=scope, awards_per_bidder_max=cap), 0)
    for number in range(BIDDERS):
        do(OpenAccount(f"a{number}", "agent"), 0)
        do(Mint(f"a{number}", 10**6, "grant:first"), 0)
    prices, deadlines = rng.choice([3, 40, 10_000]), rng.choice([1, 5, 10**6])
    for number in range(rng.choice([30, 300, 300, 1_500])):
        ttl_at_us = 10**6 + rng.randrange(deadlines) if rng.random() < 0.8 else None
        in_force = "gtd" if ttl_at_us is not None and rng.random() < 0.7 else "round"
        task = f"t{rng.randrange(number + 1)}" if rng.random() < 0.2 else f"t{number}"
        bidder = f"a{rng.randrange(BIDDERS)}"
        do(PlaceBid("m", bidder, task, rng.randint(1, prices), 0, ttl_at_us, in_force), 0)
    return engine


@pytest.mark.parametrize("number", range(WORLDS))
def test_calls_with_many_awards_change_the_state_as_single_ones(seed: int, number: int) -> None:
    """CLR-6, CLR-8."""
    rng = random.Random(seed * WORLDS + number)
    engine, granted = world(rng), 0
    for call in range(4):
        state = engine.state
        for slot in range(rng.choice([1, 30, 200, 200, 1_200])):
            offer = OfferSlot("m", f"s{call}-{slot}", 0, rng.choice([0, 0, 2]), lease_us=rng.choice([50, 50, 10**6]))
            accepted(engine, Entry(state.seq + 1, state.at_us, "admin", offer))
        other = Engine(State.decode(state.encode()))
        entry = Entry(state.seq + 1, rng.choice([state.at_us, 10**6]), "admin", ClearRound("m"))
        events = engine.apply(entry)
        other.state.seq, other.state.at_us = entry.seq, entry.at_us
        for event in one_by_one(events):
            for one in losers_one_by_one(event):
                evolve(other.state, one)
        assert image(engine.state) == image(other.state)
        granted += sum(len(event.bid_ids) for event in events if isinstance(event, AwardsGranted))
        for award in list(state.awards.values()):
            if rng.random() < 0.5:
                engine.apply(Entry(state.seq + 1, state.at_us, "admin", SettleAward(award.slot_id, 1, 1)))
    assert granted


def test_streams_are_folded_together_and_one_by_one(seed: int) -> None:
    """Decision 1 of docs/decisions: rows of older rules, which have each award by itself, make the same state."""
    together = 0
    for stream_seed in range(seed, seed + 4):
        recording, engine = record(stream_seed, 300), Engine()
        with bounds(recording.bounds):
            for row, bytes_then in zip(recording.rows, recording.states, strict=True):
                engine.fold(row.entry, tuple(one_by_one(row.events)))
                if any(isinstance(event, AwardsGranted) for event in row.events):
                    together += 1
                    assert image(engine.state) == image(State.decode(bytes_then))
            assert image(engine.state) == image(State.decode(recording.states[-1]))
    assert together
