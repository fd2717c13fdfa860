"""Matching and prices as pure functions, without an engine around them.

Goal: CLR-2 to CLR-5 and CLR-9 on lists of bids, exhaustively where that is small. Method: every small instance against
the sentences of the rules written down as naively as possible.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement, product
from operator import attrgetter

import pytest

from callmarket.engine.book import Bid
from callmarket.engine.clearing import Eligible, Match, match
from callmarket.engine.commands import PricingRule

NOW_US = 1_000


def bid(number: int, price: int, bidder: str = "", task: str = "", ttl_at_us: int | None = None) -> Bid:
    return Bid(
        number, "m", bidder or f"a{number}", task or f"t{number}", price, 0, ttl_at_us, "round", number, 1, False
    )


def eligible(bids: Sequence[Bid], awarded: Sequence[str] = (), cap: int = 0) -> Eligible:
    return Eligible(iter(bids), NOW_US, dict.fromkeys(awarded, 1), cap, attrgetter("task_id"))


def walked(bids: Sequence[Bid], awarded: Sequence[str] = (), cap: int = 0) -> list[int]:
    walk = eligible(bids, awarded, cap)
    taken = []
    while one := walk.next():
        taken.append(one.bid_id)
    assert walk.bids_visited == len(bids)
    return taken


def test_the_walk_passes_over_deadlines_tasks_and_caps() -> None:
    """CLR-2."""
    bids = [
        bid(1, 9, "a", "x"),
        bid(2, 9, "b", "x"),
        bid(3, 8, "b", "y", NOW_US),
        bid(4, 8, "b", "z", NOW_US + 1),
        bid(5, 7, "a", "w"),
        bid(6, 6, "a", "v"),
        bid(7, 5, "b", "y"),
    ]
    assert walked(bids) == [1, 4, 5, 6, 7]
    assert walked(bids, awarded=["x", "v"]) == [4, 5, 7]
    assert walked(bids, cap=1) == [1, 4]
    assert walked(bids, cap=2) == [1, 4, 5, 7]


def test_the_walk_stops_when_the_book_is_exhausted() -> None:
    """CLR-2, CLR-9: asking again neither raises nor visits."""
    walk = eligible([bid(1, 9)])
    assert walk.next() is not None
    assert walk.next() is None
    assert walk.next() is None
    assert walk.bids_visited == 1


def test_a_call_reads_no_bids_that_it_does_not_visit() -> None:
    """CLR-9: a call never takes from the book what it does not visit."""
    taken = 0

    def endless() -> Iterator[Bid]:
        nonlocal taken
        while True:
            taken += 1
            yield bid(taken, 1_000_000 - taken)

    result = match(Eligible(endless(), NOW_US, {}, 0, attrgetter("task_id")), [0, 0, 0], "first_rejected")
    assert result.clearing_price_tokens == 1_000_000 - 4
    assert taken == result.bids_visited == 4


def expected_quantity(bids: Sequence[int], reserves: Sequence[int]) -> int:
    """CLR-3, word for word: the largest q with the q-th bid at least the q-th reserve."""
    return max(
        (q for q in range(1, min(len(bids), len(reserves)) + 1) if bids[q - 1] >= reserves[q - 1]),
        default=0,
    )


@pytest.mark.parametrize("rule", ["first_rejected", "last_accepted", "pay_as_bid", "vickrey"])
def test_every_small_instance_of_single_bids_is_matched_and_priced_by_the_book(rule: PricingRule) -> None:
    """CLR-3, CLR-4, CLR-5: up to four bids and three slots, all prices and reserves from 0 to 4."""
    instances = 0
    for bids_count, slots_count in product(range(5), range(4)):
        for prices in combinations_with_replacement(range(4, 0, -1), bids_count):
            for reserves in combinations_with_replacement(range(5), slots_count):
                result = match(eligible([bid(n, price) for n, price in enumerate(prices, 1)]), reserves, rule)
                check_single_bids(rule, prices, reserves, result)
                instances += 1
    assert instances > 3_000


def check_single_bids(rule: PricingRule, prices: Sequence[int], reserves: Sequence[int], result: Match) -> None:
    q = expected_quantity(prices, reserves)
    rejected = prices[q] if len(prices) > q else 0
    assert [one.bid_id for one in result.winners] == list(range(1, q + 1)), (prices, reserves)
    assert (result.best_rejected.bid_id if result.best_rejected else None) == (q + 1 if len(prices) > q else None)
    highest_reserve = reserves[q - 1] if q else 0
    paid = {
        "first_rejected": [max(rejected, highest_reserve)] * q,
        "last_accepted": [min(prices[q - 1], *reserves[q : q + 1], 9)] * q if q else [],
        "pay_as_bid": list(prices[:q]),
        # With one slot a bidder (w = 1) its price is the greater of the best rejected bid and the q-th reserve.
        "vickrey": [max(rejected, highest_reserve)] * q,
    }[rule]
    assert list(result.prices_tokens) == paid, (prices, reserves)
    one_price = rule in ("first_rejected", "last_accepted") and q > 0
    assert result.clearing_price_tokens == (paid[0] if one_price else None)


def expected_vickrey(bids: Sequence[Bid], reserves: Sequence[int], q: int) -> list[int]:
    """CLR-5, word for word, from the list of all eligible bids."""
    won: dict[str, int] = {}
    prices = []
    slots = {one.bidder_id: sum(each.bidder_id == one.bidder_id for each in bids[:q]) for one in bids[:q]}
    for one in bids[:q]:
        i = won[one.bidder_id] = won.get(one.bidder_id, 0) + 1
        others = [each.max_price_tokens for each in bids[q:] if each.bidder_id != one.bidder_id]
        w = slots[one.bidder_id]
        prices.append(max(others[i - 1] if i <= len(others) else 0, reserves[q - w + i - 1]))
    return prices


def test_every_small_instance_of_several_bids_a_bidder_has_vickrey_prices() -> None:
    """CLR-5: up to five bids of three bidders and three slots."""
    for bids_count in range(1, 6):
        for prices in combinations_with_replacement((9, 7, 5), bids_count):
            for bidders in product("abc", repeat=bids_count):
                bids = [bid(n, price, name) for n, (price, name) in enumerate(zip(prices, bidders, strict=True), 1)]
                for reserves in ([], [0], [6], [0, 0], [0, 6], [6, 8], [0, 0, 0], [1, 5, 6]):
                    result = match(eligible(bids), reserves, "vickrey")
                    q = expected_quantity(prices, reserves)
                    assert len(result.winners) == q
                    assert list(result.prices_tokens) == expected_vickrey(bids, reserves, q), (
                        prices,
                        bidders,
                        reserves,
                    )


@pytest.mark.parametrize("rule", ["first_rejected", "last_accepted", "pay_as_bid", "vickrey"])
def test_nothing_to_match_has_no_price(rule: PricingRule) -> None:
    """CLR-7."""
    for bids, reserves in (([], []), ([], [1]), ([bid(1, 5)], []), ([bid(1, 5)], [6])):
        result = match(eligible(bids), reserves, rule)
        assert (result.winners, result.prices_tokens, result.clearing_price_tokens) == ((), (), None)
        assert result.best_rejected is (bids[0] if bids else None)
