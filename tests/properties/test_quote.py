"""A quote is what really happens: the bid placed, last in time at its price, and the market called at that moment.

Goal: for random states, prices, bidders and tasks, under every pricing rule, `quote` says what placing (or amending)
the bid and calling a copy of the engine gives, and what the naive market gives, and that a lower price than the lowest
winning one does not win. Method: the streams of `tests.support.streams`; the quoted market is copied, the market itself
goes on. The cost is counted, not timed (CLR-9).
"""

import copy
import random
from collections.abc import Iterator

import pytest

from callmarket.engine.book import Bid, Book
from callmarket.engine.commands import (
    ADMIN,
    OPERATOR,
    AmendBid,
    ClearRound,
    Command,
    Entry,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
)
from callmarket.engine.core import Engine
from callmarket.engine.events import AwardGranted, Events, Rejected, RoundCleared, one_by_one
from callmarket.engine.limits import TOKENS_MAX
from callmarket.engine.quote import Quote, quote
from callmarket.engine.reject import Reject
from callmarket.engine.state import State
from tests.engine.test_call_cost import FEW, SLOTS, crowded
from tests.support.agreement import Pair
from tests.support.naive.calls import eligible_bids, live_bids
from tests.support.script import play
from tests.support.streams import PRICING_RULES, Stream, bounds

STREAMS = 10
COMMANDS = 160
MANY = 20_000
NOBODY = "nobody-yet"


class Truth:
    """What placing a bid and calling the market gives, in a copy of both markets."""

    def __init__(self, pair: Pair, at_us: int) -> None:
        self.engine = Engine(State.decode(pair.engine.state.encode()))
        self.naive = copy.deepcopy(pair.naive)
        self.at_us = at_us

    def apply(self, actor: str, command: Command) -> Events:
        entry = Entry(self.engine.state.seq + 1, self.at_us, actor, command)
        events, expected = self.engine.apply(entry), self.naive.apply(entry)
        assert [type(event) for event in events] == [type(event) for event in expected]
        return events

    def place(self, market_id: str, bidder_id: str, task_id: str, price: int, own_bid_id: int | None) -> Events:
        if not bidder_id:
            bidder_id, task_id = NOBODY, task_id or "no-task-yet"
            self.apply(ADMIN, OpenAccount(NOBODY, "agent"))
            if isinstance(self.apply(ADMIN, Mint(NOBODY, price, "grant:now"))[0], Rejected):
                return ()
        elif not task_id:
            task_id = "no-task-yet"
        if own_bid_id is not None:
            return self.apply(bidder_id, AmendBid(own_bid_id, price))
        return self.apply(bidder_id, PlaceBid(market_id, bidder_id, task_id, price))

    def rank(self, market_id: str, bid_id: int) -> int | None:
        """Its place among the eligible bids, as the naive market lists them from the whole book."""
        self.naive.now = self.at_us
        market = self.naive.markets[market_id]
        listed = eligible_bids(self.naive, market, live_bids(self.naive, market, self.naive.book(market_id)))
        return next((rank for rank, bid in enumerate(listed, 1) if bid.bid_id == bid_id), None)

    def call(self, market_id: str) -> tuple[RoundCleared, dict[int, int]]:
        events = self.apply(OPERATOR, ClearRound(market_id))
        (cleared,) = [event for event in events if isinstance(event, RoundCleared)]
        return cleared, {
            event.bid_id: event.price_tokens for event in one_by_one(events) if isinstance(event, AwardGranted)
        }


