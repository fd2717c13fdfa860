"""Slots on offer, the awards of them, and the order in which a call sells them (CLR-1).

Rule of this file: records and their order. Which status follows which is for `decide`.
"""

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final, final

from msgspec import Struct

from callmarket.engine.events import SlotStatus
from callmarket.engine.ids import AwardId, BidId

SlotKey = tuple[str, str]
"""What names a slot: its provider, and its id, which is the provider's to choose (SLT-1)."""


class Slot(Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """One use of one slot (SLT-1, SLT-2). `award_id` is its award since this offer, 0 while there is none.

    Its fields in order are its row of the image.
    """

    slot_id: str
    market_id: str
    status: SlotStatus
    offer_seq: int
    available_at_us: int
    reserve_price_tokens: int
    provider_id: str
    lease_us: int
    award_id: AwardId
    winner_id: str

    @property
    def key(self) -> SlotKey:
        """Its key: its provider and its id."""
        return self.provider_id, self.slot_id


@final
class Award(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A live award: the winner's right to a slot until `lease_until_us`. Its hold has the bid's id.

    Its fields in order are its row of the image.
    """

    award_id: AwardId
    market_id: str
    slot_id: str
    bid_id: BidId
    bidder_id: str
    task_id: str
    price_tokens: int
    provider_id: str
    lease_until_us: int

    @property
    def slot_key(self) -> SlotKey:
        """The key of its slot."""
        return self.provider_id, self.slot_id


class Offers:
    """The offered slots of one market. Sorted at the call, by those available then: a call sells or looks at each."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        """Begin empty."""
        # By place in the order of offer, which no two offers share.
        self._slots: dict[int, Slot] = {}

    def __len__(self) -> int:
        """The number of offered slots, available or not. O(1)."""
        return len(self._slots)

    def __iter__(self) -> Iterator[Slot]:
        """All offered slots in the order of sale. O(n log n)."""
        return iter(sorted(self._slots.values(), key=_sale_order))

    def add(self, slot: Slot) -> None:
        """Put a slot on sale. O(1)."""
        self._slots[slot.offer_seq] = slot

    def remove(self, slot: Slot) -> None:
        """Take a slot off sale. O(1)."""
        del self._slots[slot.offer_seq]

    def remove_all(self, slots: Iterable[Slot]) -> None:
        """Take slots off sale. O(1) each."""
        for slot in slots:
            del self._slots[slot.offer_seq]

    def available(self, now_us: int) -> list[Slot]:
        """The slots that a call at `now_us` can sell, in the order of sale (CLR-1). O(offered + k log k)."""
        return sorted([slot for slot in self._slots.values() if slot.available_at_us <= now_us], key=_sale_order)

    def unordered(self) -> Iterable[Slot]:
        """All offered slots in no order, without a copy: they must not change meanwhile."""
        return self._slots.values()

    def check(self) -> None:
        """Assert every property of the index. O(offered)."""
        # Only what is offered is for sale, under its own place.
        for offer_seq, slot in self._slots.items():
            assert slot.status == "offered" and offer_seq == slot.offer_seq, (offer_seq, slot)


_sale_order: Final = attrgetter("reserve_price_tokens", "available_at_us", "offer_seq")
