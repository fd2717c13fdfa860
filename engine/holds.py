"""Named holds: tokens set aside outside the auction, which are open and which have ended (HLD).

Rule of this file: records and their order. The tokens themselves are in the ledger, among what their account has held.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import takewhile

from msgspec import Struct
from sortedcontainers import SortedList

from callmarket.engine import limits
from callmarket.engine.events import HoldStatus

HoldKey = tuple[str, str]
"""What names a named hold: whose tokens they are, and its id, which is the account's to choose (HLD-1)."""


class NamedHold(Struct, gc=False, array_like=True, forbid_unknown_fields=True):
    """One named hold (HLD-1). `placed_by` is the account that may end it, besides the admin.

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

    @property
    def key(self) -> HoldKey:
        """Its key: its account and its id."""
        return self.account_id, self.hold_id


class Binding(Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Holds for this reason and reference, placed before `bound_seq`, are bound until `until_us` (HLD-8).

    Its fields in order are its row of the image.
    """

    reason: str
    reference_type: str
    reference_id: str
    bound_seq: int
    until_us: int

    @property
    def key(self) -> tuple[str, str, str]:
        """Its key: its reason, and type and id of its reference."""
        return self.reason, self.reference_type, self.reference_id


class NamedHolds:
    """The named holds of a shard: all open ones, the latest that ended (HLD-6), and which are bound (HLD-8)."""

    __slots__ = ("_deadlines", "bindings", "ended", "open", "open_by_account")

    def __init__(self) -> None:
        """Begin empty."""
        self.open: dict[HoldKey, NamedHold] = {}
        # Oldest end first.
        self.ended: OrderedDict[HoldKey, NamedHold] = OrderedDict()
        # How many an account has open; none is no entry.
        self.open_by_account: dict[str, int] = {}
        # Soonest to end first: each lasts as long as any other. Those that are past are forgotten when another is made.
        self.bindings: OrderedDict[tuple[str, str, str], Binding] = OrderedDict()
        # (deadline, key) of the open ones that have a deadline.
        self._deadlines: SortedList[tuple[int, HoldKey]] = SortedList()

    def get(self, account_id: str, hold_id: str) -> NamedHold | None:
        """An account's hold of this name, open or ended, while it is remembered. O(1)."""
        key = account_id, hold_id
        return self.open.get(key) or self.ended.get(key)

    def add(self, hold: NamedHold) -> None:
        """Open a hold. O(log n) with a deadline, else O(1)."""
        # The name of an ended hold starts anew: it was free, perhaps by the bounds of older rules (HLD-6).
        key = hold.key
        self.ended.pop(key, None)
        self.open[key] = hold
        self.open_by_account[hold.account_id] = self.open_by_account.get(hold.account_id, 0) + 1
        if hold.expires_at_us is not None:
            self._deadlines.add((hold.expires_at_us, key))

    def end(self, key: HoldKey, status: HoldStatus) -> NamedHold:
        """Set a last status, and forget the hold that ended longest ago beyond the bound. Costs as `add`."""
        hold = self.open.pop(key)
        hold.status = status
        self.open_by_account[hold.account_id] -= 1
        if not self.open_by_account[hold.account_id]:
            del self.open_by_account[hold.account_id]
        if hold.expires_at_us is not None:
            self._deadlines.remove((hold.expires_at_us, key))
        self.remember(hold)
        return hold

    def remember(self, hold: NamedHold) -> None:
        """Keep an ended hold among the latest. O(1)."""
        self.ended[hold.key] = hold
        while len(self.ended) > limits.HOLDS_ENDED_KEPT:
            self.ended.popitem(last=False)

    def bind(self, binding: Binding, now_us: int) -> None:
        """Remember a binding, and forget those that are past. O(1), but for those."""
        for key in self.past_bindings(now_us):
            del self.bindings[key]
        self.bindings.pop(binding.key, None)
        self.bindings[binding.key] = binding

    def past_bindings(self, now_us: int) -> list[tuple[str, str, str]]:
        """The bindings that are over. O(those)."""
        return [one.key for one in takewhile(lambda one: one.until_us <= now_us, self.bindings.values())]

    def bound_until(self, hold: NamedHold, now_us: int) -> int:
        """Until when a hold is bound, 0 if it is not. O(1)."""
        binding = self.bindings.get((hold.reason, hold.reference_type, hold.reference_id))
        if binding is None or binding.until_us <= now_us or hold.placed_seq >= binding.bound_seq:
            return 0
        return binding.until_us

    def due(self, now_us: int) -> Iterator[NamedHold]:
        """Open holds whose deadline is `now_us` or before, soonest first, equal ones by key. Lazy; none may change."""
        for expires_at_us, key in self._deadlines:
            if expires_at_us > now_us:
                return
            yield self.open[key]

    def soonest(self) -> int | None:
        """The first deadline, None if there is none. O(1)."""
        return self._deadlines[0][0] if self._deadlines else None

    def check(self) -> None:
        """Assert every property of the index. O(holds)."""
        counts: dict[str, int] = {}
        deadlines = []
        for key, hold in self.open.items():
            assert hold.key == key and hold.status == "open" and key not in self.ended, hold
            counts[hold.account_id] = counts.get(hold.account_id, 0) + 1
            if hold.expires_at_us is not None:
                deadlines.append((hold.expires_at_us, key))
        # Each open hold is counted for its account, and due at its deadline; nothing else is.
        assert counts == self.open_by_account, (counts, self.open_by_account)
        assert sorted(deadlines) == list(self._deadlines), "the deadlines are not those of the open holds"
        # Bindings are in the order of their ends, each under its key.
        ends = [binding.until_us for binding in self.bindings.values()]
        assert ends == sorted(ends) and len(ends) <= limits.HOLD_BINDINGS_MAX, len(ends)
        assert all(binding.key == key for key, binding in self.bindings.items())
        # What a single account and the shard may have (HLD-7), and what is remembered (HLD-6).
        assert all(count <= limits.HOLDS_PER_ACCOUNT_MAX for count in counts.values()), counts
        assert len(self.open) <= limits.HOLDS_MAX and len(self.ended) <= limits.HOLDS_ENDED_KEPT
        for key, hold in self.ended.items():
            assert hold.key == key and hold.status != "open", hold
