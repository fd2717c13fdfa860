"""Very many digests, by themselves.

Goal: the same as a dict of them, in whichever order they came, through an image, and when they lie close together.
Method: random digests whose bytes are few, so that buckets are crowded and a digest is found across two others.
"""

import random

import pytest

from callmarket.engine.digests import DIGEST_BYTES, Digests, digest_of


def crowded(rng: random.Random) -> bytes:
    """A digest that shares its bucket, and most of its bytes, with many others."""
    return bytes(rng.choice((0, 1)) for _ in range(DIGEST_BYTES))


@pytest.mark.parametrize("value_bytes", [0, 3])
def test_digests_behave_as_a_dict(seed: int, value_bytes: int) -> None:
    rng = random.Random(seed)
    kept, expected = Digests(value_bytes), dict[bytes, bytes]()
    for _ in range(3_000):
        digest, value = crowded(rng), rng.randbytes(value_bytes)
        assert kept.get(digest) == expected.get(digest)
        assert (digest in kept) == (digest in expected)
        if rng.random() < 0.7:
            kept.put(digest, value)
            expected[digest] = value
        assert len(kept) == len(expected)
    kept.check()
    assert {digest: kept.get(digest) for digest in expected} == expected


def test_equal_contents_are_equal_bytes(seed: int) -> None:
    rng = random.Random(seed)
    digests = [crowded(rng) for _ in range(500)]
    one, other = Digests(), Digests()
    for digest in digests:
        one.put(digest)
    rng.shuffle(digests)
    for digest in digests:
        other.put(digest)
    rows = list(one.buckets())
    assert rows == list(other.buckets())
    restored = Digests()
    restored.fill(rows)
    restored.check()
    assert list(restored.buckets()) == rows
    assert len(restored) == len(one)


def test_bytes_across_two_rows_are_not_found() -> None:
    """The quick look finds its bytes, and the place says no."""
    kept = Digests(1)
    kept.put(b"pp" + b"a" * 14, b"b")
    kept.put(b"pp" + b"b" * 14, b"c")
    assert kept.get(b"pp" + b"a" * 13 + b"b") is None
    assert kept.get(b"pp" + b"b" * 13 + b"c") is None
    assert kept.get(b"pp" + b"a" * 14) == b"b"


def test_a_digest_of_another_size_is_a_bug() -> None:
    for digest, value in ((b"short", b""), (bytes(DIGEST_BYTES), b"value")):
        with pytest.raises(AssertionError):
            Digests().put(digest, value)


@pytest.mark.parametrize("rows", [[(b"pp", b"")], [(b"pp", bytes(13))], [(b"p", bytes(14))], [(b"pp", bytes(28))]])
def test_rows_that_cannot_be_are_found_by_the_check(rows: list[tuple[bytes, bytes]]) -> None:
    kept = Digests()
    kept.fill(rows)
    with pytest.raises(AssertionError):
        kept.check()


def test_words_that_read_the_same_together_have_digests_of_their_own() -> None:
    """LED-4, IDM-1: a NUL stands between them, which no name has."""
    assert digest_of("ab", "c") != digest_of("a", "bc")
    assert digest_of("a", "") != digest_of("a")
    assert len(digest_of("a")) == DIGEST_BYTES
