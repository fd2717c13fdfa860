"""Very many short digests, each perhaps with a value of fixed size, in little more memory than their bytes.

Rule of this file: plain bytes in order, and no object for each. A digest is 16 bytes of SHA-256, so no two are ever
alike by chance, and nobody can make one that is like somebody else's. Its first two bytes name a bucket, in which the
other fourteen and the value stand in order: equal contents are equal bytes, in whichever order they came.
"""

from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from typing import Final

DIGEST_BYTES: Final = 16
_PREFIX_BYTES: Final = 2
_REST_BYTES: Final = DIGEST_BYTES - _PREFIX_BYTES


def digest_of(*words: str) -> bytes:
    """The digest of some words, none of which has a NUL. About a microsecond."""
    return sha256("\0".join(words).encode()).digest()[:DIGEST_BYTES]


class Digests:
    """Digests and their values. Looking one up takes about a microsecond; adding one moves its bucket's bytes."""

    __slots__ = ("_buckets", "_count", "_row_bytes")

    def __init__(self, value_bytes: int = 0) -> None:
        """Begin empty. Every value has `value_bytes` bytes."""
        self._row_bytes = _REST_BYTES + value_bytes
        self._buckets: dict[bytes, bytearray] = {}
        self._count = 0

    def __len__(self) -> int:
        """The number of digests."""
        return self._count

    def __contains__(self, digest: bytes) -> bool:
        """Whether the digest is there."""
        return self.get(digest) is not None

    def get(self, digest: bytes) -> bytes | None:
        """The value of a digest, None if it is not there."""
        bucket, rest = self._buckets.get(digest[:_PREFIX_BYTES]), digest[_PREFIX_BYTES:]
        # Most are not there, and this says so at the speed of C. It may be found across two rows, so it is no proof.
        if bucket is None or rest not in bucket:
            return None
        at = self._place(bucket, rest)
        found = bytes(bucket[at : at + self._row_bytes])
        return found[_REST_BYTES:] if found.startswith(rest) else None

    def put(self, digest: bytes, value: bytes = b"") -> None:
        """Add a digest, or give it another value."""
        assert len(digest) == DIGEST_BYTES and _REST_BYTES + len(value) == self._row_bytes, (digest, value)
        rest = digest[_PREFIX_BYTES:]
        bucket = self._buckets.setdefault(digest[:_PREFIX_BYTES], bytearray())
        at = self._place(bucket, rest)
        known = bucket.startswith(rest, at)
        bucket[at : at + self._row_bytes * known] = rest + value
        self._count += not known

    def buckets(self) -> Iterator[tuple[bytes, bytes]]:
        """The rows by prefix, for an image. O(digests)."""
        for prefix, bucket in sorted(self._buckets.items()):
            yield prefix, bytes(bucket)

    def fill(self, buckets: list[tuple[bytes, bytes]]) -> None:
        """Take the rows that an image has; `check` says whether they can be. O(digests)."""
        for prefix, bucket in buckets:
            self._buckets[prefix] = bytearray(bucket)
            self._count += len(bucket) // self._row_bytes

    def check(self) -> None:
        """Assert that every digest stands once, whole, and in its place. O(digests)."""
        size, count = self._row_bytes, 0
        for prefix, bucket in self._buckets.items():
            assert len(prefix) == _PREFIX_BYTES and bucket and len(bucket) % size == 0, (prefix, len(bucket))
            rests = [bucket[at : at + _REST_BYTES] for at in range(0, len(bucket), size)]
            assert all(one < other for one, other in pairwise(rests)), (prefix, "out of order")
            count += len(rests)
        assert count == self._count, (count, self._count)

    def _place(self, bucket: bytearray, rest: bytes) -> int:
        """Where in a bucket the row of this digest begins, or would."""
        size = self._row_bytes
        low, high = 0, len(bucket) // size
        while low < high:
            middle = (low + high) // 2
            at = middle * size
            if bucket[at : at + _REST_BYTES] < rest:
                low = middle + 1
            else:
                high = middle
        return low * size
