"""Named holds: tokens set aside outside the auction, which are open and which have ended (HLD).

Rule of this file: records and their order. The tokens themselves are in the ledger, under a hold of the same name.
"""

from collections import OrderedDict
from collections.abc import Iterator

from msgspec import Struct
from sortedcontainers import SortedList

from engine import limits
from engine.events import HoldStatus


class NamedHold(Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """One named hold (HLD-1). `placed_by` is who may end it, besides the admin.

    Its fields in order are its row of the image.
    """

    hold_id: str
    placed_seq: int
    account_id: str
    placed_by: str
    amount_tokens: int
    reason: str
    reference_type: str
    reference_id: str
    expires_at_us: int | None
    memo: str
    status: HoldStatus


class NamedHolds:
    """The named holds of a shard: all open ones, and the latest that ended (HLD-6)."""

    __slots__ = ("_deadlines", "ended", "open", "open_by_account")

    def __init__(self) -> None:
        """Begin empty."""
        self.open: dict[str, NamedHold] = {}
        # Oldest end first.
        self.ended: OrderedDict[str, NamedHold] = OrderedDict()
        # How many an account has open; none is no entry.
        self.open_by_account: dict[str, int] = {}
        # (deadline, id) of the open ones that have a deadline.
        self._deadlines: SortedList[tuple[int, str]] = SortedList()

    def get(self, hold_id: str) -> NamedHold | None:
        """The hold of this name, open or ended, while it is remembered. O(1)."""
        return self.open.get(hold_id) or self.ended.get(hold_id)

    def add(self, hold: NamedHold) -> None:
        """Open a hold. O(log n) with a deadline, else O(1)."""
        # The name of an ended hold starts anew: it was free, perhaps by the bounds of older rules (HLD-6).
        self.ended.pop(hold.hold_id, None)
        self.open[hold.hold_id] = hold
        self.open_by_account[hold.account_id] = self.open_by_account.get(hold.account_id, 0) + 1
        if hold.expires_at_us is not None:
            self._deadlines.add((hold.expires_at_us, hold.hold_id))

    def end(self, hold_id: str, status: HoldStatus) -> None:
        """Set a last status, and forget the hold that ended longest ago beyond the bound. Costs as `add`."""
        hold = self.open.pop(hold_id)
        hold.status = status
        self.open_by_account[hold.account_id] -= 1
        if not self.open_by_account[hold.account_id]:
            del self.open_by_account[hold.account_id]
        if hold.expires_at_us is not None:
            self._deadlines.remove((hold.expires_at_us, hold_id))
        self.remember(hold)

    def remember(self, hold: NamedHold) -> None:
        """Keep an ended hold among the latest. O(1)."""
        self.ended[hold.hold_id] = hold
        while len(self.ended) > limits.HOLDS_ENDED_KEPT:
            self.ended.popitem(last=False)

    def due(self, now_us: int) -> Iterator[NamedHold]:
        """Open holds whose deadline is `now_us` or before, soonest first, equal ones by id. Lazy; none may change."""
        for expires_at_us, hold_id in self._deadlines:
            if expires_at_us > now_us:
                return
            yield self.open[hold_id]

    def soonest(self) -> int | None:
        """The first deadline, None if there is none. O(1)."""
        return self._deadlines[0][0] if self._deadlines else None

    def check(self) -> None:
        """Assert every property of the index. O(holds)."""
        counts: dict[str, int] = {}
        deadlines = []
        for hold_id, hold in self.open.items():
            assert hold.hold_id == hold_id and hold.status == "open" and hold_id not in self.ended, hold
            counts[hold.account_id] = counts.get(hold.account_id, 0) + 1
            if hold.expires_at_us is not None:
                deadlines.append((hold.expires_at_us, hold_id))
        # Each open hold is counted for its account, and due at its deadline; nothing else is.
        assert counts == self.open_by_account, (counts, self.open_by_account)
        assert sorted(deadlines) == list(self._deadlines), "the deadlines are not those of the open holds"
        # What a single account and the shard may have (HLD-7), and what is remembered (HLD-6).
        assert all(count <= limits.HOLDS_PER_ACCOUNT_MAX for count in counts.values()), counts
        assert len(self.open) <= limits.HOLDS_MAX and len(self.ended) <= limits.HOLDS_ENDED_KEPT
        for hold_id, hold in self.ended.items():
            assert hold.hold_id == hold_id and hold.status != "open", hold
