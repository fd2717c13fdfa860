"""Filling at once is adding one after the other, only faster: books, deadlines and indexes as an image restores them.

Goal: decision 11 of docs/decisions, that a state that comes back goes on as the one that stayed. Method: random bids
and deadlines, crowded into few prices and few buckets, put in both ways and then taken out again side by side.
"""

import random

import pytest

from callmarket.engine import deadlines
from callmarket.engine.book import Bid, Book, priority
from callmarket.engine.deadlines import Deadlines


def random_bids(rng: random.Random, count: int, prices: int) -> list[Bid]:
    bids = [
        Bid(seq, "m", "a", f"t{seq}", rng.randint(1, prices), 0, None, "gtd", seq, 1, False)
        for seq in range(1, count + 1)
    ]
    return sorted(bids, key=priority)


@pytest.mark.parametrize("prices", [1, 5, 1_000])
def test_a_book_that_is_filled_is_one_that_was_added_to(prices: int, seed: int) -> None:
    """BID-2: the same order, and it goes on in the same way."""
    rng = random.Random(seed)
    bids = random_bids(rng, 300, prices)
    filled, added = Book(), Book()
    filled.fill(bids)
    for bid in bids:
        added.add(bid)
    late = [
        Bid(seq, "m", "a", f"t{seq}", rng.randint(1, prices), 0, None, "gtd", seq, 1, False) for seq in range(301, 400)
    ]
    for bid in rng.sample(bids, 200):
        filled.remove(bid)
        added.remove(bid)
    for bid in late:
        filled.add(bid)
        added.add(bid)
    filled.check()
    assert list(filled) == list(added)
    assert list(filled.levels()) == list(added.levels())
    assert len(filled) == len(added) == 199


def test_only_an_empty_book_is_filled(seed: int) -> None:
    bids = random_bids(random.Random(seed), 4, 3)
    book = Book()
    book.fill(bids[:2])
    with pytest.raises(AssertionError):
        book.fill(bids[2:])
    book = Book()
    book.fill([])
    book.check()
    assert not book


@pytest.mark.parametrize("unsorted_max", [0, 5, 1_024])
def test_deadlines_that_are_filled_are_ones_that_were_added(
    unsorted_max: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SET-6: by (deadline, id), in small buckets and large ones, and discarding finds each of them."""
    monkeypatch.setattr(deadlines, "_UNSORTED_MAX", unsorted_max)
    rng = random.Random(seed)
    bucket_us = 1 << deadlines._BUCKET_BITS
    pairs = [(rng.choice((0, 1, 5)) * bucket_us + rng.randrange(50), item_id) for item_id in range(300)]
    rng.shuffle(pairs)
    filled, added = Deadlines(), Deadlines()
    filled.fill(pairs)
    for pair in pairs:
        added.add(*pair)
    assert list(filled) == list(added) == sorted(pairs)
    gone = rng.sample(pairs, 250)
    for at_us, item_id in gone:
        filled.discard(at_us, item_id)
    filled.add(7, 1_000)
    assert list(filled) == sorted([*(set(pairs) - set(gone)), (7, 1_000)])
    for now_us in (0, 20, bucket_us, 6 * bucket_us):
        assert list(filled.due(now_us)) == [item_id for at_us, item_id in filled if at_us <= now_us]


def test_only_empty_deadlines_are_filled() -> None:
    pending = Deadlines()
    pending.fill([])
    pending.fill([(1, 1)])
    with pytest.raises(AssertionError):
        pending.fill([(2, 2)])
