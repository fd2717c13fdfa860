"""The window of receipts by itself.

Goal: the last `RECEIPTS_MAX` by actor and id, in order. Method: a small window filled by hand. IDM-1.
"""

import pytest

from engine import limits
from engine.commands import ExpireDue
from engine.events import SweepFinished
from engine.receipts import Receipt, Receipts


def receipt(seq: int, actor: str = "a", command_id: str = "") -> Receipt:
    return Receipt(actor, command_id or f"k{seq}", seq, 0, ExpireDue(), (SweepFinished(0, 0, 0, False),))


def window(*receipts: Receipt) -> Receipts:
    kept = Receipts()
    for one in receipts:
        kept.add(one)
    return kept


def test_a_receipt_is_found_by_actor_and_id() -> None:
    """IDM-1: both count."""
    one, two = receipt(1, "a", "k"), receipt(2, "b", "k")
    kept = window(one, two)
    assert kept.get("a", "k") is one
    assert kept.get("b", "k") is two
    assert kept.get("c", "k") is None
    assert kept.get("a", "k2") is None
    assert list(kept) == [one, two]
    kept.check()


def test_beyond_the_bound_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """IDM-1."""
    monkeypatch.setattr(limits, "RECEIPTS_MAX", 2)
    kept = window(receipt(1), receipt(2), receipt(3))
    assert [one.seq for one in kept] == [2, 3]
    assert len(kept) == 2
    assert kept.get("a", "k1") is None
    kept.check()


def test_the_check_finds_disorder_and_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """IDM-1: after a restart the window must be in the order of the commands."""
    with pytest.raises(AssertionError, match="out of order"):
        window(receipt(2), receipt(1)).check()
    with pytest.raises(AssertionError, match="out of order"):
        window(receipt(1, "a"), receipt(1, "b")).check()
    kept = window(receipt(1), receipt(2))
    monkeypatch.setattr(limits, "RECEIPTS_MAX", 1)
    with pytest.raises(AssertionError):
        kept.check()
