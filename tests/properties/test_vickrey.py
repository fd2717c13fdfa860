"""What the pricing rules promise, by brute force: truth pays, nobody overpays, and the price clears the market.

Goal: CLR-3, CLR-4 and CLR-5 as economics, not as arithmetic. Method: small markets are played through the engine,
all of them where they can be counted, seeded random ones elsewhere; each alternative is simply tried. Rules that do
not promise truthfulness are tried too, for a search that finds no lie anywhere would prove nothing.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement, permutations, product

import pytest

from engine.commands import ClearRound, Command, Entry, Mint, OfferSlot, OpenAccount, OpenMarket, PlaceBid, PricingRule
from engine.core import Engine
from engine.events import AwardGranted, Events, Rejected, RoundCleared
from tests.support.streams import PRICING_RULES

VALUE_MAX = 5
INSTANCES = 120


@dataclass(frozen=True)
class Instance:
    """A market before its call: who bids what for which task, in order of time, and the reserves."""

    bids: tuple[tuple[str, str, int], ...]
    reserves: tuple[int, ...]
    cap: int = 0

    def replaced(self, bidder: str, prices: Sequence[int]) -> "Instance":
        """Return the market in which one bidder names other prices for its tasks, 0 for no bid."""
        left = iter(prices)
        bids = tuple((who, task, next(left) if who == bidder else price) for who, task, price in self.bids)
        return Instance(bids, self.reserves, self.cap)

    def prices_of(self, bidder: str) -> list[int]:
        """Return what a bidder names, in order of time."""
        return [price for who, _, price in self.bids if who == bidder]


def played(instance: Instance, pricing_rule: PricingRule) -> tuple[list[AwardGranted], RoundCleared]:
    """Play a market through the engine and return its awards, best bid first, and its round."""
    engine = Engine()
    events: Events = ()
    for seq, command in enumerate(commands_of(instance, pricing_rule), 1):
        events = engine.apply(Entry(seq, 1, "admin", command))
        assert not isinstance(events[0], Rejected), events
    cleared = [event for event in events if isinstance(event, RoundCleared)]
    return [event for event in events if isinstance(event, AwardGranted)], cleared[0]


def commands_of(instance: Instance, pricing_rule: PricingRule) -> Iterator[Command]:
    yield OpenMarket("m", pricing_rule, awards_per_bidder_max=instance.cap)
    for bidder in sorted({bidder for bidder, _, _ in instance.bids}):
        yield OpenAccount(bidder, "agent")
        yield Mint(bidder, 1_000, "grant:first")
    for index, reserve in enumerate(instance.reserves):
        yield OfferSlot("m", f"slot{index}", 0, reserve)
    for bidder, task, price in instance.bids:
        if price > 0:
            yield PlaceBid("m", bidder, task, price)
    yield ClearRound("m")


def utility(bidder: str, truth: Instance, told: Instance, pricing_rule: PricingRule) -> int:
    """Return what the bidder's tasks are worth to it, less what it pays, if it tells this."""
    values = {task: value for who, task, value in truth.bids if who == bidder}
    awards, _ = played(told, pricing_rule)
    return sum(values[award.task_id] - award.price_tokens for award in awards if award.bidder_id == bidder)


def profitable_lie(bidder: str, truth: Instance, pricing_rule: PricingRule) -> Instance | None:
    """Try every other vector of prices for the bidder's tasks. Return one that beats the truth, if there is one."""
    honest = utility(bidder, truth, truth, pricing_rule)
    for prices in product(range(VALUE_MAX + 2), repeat=len(truth.prices_of(bidder))):
        lie = truth.replaced(bidder, prices)
        if utility(bidder, truth, lie, pricing_rule) > honest:
            return lie
    return None


def random_instance(rng: random.Random, tasks_of_liar: int, tasks_of_others: tuple[int, ...]) -> Instance:
    """Draw values and an order of time; the liar's may be worth nothing, and then it tells the truth by not bidding."""
    bids = [("liar", f"l{index}", rng.randint(0, VALUE_MAX)) for index in range(tasks_of_liar)]
    for other, count in enumerate(tasks_of_others):
        bids += [(f"other{other}", f"o{other}.{index}", rng.randint(1, VALUE_MAX)) for index in range(count)]
    rng.shuffle(bids)
    reserves = tuple(rng.choice((0, 0, rng.randint(0, VALUE_MAX))) for _ in range(rng.randint(1, 4)))
    return Instance(tuple(bids), reserves, rng.choice((0, 0, 0, 1, 2)))


