"""The book by itself: order, levels, and its own check.

Goal: best first whatever the history, and an inside that can prove itself wrong. Method: small books by hand, and
random operations beside a plain sorted list.
"""

import random

import pytest

from callmarket.engine.book import Bid, Book, best_first, priority


def bid(bid_id: int, price: int, priority_seq: int | None = None) -> Bid:
    """A bid with a price and a place in time."""
    return Bid(bid_id, "m", "a", f"t{bid_id}", price, 0, None, "gtd", priority_seq or bid_id, 1, False)


def book_of(*bids: Bid) -> Book:
    book = Book()
    for one in bids:
        book.add(one)
    return book


def ids(book: Book) -> list[int]:
    return [one.bid_id for one in book]


def test_bids_stand_by_price_and_then_by_time() -> None:
    """BID-2."""
    book = book_of(bid(1, 5), bid(2, 9), bid(3, 5), bid(4, 7), bid(5, 9))
    assert ids(book) == [2, 5, 4, 1, 3]
    assert list(book.levels()) == [(9, 2), (7, 1), (5, 2)]
    assert len(book) == 5
    book.check()


def test_an_empty_book_is_false_and_has_no_levels() -> None:
    book = Book()
    assert not book
    assert ids(book) == []
    assert list(book.levels()) == []
    book.check()


def test_a_bid_comes_out_from_the_middle_of_its_level() -> None:
    two = bid(2, 5)
    book = book_of(bid(1, 5), two, bid(3, 5))
    book.remove(two)
    assert ids(book) == [1, 3]
    book.check()


def test_the_last_bid_of_a_price_takes_its_level_with_it() -> None:
    best = bid(1, 9)
    book = book_of(best, bid(2, 5))
    book.remove(best)
    assert list(book.levels()) == [(5, 1)]
    book.check()


def test_a_bid_that_is_not_there_cannot_be_removed() -> None:
    book = book_of(bid(1, 5))
    with pytest.raises(KeyError):
        book.remove(bid(2, 5))
    with pytest.raises(KeyError):
        book.remove(bid(1, 6))
    assert ids(book) == [1]


def test_two_books_are_read_in_one_order() -> None:
    """BID-2: the bids that rest and those for one round compete as if they stood in one book."""
    one = book_of(bid(1, 5), bid(3, 9), bid(5, 5))
    two = book_of(bid(2, 5), bid(4, 9), bid(6, 7))
    assert [each.bid_id for each in best_first(one, two)] == [3, 4, 6, 1, 2, 5]
    assert [each.bid_id for each in best_first(one, Book())] == ids(one)
    assert [each.bid_id for each in best_first(Book(), two)] == ids(two)
    assert list(best_first(Book(), Book())) == []


def test_any_history_gives_the_order_of_a_plain_sort(seed: int) -> None:
    """BID-2: adding, cancelling and amending in any order; the book is that of a sorted list of what is left."""
    rng = random.Random(seed)
    book = Book()
    standing: dict[int, Bid] = {}
    for sequence in range(1, 3_001):
        if standing and rng.random() < 0.45:
            gone = standing.pop(rng.choice(list(standing)))
            book.remove(gone)
            if rng.random() < 0.3:
                gone.max_price_tokens, gone.priority_seq = rng.randint(1, 12), sequence
                book.add(gone)
                standing[gone.bid_id] = gone
        else:
            standing[sequence] = bid(sequence, rng.randint(1, 12))
            book.add(standing[sequence])
        if sequence % 50 == 0:
            assert ids(book) == [one.bid_id for one in sorted(standing.values(), key=priority)]
            assert len(book) == len(standing)
            book.check()


def test_several_are_taken_out_as_one_by_one(seed: int) -> None:
    """BID-2: the best of the book, which is what a call takes, and any others."""
    rng = random.Random(seed)
    bids = [bid(number, rng.randint(1, rng.choice([5, 1_000]))) for number in range(1, 400)]
    book = book_of(*bids)
    left = sorted(bids, key=priority)
    while left:
        some = left[: rng.randint(1, 40)] if rng.random() < 0.5 else rng.sample(left, min(len(left), 20))
        book.remove_all(some)
        gone = {one.bid_id for one in some}
        left = [one for one in left if one.bid_id not in gone]
        assert ids(book) == [one.bid_id for one in left]
        assert len(book) == len(left)
        book.check()


def test_the_check_finds_an_empty_level() -> None:
    book = book_of(bid(1, 5))
    book._levels[9] = {}
    book._prices.add(9)
    with pytest.raises(AssertionError, match="empty level"):
        book.check()


def test_the_check_finds_a_bid_at_another_price_or_id() -> None:
    lost, renamed = bid(1, 5), bid(2, 5)
    book = book_of(lost)
    lost.max_price_tokens = 6
    with pytest.raises(AssertionError):
        book.check()
    book = book_of(renamed)
    renamed.bid_id = 3
    with pytest.raises(AssertionError):
        book.check()


def test_the_check_finds_a_bid_out_of_time() -> None:
    book = book_of(bid(1, 5, priority_seq=8), bid(2, 5, priority_seq=7))
    with pytest.raises(AssertionError, match="out of order"):
        book.check()


def test_the_check_finds_a_wrong_count() -> None:
    book = book_of(bid(1, 5))
    book._bids = 2
    with pytest.raises(AssertionError):
        book.check()


def test_the_check_finds_levels_that_are_not_listed_or_listed_in_disorder() -> None:
    """The list of prices is what a call walks: a level that it lacks is never sold, and one twice is sold twice."""
    book = book_of(bid(1, 5), bid(2, 9))
    del book._prices[0]
    book._bids = 1
    with pytest.raises(AssertionError, match=r"\(1, 2\)"):
        book.check()
    book = book_of(bid(1, 5), bid(2, 9))
    book._prices = [9, 5]  # type: ignore[assignment]
    with pytest.raises(AssertionError, match="out of order: 5, 9"):
        book.check()
    book = book_of(bid(1, 5), bid(2, 9), bid(3, 4))
    book._prices = [5, 5, 9]  # type: ignore[assignment]
    with pytest.raises(AssertionError, match="out of order: 5, 5"):
        book.check()