def compare(pair: Pair, market_id: str, bidder_id: str, task_id: str, price: int, at_us: int) -> Quote | None:
    """Ask, and let it happen. Returns the quote, None where the truth cannot be had (no tokens are left to mint)."""
    state = pair.engine.state
    before = state.encode()
    asked = quote(state, market_id, price, at_us, bidder_id, task_id)
    assert asked is not None
    # Told to read fewer bids, it says the same or nothing.
    for bids_max in (1, 2, 5):
        assert quote(state, market_id, price, at_us, bidder_id, task_id, bids_max) in (None, asked)
    assert state.encode() == before, "a quote has changed the state"
    as_it_is, _ = Truth(pair, at_us).call(market_id)
    assert asked.clearing_price_without_tokens == as_it_is.clearing_price_tokens
    assert asked.slots_available == as_it_is.slots_available
    truth = Truth(pair, at_us)
    events = truth.place(market_id, bidder_id, task_id, price, asked.replaces_bid_id)
    if not events:
        return None
    (event,) = events
    if isinstance(event, Rejected):
        if bidder_id:
            assert (asked.wins, asked.price_tokens, asked.refusal) == (False, None, event), event
        elif event.reason is Reject.TASK_AWARDED:
            assert not asked.wins
        return asked
    assert asked.refusal is None
    bid_id = asked.replaces_bid_id or truth.engine.state.bids_placed
    rank = truth.rank(market_id, bid_id)
    assert asked.rank == (rank if rank is not None and rank <= asked.slots_available + 1 else None)
    assert rank is None or asked.bids_ahead == min(rank - 1, asked.slots_available + 1)
    cleared, paid = truth.call(market_id)
    assert asked.wins == (bid_id in paid), (asked, cleared)
    assert asked.price_tokens == paid.get(bid_id)
    assert asked.clearing_price_tokens == cleared.clearing_price_tokens
    # The lowest price that wins parts those that win from those that do not.
    lowest = asked.winning_price_tokens
    assert asked.wins == (lowest is not None and price >= lowest), asked
    return asked


@pytest.mark.parametrize("pricing_rule", PRICING_RULES)
def test_a_quote_is_what_placing_the_bid_then_does(pricing_rule: str, seed: int) -> None:
    """BID-2, BID-5, BID-6, CLR-1 to CLR-5: wins, price, rank, refusal and the lowest winning price, by doing it."""
    won = lost = refused = replaced = passed_over = 0
    for stream_seed in range(seed, seed + STREAMS):
        stream, pair, rng = Stream(stream_seed, (pricing_rule,)), Pair(), random.Random(stream_seed)  # type: ignore[arg-type]
        with bounds(stream.swarm.bounds):
            for index in range(COMMANDS):
                entry = stream.next_entry()
                events, difference = pair.apply(entry)
                assert not difference, difference
                stream.observe(entry, events)
                if index % 4 or not stream.seen.markets:
                    continue
                asked = asked_once(stream, pair, rng, f"stream {stream_seed}, index {index}")
                if asked is not None:
                    won += asked.wins
                    lost += not asked.wins and asked.refusal is None
                    refused += asked.refusal is not None
                    replaced += asked.replaces_bid_id is not None
                    passed_over += asked.rank is None and asked.refusal is None
    # It has met all that it is about.
    assert min(won, lost, refused, replaced, passed_over) > 5, (won, lost, refused, replaced, passed_over)


def asked_once(stream: Stream, pair: Pair, rng: random.Random, where: str) -> Quote | None:
    """One random question, and, if it names a price that would win, that price and the one below it too."""
    market_id = rng.choice(stream.seen.markets)
    bidder_id = rng.choice(["", *stream.seen.bidders, *stream.seen.bidders])
    task_id = rng.choice(["", *stream.tasks]) if bidder_id else ""
    mine = pair.engine.state.markets[market_id].bids_by_bidder.get(bidder_id)
    if mine and rng.random() < 0.3:
        task_id = rng.choice(list(mine))
    price = rng.choice([bid.max_price_tokens for bid in pair.engine.state.bids.values()] or [1])
    price = max(1, min(TOKENS_MAX, price + rng.choice((-1, 0, 0, 1, rng.randint(-20, 20)))))
    at_us = pair.engine.state.at_us + rng.choice((0, 0, 1, 100))
    question = (market_id, bidder_id, task_id)
    try:
        asked = compare(pair, *question, price, at_us)
        lowest = asked.winning_price_tokens if asked else None
        if lowest is not None:
            compare(pair, *question, lowest, at_us)
            if lowest > 1:
                compare(pair, *question, lowest - 1, at_us)
    except AssertionError as error:
        raise AssertionError(f"{where}: {question}, price {price}, at {at_us}: {error}") from error
    return asked


