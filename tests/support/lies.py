"""Small markets as values, and every lie that one bidder may tell in them.

Rule of this file: what a bidder's tasks are worth is the market itself; a lie is the same market with other prices, or
with that bidder's bids at another place in time.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from operator import attrgetter

from callmarket.engine.book import Bid, priority
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
    TaskScope,
)
from callmarket.engine.core import Engine
from callmarket.engine.events import AwardGranted, Events, Rejected, RoundCleared, one_by_one

VALUE_MAX = 5


@dataclass(frozen=True)
class Instance:
    """A market before its call: who bids what for which task, in order of time, and the reserves.

    A price of 0 is no bid. Bids of `late` bidders are past their deadline at the call, and `awarded` tasks have an
    award already; where tasks are `private`, that award is of their one bidder.
    """

    bids: tuple[tuple[str, str, int], ...]
    reserves: tuple[int, ...]
    cap: int = 0
    private: bool = False
    late: tuple[str, ...] = ()
    awarded: tuple[str, ...] = ()

    def replaced(self, bidder: str, prices: Sequence[int]) -> "Instance":
        """Return the market in which one bidder names other prices for its tasks, 0 for no bid."""
        left = iter(prices)
        bids = tuple((who, task, next(left) if who == bidder else price) for who, task, price in self.bids)
        return replace(self, bids=bids)

    def moved(self, bidder: str) -> Iterator["Instance"]:
        """Yield the markets in which one bidder bids before all others, after them, and in the opposite order."""
        own = tuple(bid for bid in self.bids if bid[0] == bidder)
        others = tuple(bid for bid in self.bids if bid[0] != bidder)
        yield from (replace(self, bids=bids) for bids in (own + others, others + own, own[::-1] + others))

    def prices_of(self, bidder: str) -> list[int]:
        """Return what a bidder names, in order of time."""
        return [price for who, _, price in self.bids if who == bidder]


def played(instance: Instance, pricing_rule: PricingRule) -> tuple[list[AwardGranted], RoundCleared]:
    """Play a market through the engine and return its awards, best bid first, and its round."""
    engine = Engine()
    events: Events = ()
    for seq, (at_us, command) in enumerate(commands_of(instance, pricing_rule), 1):
        events = engine.apply(Entry(seq, at_us, "admin", command))
        assert not isinstance(events[0], Rejected), events
    cleared = [event for event in events if isinstance(event, RoundCleared)]
    return [event for event in one_by_one(events) if isinstance(event, AwardGranted)], cleared[0]


def commands_of(instance: Instance, pricing_rule: PricingRule) -> Iterator[tuple[int, Command]]:
    scope: TaskScope = "bidder" if instance.private else "market"
    yield 1, OpenMarket("m", pricing_rule, awards_per_bidder_max=instance.cap, task_scope=scope)
    for bidder in sorted({bidder for bidder, _, _ in instance.bids} | {"earlier"}):
        yield 1, OpenAccount(bidder, "agent")
        yield 1, Mint(bidder, 1_000, "grant:first")
    for index, task in enumerate(instance.awarded):
        yield 1, OfferSlot("m", f"earlier{index}", 0)
        yield 1, PlaceBid("m", "earlier", task, 1)
        yield 1, ClearRound("m")
    for index, reserve in enumerate(instance.reserves):
        yield 1, OfferSlot("m", f"slot{index}", 0, reserve)
    for bidder, task, price in instance.bids:
        if price > 0 and task not in instance.awarded:
            yield 1, PlaceBid("m", bidder, task, price, 0, 2 if bidder in instance.late else 9, "gtd")
    yield 2, ClearRound("m")


Call = Callable[[Instance, PricingRule], list[tuple[str, str, int]]]
"""Plays a market and returns bidder, task and price of each award."""


def through_the_engine(instance: Instance, pricing_rule: PricingRule) -> list[tuple[str, str, int]]:
    """The market as its users meet it."""
    return [(award.bidder_id, award.task_id, award.price_tokens) for award in played(instance, pricing_rule)[0]]


def by_the_pure_function(instance: Instance, pricing_rule: PricingRule) -> list[tuple[str, str, int]]:
    """The same without an engine around it, fifty times as fast."""
    bids = [
        Bid(number, "m", bidder, task, price, 0, 1 if bidder in instance.late else None, "round", number, 1, False)
        for number, (bidder, task, price) in enumerate(instance.bids, 1)
        if price > 0
    ]
    key = (lambda bid: f"{bid.bidder_id} {bid.task_id}") if instance.private else attrgetter("task_id")
    awarded = dict.fromkeys(instance.awarded, 1)
    walk = Eligible(iter(sorted(bids, key=priority)), 1, awarded, instance.cap, key)
    result = match(walk, sorted(instance.reserves), pricing_rule)
    return [
        (bid.bidder_id, bid.task_id, price) for bid, price in zip(result.winners, result.prices_tokens, strict=True)
    ]


def utility(bidder: str, truth: Instance, told: Instance, pricing_rule: PricingRule, call: Call) -> int:
    """Return what the bidder's tasks are worth to it, less what it pays, if it tells this."""
    values = {task: value for who, task, value in truth.bids if who == bidder}
    return sum(values[task] - price for winner, task, price in call(told, pricing_rule) if winner == bidder)