@pytest.mark.parametrize("tasks_of_liar", [1, 2, 3])
def test_vickrey_makes_truth_the_best_policy(tasks_of_liar: int, seed: int) -> None:
    """CLR-5: under `vickrey` no bidder, with one task or several, capped or not, gains by misreporting."""
    rng = random.Random(seed)
    for _ in range(INSTANCES // tasks_of_liar**2):
        instance = random_instance(rng, tasks_of_liar, tuple(rng.choices((1, 2, 3), k=rng.randint(1, 2))))
        lie = profitable_lie("liar", instance, "vickrey")
        assert lie is None, f"truth {instance}\nlie {lie}"


def test_first_rejected_makes_truth_the_best_policy_for_one_bid_each(seed: int) -> None:
    """CLR-4: under `first_rejected` nobody with one bid gains by misreporting, and the price is that of `vickrey`."""
    rng = random.Random(seed)
    for _ in range(INSTANCES):
        instance = random_instance(rng, 1, (1,) * rng.randint(1, 4))
        lie = profitable_lie("liar", instance, "first_rejected")
        assert lie is None, f"truth {instance}\nlie {lie}"
        paid = [[award.price_tokens for award in played(instance, r)[0]] for r in ("first_rejected", "vickrey")]
        assert paid[0] == paid[1], instance


@pytest.mark.parametrize(
    ("pricing_rule", "tasks_of_liar"), [("pay_as_bid", 1), ("last_accepted", 1), ("first_rejected", 2)]
)
def test_the_search_finds_lies_where_they_pay(pricing_rule: PricingRule, tasks_of_liar: int) -> None:
    """CLR-4, CLR-5: the other rules promise no truthfulness, nor does `first_rejected` for several tasks."""
    rng = random.Random(1)
    instances = (random_instance(rng, tasks_of_liar, (1, 1, 1)) for _ in range(INSTANCES))
    assert any(profitable_lie("liar", instance, pricing_rule) for instance in instances)


@pytest.mark.parametrize("pricing_rule", PRICING_RULES)
def test_nobody_pays_more_than_its_bid_or_less_than_the_reserve(pricing_rule: PricingRule, seed: int) -> None:
    """CLR-4, CLR-5, CLR-6: price <= bid, price >= the reserve of the slot won, premium = bid - price; caps kept."""
    rng = random.Random(seed)
    for _ in range(400):
        instance = random_instance(rng, rng.randint(1, 3), tuple(rng.choices((1, 2, 3), k=rng.randint(1, 3))))
        bids = {task: price for _, task, price in instance.bids}
        awards, _ = played(instance, pricing_rule)
        for award in awards:
            reserve = instance.reserves[int(award.slot_id.removeprefix("slot"))]
            assert reserve <= award.price_tokens <= bids[award.task_id], (instance, award)
            assert award.premium_tokens == bids[award.task_id] - award.price_tokens
        won = [award.bidder_id for award in awards]
        assert all(instance.cap == 0 or won.count(bidder) <= instance.cap for bidder in won), (instance, awards)


def small_markets() -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield every market of up to four bids from 1 to 4 and up to three reserves from 0 to 4."""
    bids = [prices for n in range(5) for prices in combinations_with_replacement(range(1, 5), n)]
    reserves = [prices for n in range(4) for prices in combinations_with_replacement(range(5), n)]
    yield from product(bids, reserves)


def single_bids(prices: Sequence[int], reserves: tuple[int, ...]) -> Instance:
    return Instance(tuple((f"b{index}", f"t{index}", price) for index, price in enumerate(prices)), reserves)


def test_as_many_trade_as_can() -> None:
    """CLR-3: of all q that could trade, tried one by one, the call takes the largest; all small markets."""
    for bids, reserves in small_markets():
        awards, _ = played(single_bids(bids, reserves), "first_rejected")
        best, cheapest = sorted(bids, reverse=True), sorted(reserves)
        pairs = range(min(len(bids), len(reserves)) + 1)
        feasible = [q for q in pairs if all(best[i] >= cheapest[i] for i in range(q))]
        assert len(awards) == max(feasible), (bids, reserves)
        assert [award.bidder_id for award in awards] == sorted(
            (f"b{i}" for i in range(len(bids))), key=lambda b: (-bids[int(b[1:])], b)
        )[: len(awards)]


def test_the_allocation_is_worth_most() -> None:
    """CLR-3: no assignment of bids to slots whatsoever has a larger sum of bids less reserves; small markets."""
    rng = random.Random(3)
    for bids, reserves in rng.sample(list(small_markets()), 600):
        instance = single_bids(bids, reserves)
        awards, _ = played(instance, "first_rejected")
        worth = sum(award.price_tokens + award.premium_tokens for award in awards)
        worth -= sum(reserves[int(award.slot_id.removeprefix("slot"))] for award in awards)
        assert worth == most_worth(bids, reserves), (bids, reserves)


def most_worth(bids: Sequence[int], reserves: Sequence[int]) -> int:
    """Try every set of bids on every sequence of slots."""
    sizes = range(min(len(bids), len(reserves)) + 1)
    return max(
        sum(chosen) - sum(slots)
        for size in sizes
        for chosen in combinations(bids, size)
        for slots in permutations(reserves, size)
    )


def test_first_rejected_is_the_lowest_price_that_clears_the_market() -> None:
    """CLR-4: tried from 0 up, the first price at which as many want to buy as want to sell; all small markets."""
    for bids, reserves in small_markets():
        awards, cleared = played(single_bids(bids, reserves), "first_rejected")
        if not awards:
            assert cleared.clearing_price_tokens is None
            continue
        lowest = next(price for price in range(10) if clears(price, len(awards), bids, reserves))
        assert cleared.clearing_price_tokens == lowest, (bids, reserves)


def clears(price: int, q: int, bids: Sequence[int], reserves: Sequence[int]) -> bool:
    """At this price q bids are willing to buy and all that are eager do, and q slots to sell likewise."""
    eager_buyers, willing_buyers = sum(b > price for b in bids), sum(b >= price for b in bids)
    eager_sellers, willing_sellers = sum(r < price for r in reserves), sum(r <= price for r in reserves)
    return eager_buyers <= q <= willing_buyers and eager_sellers <= q <= willing_sellers


def test_the_other_uniform_prices_in_all_small_markets() -> None:
    """CLR-5: `last_accepted` is the smallest winning bid and `pay_as_bid` each winner's own."""
    for bids, reserves in small_markets():
        instance = single_bids(bids, reserves)
        awards, cleared = played(instance, "last_accepted")
        winning = sorted(bids, reverse=True)[: len(awards)]
        assert cleared.clearing_price_tokens == (min(winning) if winning else None)
        awards, cleared = played(instance, "pay_as_bid")
        assert [award.price_tokens for award in awards] == winning
        assert cleared.clearing_price_tokens is None
