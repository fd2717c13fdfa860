"""The rows of `compute_auction_slots`, folded for `projections`.

Rule of this file: pure, as `projections` is. Slots are the one table where a new row may replace an old one: an ended
slot is offered again.
"""

from callmarket.engine.events import AwardGranted, SlotOffered, SlotStatus
from callmarket.engine.slots import SlotKey
from callmarket.persistence.tables.rows import LiveSlotChange, SlotChange, SlotRow
from callmarket.persistence.tables.table import POSTGRES_EPOCH_US


class SlotRows:
    """What some journal rows do to the table."""

    __slots__ = ("_providers", "changed", "live_changed", "new")

    def __init__(self) -> None:
        """Begin with nothing changed."""
        self.new: dict[SlotKey, SlotRow] = {}
        self.changed: dict[SlotKey, SlotChange] = {}
        self.live_changed: list[LiveSlotChange] = []
        # The provider last named with an id: the one that rows of rules 1 and 2 mean, whose ends of a slot name none.
        self._providers: dict[str, str] = {}

    def offer(self, event: SlotOffered, seq: int) -> None:
        """Begin the row of a slot anew."""
        key = event.provider_id, event.slot_id
        self._providers[event.slot_id] = event.provider_id
        self.changed.pop(key, None)
        self.new[key] = SlotRow(
            slot_id=event.slot_id,
            provider_id=event.provider_id,
            market_id=event.market_id,
            available_at=event.available_at_us - POSTGRES_EPOCH_US,
            reserve_price_tokens=event.reserve_price_tokens,
            lease_us=event.lease_us,
            offer_seq=event.offer_seq,
            status="offered",
            award_id=None,
            seq=seq,
        )

    def award(self, event: AwardGranted, seq: int) -> None:
        """Give a slot its award."""
        slot = self._slot(event.provider_id, event.slot_id, seq)
        slot.status = "awarded"
        slot.award_id = event.award_id

    def end(self, provider_id: str, slot_id: str, status: SlotStatus, seq: int) -> None:
        """Set the last status of a slot."""
        provider_id = provider_id or self._providers.get(slot_id, "")
        if provider_id:
            self._slot(provider_id, slot_id, seq).status = status
        else:
            # An earlier batch has named its provider. It ends once: a new offer of the id names its provider.
            self.live_changed.append(LiveSlotChange(slot_id, status, seq))

    def _slot(self, provider_id: str, slot_id: str, seq: int) -> SlotRow | SlotChange:
        self._providers[slot_id] = provider_id
        key = provider_id, slot_id
        slot = self.new.get(key) or self.changed.get(key)
        if slot is None:
            slot = self.changed[key] = SlotChange(slot_id, provider_id)
        slot.seq = seq
        return slot
