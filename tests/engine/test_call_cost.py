"""The rule CLR-9: a call costs what it visits, whatever rests.

Goal: with 1,000 times as many resting bids a call visits the same bids and does the same work. Method: the same
market over 100 and over 100,000 resting bids; the bids handed out by the books are counted by a wrapper around them,
and the work as the calls that the engine makes.
"""

from collections.abc import Iterator

import pytest

from benchmarks.workload import accepted
from callmarket.engine.book import Bid, Book
from callmarket.engine.clearing import Eligible, match
from callmarket.engine.commands import (
    ClearRound,
    Command,
    Entry,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    PricingRule,
    TimeInForce,
)
from callmarket.engine.core import Engine
from callmarket.engine.events import AwardGranted, RoundCleared, one_by_one
from callmarket.engine.limits import LOSERS_PER_CALL_MAX, TOKENS_MAX
from tests.support.cost import operations
from tests.support.script import play

FEW, MANY = 100, 100_000
SLOTS = 5
BIDDERS = 50
RULES: tuple[PricingRule, ...] = ("first_rejected", "last_accepted", "pay_as_bid", "vickrey")


def crowded(resting: int, force: TimeInForce) -> Engine:
    """An engine with a market of a few slots and many bids, some of them of one price."""
    engine = Engine()
    commands: list[Command] = [OpenMarket("m", "vickrey", awards_per_bidder_max=2)]
    for number in range(BIDDERS):
        commands += [
            OpenAccount(f"a{number}", "agent"),
            Mint(f"a{number}", TOKENS_MAX // BIDDERS, "grant:initial"),
        ]
    commands += [OfferSlot("m", f"s{number}", 0) for number in range(SLOTS)]
    ttl_at_us = 1_000 if force == "gtd" else None
    commands += [
        PlaceBid("m", f"a{number % BIDDERS}", f"t{number}", 1 + number % 997, 0, ttl_at_us, force)
        for number in range(resting)
    ]
    for seq, command in enumerate(commands, 1):
        accepted(engine, Entry(seq, 0, "admin", command))
    return engine


def call_of(engine: Engine) -> Entry:
    """The next entry: the call of the crowded market."""
    return Entry(engine.state.seq + 1, 0, "operator", ClearRound("m"))


def called(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> tuple[RoundCleared, int]:
    """Call the market; return the round and the number of bids that the books handed out for it."""
    handed_out = 0
    iterate = Book.__iter__

    def counting(book: Book) -> Iterator[Bid]:
        nonlocal handed_out
        for bid in iterate(book):
            handed_out += 1
            yield bid

    with monkeypatch.context() as patch:
        patch.setattr(Book, "__iter__", counting)
        events = engine.apply(call_of(engine))
    (cleared,) = [event for event in events if isinstance(event, RoundCleared)]
    return cleared, handed_out


@pytest.mark.parametrize("force", ["gtd", "round"])
def test_a_call_visits_as_many_bids_over_100_000_as_over_100(
    force: TimeInForce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLR-9: as the round itself says, and as a wrapper around the books counts."""
    (few, handed_out_few), (many, handed_out_many) = (
        called(crowded(resting, force), monkeypatch) for resting in (FEW, MANY)
    )
    assert (few.bids_open, many.bids_open) == (FEW, MANY)
    assert few.awards_granted == many.awards_granted == SLOTS
    # The winners, and for each of them a few rejected bids to price it by.
    assert few.bids_visited <= 4 * SLOTS
    assert many.bids_visited <= 4 * SLOTS
    # Beside those the books hand out only the losers that the call releases, past the winners.
    losers = LOSERS_PER_CALL_MAX + SLOTS if force == "round" else 0
    assert handed_out_few <= few.bids_visited + losers
    assert handed_out_many <= many.bids_visited + losers


@pytest.mark.parametrize("force", ["gtd", "round"])
def test_a_call_does_as_much_work_over_100_000_bids_as_over_100(force: TimeInForce) -> None:
    """CLR-9: in calls of Python and of C; deeper trees may cost a few, and 100 losers are released, not 95."""
    few, many = (operations(engine, call_of(engine)) for engine in (crowded(FEW, force), crowded(MANY, force)))
    assert many <= 1.2 * few + 50


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_stops_as_soon_as_its_price_is_certain(rule: PricingRule) -> None:
    """CLR-9, Precisely: with winners of one bid each, one bid more than the slots decides every price."""
    engine = Engine()
    commands: list[Command] = [OpenMarket("m", rule)]
    for number in range(200):
        commands += [OpenAccount(f"a{number}", "agent"), Mint(f"a{number}", 1_000, "grant:initial")]
        commands.append(PlaceBid("m", f"a{number}", f"t{number}", 1 + number, 0, 1_000, "gtd"))
    commands += [OfferSlot("m", f"s{number}", 0) for number in range(SLOTS)]
    commands.append(ClearRound("m"))
    *_, events = [engine.apply(Entry(seq, 0, "admin", command)) for seq, command in enumerate(commands, 1)]
    assert sum(isinstance(event, AwardGranted) for event in one_by_one(events)) == SLOTS
    assert isinstance(events[-1], RoundCleared)
    assert events[-1].bids_visited == SLOTS + 1


def test_vickrey_looks_no_further_than_the_bids_of_others_that_it_needs() -> None:
    """CLR-9, CLR-5: a's own rejected bids are passed over, and b's first is enough for one slot."""
    script = play("""
    market m rule=vickrey
    account a agent 1000
    account b agent 1000
    slot s1
    bid a t1 9 gtd ttl=99 -> bid 1
    bid a t2 8 gtd ttl=99 -> bid 2
    bid a t3 7 gtd ttl=99 -> bid 3
    bid b t4 6 gtd ttl=99 -> bid 4
    bid b t5 5 gtd ttl=99 -> bid 5
    bid b t6 4 gtd ttl=99 -> bid 6
    clear -> prices: 1@s1=6
    """)
    script.run("round -> supply 1 demand 6 awards 1 price none visited 4 best_rejected 2 later 0")


def test_bids_that_are_passed_over_are_visited_and_no_others() -> None:
    """CLR-9: the cost is that of the bids visited, and a capped bidder's better bids are among them."""
    engine = Engine()
    commands: list[Command] = [
        OpenMarket("m", awards_per_bidder_max=1),
        OfferSlot("m", "s1", 0),
        OfferSlot("m", "s2", 0),
    ]
    for name in ("a", "b", "c", "d"):
        commands += [OpenAccount(name, "agent"), Mint(name, 100_000, "grant:initial")]
    commands += [PlaceBid("m", "a", f"t{number}", 100 + number) for number in range(30)]
    commands += [PlaceBid("m", name, f"t{name}", 50) for name in ("b", "c", "d")]
    commands.append(ClearRound("m"))
    *_, events = [engine.apply(Entry(seq, 0, "admin", command)) for seq, command in enumerate(commands, 1)]
    (cleared,) = [event for event in events if isinstance(event, RoundCleared)]
    assert (cleared.awards_granted, cleared.clearing_price_tokens) == (2, 50)
    assert cleared.bids_visited == 30 + 2


@pytest.mark.parametrize("rule", RULES)
def test_a_task_that_everybody_wants_is_looked_at_once_for_each_bid(rule: PricingRule) -> None:
    """CLR-9: not once for each bid and each winner: hundreds of winners have a bid on one task, two slots each."""
    looks = 0

    def task_of(bid: Bid) -> str:
        nonlocal looks
        looks += 1
        return bid.task_id

    bidders = 200
    own = [(f"a{n}", f"{task}{n}", 1_000 - n) for task in ("t", "u") for n in range(bidders)]
    hot = [(f"a{n}", "hot", 500 - n) for n in range(bidders)]
    ordered = sorted((*own, *hot), key=lambda one: -one[2])
    bids = [
        Bid(seq, "m", bidder, task, price, 0, None, "round", seq, 1, False)
        for seq, (bidder, task, price) in enumerate((*ordered, ("last", "v", 1)), 1)
    ]
    result = match(Eligible(iter(bids), 0, {}, 0, task_of), [0] * len(own), rule)
    assert len(result.winners) == len(own)
    assert looks <= 10 * len(bids)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("won", [0, 1, 2])
def test_bids_beyond_the_cap_of_one_bidder_are_not_looked_at_for_each_winner(rule: PricingRule, won: int) -> None:
    """CLR-9: one bidder, with more bids than it may win, cannot make a call of many winners long."""
    looks = 0

    def task_of(bid: Bid) -> str:
        nonlocal looks
        looks += 1
        return bid.task_id

    cap, winners, more = 2, 200, 2_000
    named = [(f"a{n}", f"{task}{n}", 1_000) for task in ("t", "u") for n in range(winners)]
    named += [("greedy", f"v{n}", 1_000) for n in range(won)]
    sold = len(named)
    # All winners have a further bid, so no two of them displace the same by being alike.
    if won == cap:
        # Somebody is to end the walk of the call before these.
        named.append(("last", "w", 500))
    named += [("greedy", f"x{n}", 500) for n in range(more)]
    named += [(f"a{n}", f"y{n}", 400) for n in range(winners)]
    bids = [
        Bid(seq, "m", bidder, task, price, 0, None, "round", seq, 1, False)
        for seq, (bidder, task, price) in enumerate(named, 1)
    ]
    result = match(Eligible(iter(bids), 0, {}, cap, task_of), [0] * sold, rule)
    assert len(result.winners) == sold
    if rule == "vickrey":
        # Of two slots one goes to whoever is not at the cap, and the other only to whoever may still win two.
        assert set(result.prices_tokens[:winners]) == {500}
        assert set(result.prices_tokens[winners : 2 * winners]) == {500 if won == 0 else 0}
    assert looks <= 10 * len(bids)
