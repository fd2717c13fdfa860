"""The rows of `token_holds`, folded for `projections`.

Rule of this file: pure, as `projections` is; what a hold does to its account is said there.
"""

from callmarket.engine.events import HoldPlaced
from callmarket.persistence.tables.rows import NamedHoldChange, NamedHoldRow
from callmarket.persistence.tables.table import POSTGRES_EPOCH_US


class HoldRows:
    """What some journal rows do to the table. A hold ends once, so there is one change of a row at most."""

    __slots__ = ("changed", "new")

    def __init__(self) -> None:
        """Begin with nothing changed."""
        self.new: dict[int, NamedHoldRow] = {}
        self.changed: list[NamedHoldChange] = []

    def place(self, event: HoldPlaced, at: int, seq: int) -> None:
        """Add the row of a new hold. Times are PostgreSQL's, as in `tables`."""
        expires_at_us = event.expires_at_us
        self.new[event.placed_seq] = NamedHoldRow(
            placed_seq=event.placed_seq,
            hold_id=event.hold_id,
            account_id=event.account_id,
            placed_by=event.placed_by,
            amount=event.amount_tokens,
            captured=None,
            captured_to=None,
            reason=event.reason,
            reference_type=event.reference_type,
            reference_id=event.reference_id,
            memo=event.memo,
            status="open",
            placed_at=at,
            expires_at=None if expires_at_us is None else expires_at_us - POSTGRES_EPOCH_US,
            ended_at=None,
            seq=seq,
        )

    def end(self, change: NamedHoldChange) -> None:
        """End a hold that this batch or an earlier one has placed."""
        hold = self.new.get(change.placed_seq)
        if hold is None:
            self.changed.append(change)
            return
        for column in change.__struct_fields__:
            setattr(hold, column, getattr(change, column))
