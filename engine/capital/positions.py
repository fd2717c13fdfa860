"""Positions: one for each order that opened one (POS-1).

Rule of this file: a record. What it cost goes down with its shares, in proportion (POS-4).
"""

from msgspec import Struct

from callmarket.engine.capital.commands import Side
from callmarket.engine.ids import PositionId


class Position(Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """Shares of one side and what they have cost. `reserved_microshares` are those that resting orders would close.

    Its fields in order are its row of the image.
    """

    position_id: PositionId
    artifact_id: str
    account_id: str
    side: Side
    microshares: int
    cost_microtokens: int
    reserved_microshares: int

    def cost_of(self, microshares: int) -> int:
        """The part of the cost that goes with some of the shares (POS-4)."""
        return self.cost_microtokens * microshares // self.microshares
