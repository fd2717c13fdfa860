"""What both ways to our market are told.

Rule of this file: whole commands as a user means them. Between the clocks slots are offered, and awards settled, since
a market bounds how many of either it has.
"""

from benchmarks import workload
from benchmarks.table.peer import Bid
from callmarket.engine.commands import Command, OfferSlot, PlaceBid, SettleAward


class Slots:
    """Names for slots, and which of them were sold."""

    def __init__(self) -> None:
        self._offered = 0
        self._sold: list[str] = []

    def offers(self, k: int) -> list[Command]:
        """What offers so many new ones, which the call then sells."""
        self._sold = [f"slot-{self._offered + number}" for number in range(k)]
        self._offered += k
        return [OfferSlot(workload.MARKET, slot_id, 0) for slot_id in self._sold]

    def settlements(self) -> list[Command]:
        """What settles those that were sold, once."""
        sold, self._sold = self._sold, []
        return [SettleAward(slot_id, 0, 0) for slot_id in sold]


def placing(bid: Bid, ttl_at_us: int) -> PlaceBid:
    """The command that places it."""
    bidder_id = f"agent-{bid.bidder}"
    return PlaceBid(workload.MARKET, bidder_id, f"task-{bid.number}", bid.price_tokens, 1_000, ttl_at_us, "gtd")