@pytest.mark.parametrize("force", ["gtd", "round"])
def test_quote_does_not_scan_the_book(force: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLR-9: with hundreds of times as many resting bids a quote looks at the same bids, whatever its price."""
    few, many = (crowded(count, force) for count in (FEW, MANY))  # type: ignore[arg-type]
    for price in (1, 500, 2_000):
        # Three walks: with the bid, without it, and of those ahead of it; each sees the slots' bids and a few more.
        seen = [bids_seen(engine, price, monkeypatch) for engine in (few, many)]
        assert 0 < min(seen) <= max(seen) <= 3 * (SLOTS + 3), (price, seen)


def bids_seen(engine: Engine, price: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bids the books hand out for one quote."""
    handed_out = 0
    iterate = Book.__iter__

    def counting(book: Book) -> Iterator[Bid]:
        nonlocal handed_out
        for bid in iterate(book):
            handed_out += 1
            yield bid

    with monkeypatch.context() as patch:
        patch.setattr(Book, "__iter__", counting)
        quote(engine.state, "m", price, 0)
    return handed_out


def test_a_quote_for_three_bids_and_two_slots_worked_out_by_hand() -> None:
    """CLR-4, BID-5, BID-6: three bids for two slots, seen by who stands behind, ahead, and at the cap."""
    script = play("""
    market m cap=1
    account a agent 100
    account b agent 100
    account c agent 40
    slot s1
    slot s2
    bid a t1 30 -> bid 1
    bid b t2 20 -> bid 2
    """)
    state = script.engine.state
    behind = quote(state, "m", 20, state.at_us, "c", "t3")
    assert (behind.wins, behind.rank, behind.bids_ahead, behind.winning_price_tokens) == (False, 3, 2, 21)
    assert (behind.clearing_price_without_tokens, behind.clearing_price_tokens) == (0, 20)
    ahead = quote(state, "m", 25, state.at_us, "c", "t3")
    assert (ahead.wins, ahead.rank, ahead.price_tokens) == (True, 2, 20)
    poor = quote(state, "m", 41, state.at_us, "c", "t3")
    assert poor.refusal is not None
    assert (poor.wins, poor.refusal.reason, poor.winning_price_tokens) == (False, Reject.FUNDS_INSUFFICIENT, 21)
    capped = quote(state, "m", 25, state.at_us, "a", "t4")
    assert (capped.wins, capped.rank, capped.winning_price_tokens) == (False, None, 31)
    moved = quote(state, "m", 10, state.at_us, "b", "t2")
    assert (moved.replaces_bid_id, moved.wins, moved.rank, moved.winning_price_tokens) == (2, True, 2, 1)
    rival = quote(state, "m", 30, state.at_us, "c", "t1")
    assert (rival.wins, rival.rank, rival.winning_price_tokens) == (False, None, 31)


def test_a_quote_reads_no_more_bids_than_it_may() -> None:
    """Bids for a task that another has are passed over, however many there are; with one slot it reads them all."""
    engine = Engine()
    for entry_no, (actor, command) in enumerate(crowd(30), 1):
        assert not isinstance(engine.apply(Entry(entry_no, 0, actor, command))[0], Rejected)
    state = engine.state
    assert quote(state, "m", 5, 0, bids_max=30) is None
    assert quote(state, "m", 5, 0, bids_max=40) == quote(state, "m", 5, 0)


def crowd(rivals: int) -> Iterator[tuple[str, Command]]:
    """A market in which so many bid for one task, and two slots are on offer."""
    yield ADMIN, OpenMarket("m")
    for slot in ("s1", "s2"):
        yield OPERATOR, OfferSlot("m", slot, 0)
    for number in range(rivals):
        yield ADMIN, OpenAccount(f"b{number}", "agent")
        yield ADMIN, Mint(f"b{number}", 100, "grant:initial")
        yield f"b{number}", PlaceBid("m", f"b{number}", "task", 10)
