"""The offers of a market by themselves.

Goal: the order of sale, and an index that finds its own faults. Method: small sets by hand. CLR-1.
"""

import pytest

from callmarket.engine.slots import Offers, Slot


def slot(offer_seq: int, reserve: int = 0, available_at_us: int = 0) -> Slot:
    return Slot(f"s{offer_seq}", "m", "offered", offer_seq, available_at_us, reserve, "treasury", 100, 0, "")


def offers_of(*slots: Slot) -> Offers:
    offers = Offers()
    for one in slots:
        offers.add(one)
    return offers


def test_slots_are_sold_by_reserve_then_availability_then_order_of_offer() -> None:
    """CLR-1."""
    offers = offers_of(slot(1, 5, 0), slot(2, 1, 9), slot(3, 1, 8), slot(4, 1, 8), slot(5, 0, 99))
    assert [one.offer_seq for one in offers] == [5, 3, 4, 2, 1]
    assert [one.offer_seq for one in offers.available(8)] == [3, 4, 1]
    assert [one.offer_seq for one in offers.available(9)] == [3, 4, 2, 1]
    assert len(offers) == 5
    offers.check()


def test_a_slot_off_sale_is_gone() -> None:
    """CLR-1, SLT-2."""
    one, two = slot(1), slot(2)
    offers = offers_of(one, two)
    offers.remove(one)
    assert list(offers) == [two]
    with pytest.raises(KeyError):
        offers.remove(one)


def test_the_check_finds_what_is_not_offered_and_what_stands_in_another_place() -> None:
    """CLR-1."""
    sold, moved = slot(1), slot(1)
    offers = offers_of(sold)
    sold.status = "awarded"
    with pytest.raises(AssertionError):
        offers.check()
    offers = offers_of(moved)
    moved.offer_seq = 2
    with pytest.raises(AssertionError):
        offers.check()
