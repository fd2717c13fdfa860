"""What the pricing rules promise, by brute force: truth pays, nobody overpays, and the price clears the market.

Goal: CLR-3, CLR-4 and CLR-5 as economics, not as arithmetic. Method: small markets are played through the engine,
all of them where they can be counted, seeded random ones elsewhere; each alternative is simply tried. Rules that do
not promise truthfulness are tried too, for a search that finds no lie anywhere would prove nothing.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, combinations_with_replacement, permutations, product

import pytest

from callmarket.engine.commands import PricingRule
from tests.support.lies import (
    CAPPED,
    FREE,
    PRIVATE,
    SHARED,
    Instance,
    Kind,
    by_the_pure_function,
    played,
    profitable_lie,
    random_instance,
    through_the_engine,
    utility,
)
from tests.support.streams import PRICING_RULES

INSTANCES = 120


@pytest.mark.parametrize("kind", [FREE, SHARED, CAPPED, PRIVATE], ids=str)
@pytest.mark.parametrize(("tasks_of_liar", "foreign"), [(1, 0), (1, 2), (2, 1), (3, 0)])
def test_vickrey_makes_truth_the_best_policy(tasks_of_liar: int, foreign: int, kind: Kind, seed: int) -> None:
    """CLR-5, BID-6, AUC-13: under `vickrey` no bidder gains by misreporting.

    Not with several tasks, not by bids for tasks of others, not where tasks are shared; nor under a cap, as long as no
    two of the others name one task.
    """
    rng = random.Random(seed)
    for _ in range(INSTANCES // (tasks_of_liar + foreign) ** 2):
        instance = random_instance(
            rng, tasks_of_liar, foreign, tuple(rng.choices((1, 2, 3), k=rng.randint(1, 3))), kind
        )
        lie = profitable_lie("liar", instance, "vickrey", by_the_pure_function)
        assert lie is None, f"truth {instance}\nlie {lie}"


@pytest.mark.parametrize("kind", [FREE, SHARED, CAPPED, PRIVATE], ids=str)
@pytest.mark.parametrize("foreign", [0, 2])
def test_first_rejected_makes_truth_the_best_policy_for_one_task_each(foreign: int, kind: Kind, seed: int) -> None:
    """CLR-4, BID-6, AUC-13: under `first_rejected` nobody with one task gains by a lie, nor by bids for others'."""
    rng = random.Random(seed)
    for _ in range(INSTANCES // (1 + foreign)):
        instance = random_instance(rng, 1, foreign, tuple(rng.choices((1, 1, 2, 3), k=rng.randint(1, 4))), kind)
        lie = profitable_lie("liar", instance, "first_rejected", by_the_pure_function)
        assert lie is None, f"truth {instance}\nlie {lie}"


@pytest.mark.parametrize("kind", [FREE, SHARED, CAPPED, PRIVATE], ids=str)
@pytest.mark.parametrize(("pricing_rule", "tasks_of_liar"), [("first_rejected", 1), ("vickrey", 2)])
def test_no_other_place_in_time_pays(pricing_rule: PricingRule, tasks_of_liar: int, kind: Kind, seed: int) -> None:
    """BID-2, BID-5, CLR-4, CLR-5: nor to bid first, last, in another order, or again, with whatever prices."""
    rng = random.Random(seed)
    for _ in range(INSTANCES // 4):
        instance = random_instance(rng, tasks_of_liar, 1, tuple(rng.choices((1, 2), k=rng.randint(1, 3))), kind)
        lie = profitable_lie("liar", instance, pricing_rule, by_the_pure_function, moving=True)
        assert lie is None, f"truth {instance}\nlie {lie}"


@pytest.mark.parametrize("pricing_rule", ["first_rejected", "vickrey"])
def test_a_second_name_for_a_task_is_outside_the_promise(pricing_rule: PricingRule) -> None:
    """CLR-5: who bids for a task with rivals under a name of its own has none, and the work is sold twice."""
    rival, slots = ("rival", "t", 6), (0, 0)
    truth = Instance((rival, ("liar", "t", 5)), slots)
    renamed = Instance((rival, ("liar", "t-again", 5)), slots)
    assert utility("liar", truth, truth, pricing_rule, through_the_engine) == 0
    assert ("liar", "t-again", 0) in through_the_engine(renamed, pricing_rule)


def test_the_price_of_one_bid_each_is_that_of_vickrey(seed: int) -> None:
    """CLR-4, CLR-5: where each has one bid, the two truthful rules charge the same, shared tasks or not."""
    rng = random.Random(seed)
    for _ in range(INSTANCES):
        instance = random_instance(rng, 1, 0, (1,) * rng.randint(1, 4), rng.choice((FREE, SHARED, PRIVATE)))
        assert through_the_engine(instance, "first_rejected") == through_the_engine(instance, "vickrey"), instance


@pytest.mark.parametrize(
    ("pricing_rule", "tasks_of_liar", "kind"),
    [
        ("pay_as_bid", 1, FREE),
        ("last_accepted", 1, FREE),
        ("first_rejected", 2, FREE),
        ("vickrey", 2, Kind(shared=True, capped=True)),
    ],
    ids=str,
)
def test_the_search_finds_lies_where_they_pay(pricing_rule: PricingRule, tasks_of_liar: int, kind: Kind) -> None:
    """CLR-2, CLR-4, CLR-5: nothing is promised by other rules, for several tasks, or where a cap meets shared tasks."""
    rng = random.Random(1)
    instances = (random_instance(rng, tasks_of_liar, 0, (2, 2, 1), kind) for _ in range(20 * INSTANCES))
    assert any(profitable_lie("liar", instance, pricing_rule, by_the_pure_function) for instance in instances)


def test_the_pure_function_is_what_the_engine_does(seed: int) -> None:
    """CLR-2 to CLR-5: the searches go around the engine, so the two are compared."""
    rng = random.Random(seed)
    for _ in range(INSTANCES):
        kind = Kind(rng.random() < 0.7, rng.random() < 0.5, rng.random() < 0.3)
        instance = random_instance(rng, rng.randint(1, 3), rng.randint(0, 2), tuple(rng.choices((1, 2, 3), k=3)), kind)
        for rule in PRICING_RULES:
            assert by_the_pure_function(instance, rule) == through_the_engine(instance, rule), (instance, rule)


def all_of_a_small_world(value_max: int, second_max: int) -> Iterator[Instance]:
    """Every market of the liar and two rivals over three tasks: who bids for what, at any value, in two orders of time.

    The liar bids for a task and perhaps for a second one, worth from nothing to `second_max` to it; each rival for one
    of three tasks, on time or late; the market has a cap, private tasks, or neither.
    """
    for mine, second in product(range(value_max + 1), (None, *range(second_max + 1))):
        own = [("liar", "a", mine)] + ([("liar", "b", second)] if second is not None else [])
        for task1, task2 in product(("a", "b", "c"), repeat=2):
            for value1, value2 in product(range(1, value_max + 1), repeat=2):
                rivals = [("r1", task1, value1), ("r2", task2, value2)]
                for reserves in ((0,), (0, 0), (0, 2), (1, 1, 1)):
                    for bids in (tuple(own + rivals), tuple(rivals + own)):
                        yield Instance(bids, reserves)
                        yield Instance(bids, reserves, late=("r1",))
                        yield Instance(bids, reserves, cap=1, private=True)
                        if len({task for _, task, _ in bids}) == len(bids):
                            yield Instance(bids, reserves, cap=1)


@pytest.mark.parametrize("value_max", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("pricing_rule", ["first_rejected", "vickrey"])
def test_no_lie_pays_in_all_of_a_small_world(pricing_rule: PricingRule, value_max: int) -> None:
    """CLR-2 to CLR-5, BID-3, BID-6, AUC-13: own, shared and foreign tasks, reserves, caps, deadlines: each lie.

    Under `vickrey` the liar may have two tasks that are worth something to it, under `first_rejected` one (CLR-5).
    """
    markets = 0
    for instance in all_of_a_small_world(value_max, value_max if pricing_rule == "vickrey" else 0):
        markets += 1
        lie = profitable_lie("liar", instance, pricing_rule, by_the_pure_function)
        assert lie is None, f"truth {instance}\nlie {lie}"
    assert markets > 5_000


def test_vickrey_charges_what_the_others_lose(seed: int) -> None:
    """CLR-5: a bidder pays the most that all others could have without it, less what they have with it.

    The sellers are among the others, and every set of bids on every set of slots is tried.
    """
    rng = random.Random(seed)
    for _ in range(INSTANCES):
        kind = rng.choice((FREE, SHARED, CAPPED, PRIVATE))
        instance = random_instance(rng, rng.randint(1, 2), rng.randint(0, 1), tuple(rng.choices((1, 2), k=2)), kind)
        awards = through_the_engine(instance, "vickrey")
        bids = {(who, task): price for who, task, price in instance.bids}
        sold = sum(sorted(instance.reserves)[: len(awards)])
        for bidder in {winner for winner, _, _ in awards}:
            paid = sum(price for winner, _, price in awards if winner == bidder)
            others = sum(bids[winner, task] for winner, task, _ in awards if winner != bidder) - sold
            without = replace(instance, bids=tuple(bid for bid in instance.bids if bid[0] != bidder))
            assert paid == best_welfare(without) - others, (instance, bidder)


def best_welfare(instance: Instance) -> int:
    """The largest sum of bids less reserves of all sets of bids that may win together."""
    live = [bid for bid in instance.bids if bid[2] and bid[0] not in instance.late and bid[1] not in instance.awarded]
    reserves = sorted(instance.reserves)
    best = 0
    for size in range(min(len(live), len(reserves)) + 1):
        for chosen in combinations(live, size):
            keys = {(who, task) if instance.private else task for who, task, _ in chosen}
            counts = Counter(who for who, _, _ in chosen)
            if len(keys) == size and (not instance.cap or max(counts.values(), default=0) <= instance.cap):
                best = max(best, sum(price for _, _, price in chosen) - sum(reserves[:size]))
    return best


@pytest.mark.parametrize("pricing_rule", PRICING_RULES)
def test_nobody_pays_more_than_its_bid_or_less_than_the_reserve(pricing_rule: PricingRule, seed: int) -> None:
    """CLR-4, CLR-5, CLR-6: price <= bid, price >= the reserve of the slot won, premium = bid - price; caps kept."""
    rng = random.Random(seed)
    for _ in range(400):
        kind = Kind(rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.3)
        others = tuple(rng.choices((1, 2, 3), k=rng.randint(1, 3)))
        instance = random_instance(rng, rng.randint(1, 3), 0, others, kind)
        bids = {(who, task): price for who, task, price in instance.bids}
        awards, _ = played(instance, pricing_rule)
        for award in awards:
            reserve = instance.reserves[int(award.slot_id.removeprefix("slot"))]
            assert reserve <= award.price_tokens <= bids[award.bidder_id, award.task_id], (instance, award)
            assert award.premium_tokens == bids[award.bidder_id, award.task_id] - award.price_tokens
        won = [award.bidder_id for award in awards]
        assert all(instance.cap == 0 or won.count(bidder) <= instance.cap for bidder in won), (instance, awards)


def small_markets() -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield every market of up to four bids from 1 to 4 and up to three reserves from 0 to 4."""
    bids = [prices for n in range(5) for prices in combinations_with_replacement(range(1, 5), n)]
    reserves = [prices for n in range(4) for prices in combinations_with_replacement(range(5), n)]
    yield from product(bids, reserves)


def single_bids(prices: Sequence[int], reserves: tuple[int, ...]) -> Instance:
    return Instance(tuple((f"b{index}", f"t{index}", price) for index, price in enumerate(prices)), reserves)


def test_a_call_sells_as_many_slots_as_can_trade() -> None:
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
    """CLR-5: `last_accepted` is the highest price that clears the market and `pay_as_bid` each winner's own bid."""
    for bids, reserves in small_markets():
        instance = single_bids(bids, reserves)
        awards, cleared = played(instance, "last_accepted")
        winning = sorted(bids, reverse=True)[: len(awards)]
        clearing = [price for price in range(10) if clears(price, len(awards), bids, reserves)]
        assert cleared.clearing_price_tokens == (max(clearing) if winning else None)
        awards, cleared = played(instance, "pay_as_bid")
        assert [award.price_tokens for award in awards] == winning
        assert cleared.clearing_price_tokens is None
