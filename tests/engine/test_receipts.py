"""The window of receipts by itself.

Goal: the last `RECEIPTS_MAX` by actor and id, in order, of what was done and of refusals apart.
Method: small windows filled by hand. IDM-1.
"""

from collections.abc import Callable

import pytest

from callmarket.engine import limits
from callmarket.engine.commands import ExpireDue
from callmarket.engine.events import Rejected, SweepFinished
from callmarket.engine.receipts import Receipt, Receipts
from callmarket.engine.reject import Reject


def receipt(seq: int, actor: str = "a", command_id: str = "") -> Receipt:
    return Receipt(actor, command_id or f"k{seq}", seq, 0, ExpireDue(), (SweepFinished(0, 0, 0, False),))


def refusal(seq: int) -> Receipt:
    return Receipt("a", f"k{seq}", seq, 0, ExpireDue(), (Rejected(Reject.SLOT_UNKNOWN, "slot_id", "s", ""),))


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


@pytest.mark.parametrize("make", [receipt, refusal])
def test_the_check_looks_at_both_windows(make: Callable[[int], Receipt], monkeypatch: pytest.MonkeyPatch) -> None:
    """IDM-1: what was done and what was refused, each by itself; and that every one is found by its id."""
    with pytest.raises(AssertionError, match="out of order"):
        window(make(2), make(1)).check()
    kept = window(make(1), make(2))
    kept.check()
    with monkeypatch.context() as patch:
        patch.setattr(limits, "RECEIPTS_MAX", 1)
        with pytest.raises(AssertionError, match="2"):
            kept.check()
    kept._done, kept._refused = kept._refused, kept._done
    with pytest.raises(AssertionError, match="Receipt"):
        kept.check()
    kept = window(make(1), make(2))
    kept._by_id["a", "k3"] = kept._by_id["a", "k2"]
    with pytest.raises(AssertionError, match="an id has two receipts"):
        kept.check()
    del kept._by_id["a", "k2"]
    with pytest.raises(AssertionError, match="not found by its id"):
        kept.check()


def test_refusals_push_out_refusals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """IDM-1: what costs nothing to ask forgets nothing that was done, and the other way round."""
    monkeypatch.setattr(limits, "RECEIPTS_MAX", 2)
    kept = window(receipt(1), refusal(2), refusal(3), refusal(4), refusal(5))
    assert [one.seq for one in kept] == [1, 4, 5]
    kept = window(refusal(1), receipt(2), receipt(3), receipt(4))
    assert [one.seq for one in kept] == [3, 4, 1]
    kept.check()


def test_of_two_receipts_of_an_id_the_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """IDM-1: rows of rules that forgot sooner have them; the earlier one is gone at once, from whichever window."""
    monkeypatch.setattr(limits, "RECEIPTS_MAX", 3)
    done, refused = receipt(4, "a", "k1"), refusal(1)
    for first, later in (
        (receipt(1), done),
        (refused, done),
        (receipt(1), Receipt("a", "k1", 5, 0, ExpireDue(), refused.events)),
    ):
        kept = window(first, receipt(2), receipt(3), later)
        assert kept.get("a", "k1") is later
        assert len(kept) == 3
        kept.check()
