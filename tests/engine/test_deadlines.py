"""Deadlines by themselves, beside a plain sorted list.

Goal: the order is (deadline, id) whatever the history, in small buckets, in large ones and across them. Method: random
operations on both, with times that crowd into few buckets, so that buckets grow past the threshold and shrink again.
"""

import random
from bisect import bisect_right, insort

import pytest
from sortedcontainers import SortedList

from callmarket.engine import deadlines
from callmarket.engine.deadlines import Deadlines
from callmarket.engine.limits import AT_US_MAX, SEQ_MAX

BUCKET_US = 1 << deadlines._BUCKET_BITS


def due(pending: Deadlines, now_us: int) -> list[int]:
    return list(pending.due(now_us))


def test_due_deadlines_come_soonest_first_and_equal_ones_by_id() -> None:
    """SET-6: whatever the order in which they were added."""
    pending = Deadlines()
    for at_us, item_id in ((30, 1), (10, 5), (20, 4), (10, 3), (40, 2)):
        pending.add(at_us, item_id)
    assert due(pending, 9) == []
    assert due(pending, 10) == [3, 5]
    assert due(pending, 29) == [3, 5, 4]
    assert due(pending, 10**9) == [3, 5, 4, 1, 2]
    assert list(pending) == [(10, 3), (10, 5), (20, 4), (30, 1), (40, 2)]


def test_asking_for_due_deadlines_removes_none() -> None:
    pending = Deadlines()
    pending.add(10, 1)
    assert due(pending, 10) == due(pending, 10) == [1]
    pending.discard(10, 1)
    assert due(pending, 10) == []
    assert list(pending) == []


@pytest.mark.parametrize("unsorted_max", [0, 5])
def test_the_soonest_is_the_first_of_all(unsorted_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "_UNSORTED_MAX", unsorted_max)
    pending = Deadlines()
    assert pending.soonest() is None
    for at_us, item_id in ((BUCKET_US + 30, 1), (BUCKET_US + 10, 5), (BUCKET_US + 20, 4), (5 * BUCKET_US, 2)):
        pending.add(at_us, item_id)
        assert pending.soonest() == next(iter(pending))[0]
    for at_us, item_id in list(pending):
        assert pending.soonest() == at_us
        pending.discard(at_us, item_id)
    assert pending.soonest() is None


@pytest.mark.parametrize("unsorted_max", [0, 5])
def test_a_deadline_that_is_not_there_cannot_be_discarded(unsorted_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "_UNSORTED_MAX", unsorted_max)
    pending = Deadlines()
    pending.add(10, 1)
    pending.add(20, 2)
    for at_us, item_id in ((10, 3), (BUCKET_US, 1), (10 * BUCKET_US, 1)):
        with pytest.raises((KeyError, ValueError)):
            pending.discard(at_us, item_id)
    assert list(pending) == [(10, 1), (20, 2)]


@pytest.mark.parametrize("unsorted_max", [0, 5])
def test_an_id_that_is_due_at_another_time_stops_the_process(
    unsorted_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "_UNSORTED_MAX", unsorted_max)
    pending = Deadlines()
    pending.add(10, 1)
    pending.add(10, 2)
    with pytest.raises((AssertionError, ValueError)):
        pending.discard(11, 1)


def test_the_largest_time_and_id_keep_their_order() -> None:
    """SET-6: packing must not let an id run into the time, nor the sum of both overflow."""
    pending = Deadlines()
    ends = [(AT_US_MAX, SEQ_MAX), (AT_US_MAX, 1), (AT_US_MAX - 1, SEQ_MAX - 1), (0, 2), (0, SEQ_MAX - 2)]
    for at_us, item_id in ends:
        pending.add(at_us, item_id)
    assert list(pending) == sorted(ends)
    assert due(pending, AT_US_MAX) == [item_id for _, item_id in sorted(ends)]
    assert due(pending, AT_US_MAX - 1) == [2, SEQ_MAX - 2, SEQ_MAX - 1]
    assert due(pending, 0) == [2, SEQ_MAX - 2]


def test_due_deadlines_may_end_inside_a_bucket() -> None:
    """BID-3: at the microsecond, not at the bucket's edge; in a small bucket and in a large one."""
    for items in (3, deadlines._UNSORTED_MAX + 3):
        pending = Deadlines()
        for item_id in range(1, items + 1):
            pending.add(BUCKET_US + item_id, item_id)
        assert due(pending, BUCKET_US) == []
        assert due(pending, BUCKET_US + 2) == [1, 2]
        assert due(pending, BUCKET_US + items - 1) == list(range(1, items))


def test_a_bucket_that_grows_large_is_kept_sorted() -> None:
    """SET-6: past the threshold a sweep need not sort it again and again."""
    pending = Deadlines()
    for item_id in range(deadlines._UNSORTED_MAX, 0, -1):
        pending.add(7, item_id)
    assert not isinstance(pending._buckets[0], SortedList)
    pending.add(7, deadlines._UNSORTED_MAX + 1)
    assert isinstance(pending._buckets[0], SortedList)
    pending.add(7, deadlines._UNSORTED_MAX + 2)
    assert due(pending, 7) == list(range(1, deadlines._UNSORTED_MAX + 3))
    for item_id in range(1, deadlines._UNSORTED_MAX + 3):
        pending.discard(7, item_id)
    assert not pending._buckets