def profitable_lie(
    bidder: str, truth: Instance, pricing_rule: PricingRule, call: Call, *, moving: bool = False
) -> Instance | None:
    """Try every other vector of prices for the bidder's tasks. Return one that beats the truth, if there is one.

    With `moving` each of them is tried at other places in time too, which is what placing again, or amending, is for.
    """
    honest = utility(bidder, truth, truth, pricing_rule, call)
    highest = max(price for _, _, price in truth.bids) + 1
    for prices in product(range(highest + 1), repeat=len(truth.prices_of(bidder))):
        named = truth.replaced(bidder, prices)
        for lie in (named, *(named.moved(bidder) if moving else ())):
            if utility(bidder, truth, lie, pricing_rule, call) > honest:
                return lie
    return None


def random_instance(
    rng: random.Random, tasks_of_liar: int, foreign: int, others: tuple[int, ...], kind: "Kind"
) -> Instance:
    """Draw values and an order of time.

    The liar may bid for `foreign` tasks, others' or new ones, that are worth nothing to it, and its own may be worth
    nothing: then it tells the truth by not bidding. Where tasks are shared, the others bid for each other's and for the
    liar's too.
    """
    bids = [("liar", f"l{index}", rng.randint(0, VALUE_MAX)) for index in range(tasks_of_liar)]
    for other, count in enumerate(others):
        own = [f"o{other}.{index}" for index in range(count)]
        tasks = [rng.choice([*own, *(task for _, task, _ in bids)]) if kind.shared else task for task in own]
        bids += [(f"other{other}", task, rng.randint(1, VALUE_MAX)) for task in dict.fromkeys(tasks)]
    theirs = [*sorted({task for _, task, _ in bids} - {task for who, task, _ in bids if who == "liar"}), "new"]
    bids += [("liar", task, 0) for task in rng.sample(theirs, min(foreign, len(theirs)))]
    rng.shuffle(bids)
    reserves = tuple(rng.choice((0, 0, rng.randint(0, VALUE_MAX))) for _ in range(rng.randint(1, 4)))
    return Instance(
        tuple(bids),
        reserves,
        rng.choice((0, 1, 2)) if kind.capped else 0,
        kind.private,
        ("other0",) if rng.random() < 0.2 else (),
        (rng.choice(bids)[1],) if rng.random() < 0.2 and not kind.private else (),
    )


@dataclass(frozen=True)
class Kind:
    """What a market may have."""

    shared: bool = False
    capped: bool = False
    private: bool = False


FREE, SHARED, CAPPED, PRIVATE = Kind(), Kind(shared=True), Kind(capped=True), Kind(True, True, True)
