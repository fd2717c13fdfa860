"""The ids that the engine gives.

Rule of this file: names of types. To mypy a bid's id and an award's are not the same, nor any number; where the program
runs they are plain whole numbers, in the journal too.
"""

from typing import Final, NewType

BidId = NewType("BidId", int)
AwardId = NewType("AwardId", int)
# A position has the id of the order that opened it.
OrderId = NewType("OrderId", int)
PositionId = NewType("PositionId", int)

# Of what has none; the first that are given are 1.
NO_BID: Final = BidId(0)
NO_AWARD: Final = AwardId(0)