@pytest.mark.parametrize("unsorted_max", [0, 3, 40, deadlines._UNSORTED_MAX])
@pytest.mark.parametrize("spread_us", [4, BUCKET_US, 40 * BUCKET_US])
def test_any_history_gives_the_order_of_a_plain_sorted_list(
    unsorted_max: int, spread_us: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SET-6, BID-3: random adding, discarding and asking, with thresholds that are passed often."""
    monkeypatch.setattr(deadlines, "_UNSORTED_MAX", unsorted_max)
    rng = random.Random(seed)
    pending = Deadlines()
    plain: list[tuple[int, int]] = []
    for item_id in range(1, 4_001):
        # First more are added than taken, later the other way round, so that buckets grow and shrink.
        if plain and rng.random() < (0.2 if item_id < 2_000 else 0.7):
            one = plain.pop(rng.randrange(len(plain)))
            pending.discard(*one)
        else:
            one = (rng.randrange(spread_us), item_id)
            insort(plain, one)
            pending.add(*one)
        if item_id % 100 == 0:
            now_us = rng.randrange(spread_us + 2)
            assert due(pending, now_us) == [each for _, each in plain[: bisect_right(plain, (now_us, SEQ_MAX))]]
            assert list(pending) == plain
    # No empty bucket is left behind.
    for one in plain:
        pending.discard(*one)
    assert not pending._buckets


@pytest.mark.parametrize("unsorted_max", [0, 3, 40, deadlines._UNSORTED_MAX])
@pytest.mark.parametrize("spread_us", [1, 4, BUCKET_US, 40 * BUCKET_US])
def test_several_at_once_are_as_one_after_the_other(
    unsorted_max: int, spread_us: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BID-4: a call lets go of all its losers; buckets that they emptied are gone, and the soonest is found."""
    monkeypatch.setattr(deadlines, "_UNSORTED_MAX", unsorted_max)
    rng, pending, plain = random.Random(seed), Deadlines(), list[tuple[int, int]]()
    for number in range(60):
        count = rng.randint(1, 30)
        if plain and rng.random() < 0.5:
            some = rng.sample(plain, min(count, len(plain)))
            pending.discard_all([at_us for at_us, _ in some], [item_id for _, item_id in some])
            plain = sorted(set(plain) - set(some))
        else:
            one_us = rng.randrange(spread_us)
            times_us = [one_us if rng.random() < 0.5 else rng.randrange(spread_us) for _ in range(count)]
            ids = [100 * number + place for place in range(1, count + 1)]
            pending.add_all(times_us, ids)
            plain = sorted([*plain, *zip(times_us, ids, strict=True)])
        assert list(pending) == plain
        assert pending.soonest() == (plain[0][0] if plain else None)
        pending.check()
        filled = Deadlines()
        filled.fill(rng.sample(plain, len(plain)))
        assert list(filled) == plain
        filled.check()
    if plain:
        pending.discard_all([at_us for at_us, _ in plain], [item_id for _, item_id in plain])
    assert not pending._buckets


@pytest.mark.parametrize("unsorted_max", [0, 1_024])
def test_the_check_finds_each_kind_of_damage(unsorted_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SET-6: a bucket in another's place, one that is empty, and a large one whose inside is out of order."""
    monkeypatch.setattr(deadlines, "_UNSORTED_MAX", unsorted_max)

    def some() -> Deadlines:
        pending = Deadlines()
        for item_id in range(1, 9):
            pending.add(item_id * BUCKET_US // 3, item_id)
        pending.check()
        assert pending.by_id() == {item_id: item_id * BUCKET_US // 3 for item_id in range(1, 9)}
        assert len(pending) == 8
        return pending

    late, early, empty, double, crossed = some(), some(), some(), some(), some()
    late._buckets[0] = late._buckets.pop(1)
    early._buckets[9] = early._buckets.pop(2)
    empty._buckets[7] = type(empty._buckets[0])()
    double.add(70 * BUCKET_US, 3)
    assert len(double.by_id()) < len(double)
    crossed._buckets._list._lists[0].reverse()
    damaged = [late, early, empty, crossed]
    for at_us in (0, 10 * BUCKET_US):
        astray = some()
        bucket = astray._buckets[1]
        if isinstance(bucket, dict):
            bucket[99] = at_us
        else:
            bucket.add(at_us << deadlines._ID_BITS | 99)
        damaged.append(astray)
    if unsorted_max == 0:
        shuffled = some()
        shuffled._buckets[1]._lists[0].reverse()
        damaged.append(shuffled)
    for pending in damaged:
        with pytest.raises((AssertionError, ValueError)):
            pending.check()
