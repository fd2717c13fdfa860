"""What falls due, soonest first.

Rule of this file: order only, and that order is (deadline, id) whatever the history: a sweep that stops half-way is the
same on every machine. Deadlines are many and mostly cancelled before they are due, so they wait unsorted in buckets of
16 ms; only buckets are kept sorted. A bucket that grows large becomes a sorted list, so that a million bids with one
deadline are swept in small steps without sorting them again and again.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sortedcontainers import SortedDict, SortedList

from callmarket.engine.limits import SEQ_MAX

# 16 ms: at 40,000 bids a second a bucket stays small.
_BUCKET_BITS: Final = 14
# Sorting a bucket of this size costs a sweep about 0.1 ms.
_UNSORTED_MAX: Final = 1_024
_ID_BITS: Final = 53
assert 1 << _ID_BITS == SEQ_MAX + 1

# A small bucket maps ids to deadlines; a large one is sorted by packed integers `deadline << 53 | id`.
Bucket = dict[int, int] | SortedList[int]


class Deadlines:
    """A set of (deadline, id), ordered. Adding and discarding cost O(1) in a small bucket, O(log n) in a large one."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        """Begin empty."""
        self._buckets: SortedDict[int, Bucket] = SortedDict()

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """All (deadline, id), soonest first. Lazy; they must not change meanwhile."""
        for bucket in self._buckets.values():
            for packed in _in_order(bucket):
                yield packed >> _ID_BITS, packed & SEQ_MAX

    def __len__(self) -> int:
        """The number of deadlines. O(buckets)."""
        return sum(map(len, self._buckets.values()))

    def add(self, at_us: int, item_id: int) -> None:
        """Add a deadline."""
        key = at_us >> _BUCKET_BITS
        bucket = self._buckets.get(key)
        if bucket is None:
            self._buckets[key] = {item_id: at_us}
        elif isinstance(bucket, dict):
            bucket[item_id] = at_us
            if len(bucket) > _UNSORTED_MAX:
                self._buckets[key] = SortedList(_in_order(bucket))
        else:
            bucket.add(at_us << _ID_BITS | item_id)

    def add_all(self, times_us: Sequence[int], ids: Sequence[int]) -> None:
        """Add several deadlines, as `add` does one after the other. Cheapest where all are one time."""
        at_us = times_us[0]
        bucket = self._buckets.setdefault(at_us >> _BUCKET_BITS, {})
        if type(bucket) is dict and len(bucket) + len(ids) <= _UNSORTED_MAX and times_us.count(at_us) == len(times_us):
            bucket.update(zip(ids, times_us, strict=True))
        else:
            for one_us, item_id in zip(times_us, ids, strict=True):
                self.add(one_us, item_id)

    def fill(self, deadlines: Iterable[tuple[int, int]]) -> None:
        """Add all (deadline, id) to an empty set, as `add` does one after the other, but sort once. O(n log n)."""
        assert not self._buckets, len(self._buckets)
        unsorted: defaultdict[int, dict[int, int]] = defaultdict(dict)
        for at_us, item_id in deadlines:
            unsorted[at_us >> _BUCKET_BITS][item_id] = at_us
        self._buckets.update(
            (key, bucket if len(bucket) <= _UNSORTED_MAX else SortedList(_in_order(bucket)))
            for key, bucket in unsorted.items()
        )

    def discard(self, at_us: int, item_id: int) -> None:
        """Remove a deadline that is there."""
        key = at_us >> _BUCKET_BITS
        bucket = self._buckets[key]
        if isinstance(bucket, dict):
            due_us = bucket.pop(item_id)
            assert due_us == at_us, (item_id, due_us, at_us)
        else:
            bucket.remove(at_us << _ID_BITS | item_id)
        if not bucket:
            del self._buckets[key]

    def discard_all(self, times_us: Sequence[int], ids: Sequence[int]) -> None:
        """Remove several deadlines, as `discard` does one after the other."""
        keys = [at_us >> _BUCKET_BITS for at_us in times_us]
        buckets = list(map(self._buckets.__getitem__, keys))
        small = [bucket for bucket in buckets if type(bucket) is dict]
        if len(small) < len(buckets):
            for at_us, item_id in zip(times_us, ids, strict=True):
                self.discard(at_us, item_id)
            return
        taken_us = list(map(dict[int, int].pop, small, ids))
        assert taken_us == list(times_us), (ids, taken_us, times_us)
        for key, bucket in zip(keys, small, strict=True):
            if not bucket:
                self._buckets.pop(key, None)

    def due(self, now_us: int) -> Iterator[int]:
        """Ids whose deadline is `now_us` or before, soonest first. Lazy; they must not change meanwhile."""
        end = (now_us + 1) << _ID_BITS
        for key, bucket in self._buckets.items():
            if key > now_us >> _BUCKET_BITS:
                return
            for packed in _in_order(bucket):
                if packed >= end:
                    return
                yield packed & SEQ_MAX

    def soonest(self) -> int | None:
        """The first deadline, None if there is none. O(1) if the first bucket is large, else O(bucket)."""
        if not self._buckets:
            return None
        _, bucket = self._buckets.peekitem(0)
        return min(bucket.values()) if isinstance(bucket, dict) else bucket[0] >> _ID_BITS

    def by_id(self) -> dict[int, int]:
        """The deadline of each id, in no order. It has fewer than there are if an id has two, which is a bug. O(n)."""
        deadlines: dict[int, int] = {}
        for bucket in self._buckets.values():
            deadlines.update(bucket if isinstance(bucket, dict) else _unpacked(bucket))
        return deadlines

    def check(self) -> None:
        """Assert every property of the index. O(n)."""
        keys = list(self._buckets)
        assert keys == sorted(keys), "buckets out of order"
        for key, bucket in self._buckets.items():
            # No bucket is empty, and what is in one is due within its 16 ms; a large one is in order.
            times_us = bucket.values() if isinstance(bucket, dict) else _unpacked(bucket).values()
            assert min(times_us) >> _BUCKET_BITS == key == max(times_us) >> _BUCKET_BITS, key
            assert isinstance(bucket, dict) or list(bucket) == sorted(bucket), key


def _in_order(bucket: Bucket) -> Iterable[int]:
    if isinstance(bucket, dict):
        return sorted([at_us << _ID_BITS | item_id for item_id, at_us in bucket.items()])
    return bucket


def _unpacked(bucket: SortedList[int]) -> dict[int, int]:
    return {packed & SEQ_MAX: packed >> _ID_BITS for packed in bucket}
