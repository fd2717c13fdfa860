"""The replies of recent commands, so that a retry is answered and not done again.

Rule of this file: two windows bounded by count, in order of commands, so they are the same after every replay; what is
refused costs nothing to ask, so it never pushes out what was done. They keep the command itself and not a hash of it:
comparing is then exact, and what the client first heard can be said again.
"""

from collections import deque
from collections.abc import Iterator

from msgspec import Struct

from callmarket.engine import limits
from callmarket.engine.commands import Command
from callmarket.engine.events import Events, Rejected


class Receipt(Struct, frozen=True, gc=False):
    """What a command with an id was, and what it caused."""

    actor: str
    command_id: str
    seq: int
    at_us: int
    command: Command
    events: Events


class Receipts:
    """The last `limits.RECEIPTS_MAX` receipts of what was done, and as many of refusals. O(1) everywhere."""

    __slots__ = ("_by_id", "_done", "_refused")

    def __init__(self) -> None:
        """Begin empty."""
        # Oldest first.
        self._done: deque[Receipt] = deque()
        self._refused: deque[Receipt] = deque()
        self._by_id: dict[tuple[str, str], Receipt] = {}

    def __len__(self) -> int:
        """The number of receipts kept."""
        return len(self._done) + len(self._refused)

    def __iter__(self) -> Iterator[Receipt]:
        """All receipts: what was done, and then what was refused, each oldest first."""
        yield from self._done
        yield from self._refused

    def get(self, actor: str, command_id: str) -> Receipt | None:
        """The receipt of this actor's command, if it is still in its window."""
        return self._by_id.get((actor, command_id))

    def add(self, receipt: Receipt) -> None:
        """Remember a receipt and forget the oldest of its kind beyond the bound."""
        window, by_id = self._refused if type(receipt.events[0]) is Rejected else self._done, self._by_id
        earlier = by_id.setdefault((receipt.actor, receipt.command_id), receipt)
        if earlier is not receipt:
            # Only a row of rules that forgot sooner does an id twice: the later counts.
            (self._done if earlier in self._done else self._refused).remove(earlier)
            by_id[receipt.actor, receipt.command_id] = receipt
        window.append(receipt)
        while len(window) > limits.RECEIPTS_MAX:
            oldest = window.popleft()
            del by_id[oldest.actor, oldest.command_id]

    def check(self) -> None:
        """Assert that the windows are in order and within their bound."""
        for refused, window in ((False, self._done), (True, self._refused)):
            sequence = [receipt.seq for receipt in window]
            assert sequence == sorted(set(sequence)), "receipts out of order"
            assert len(sequence) <= limits.RECEIPTS_MAX, len(sequence)
            for receipt in window:
                assert isinstance(receipt.events[0], Rejected) == refused, receipt
        assert len(self) == len(self._by_id), "an id has two receipts"
        assert all(self.get(one.actor, one.command_id) is one for one in self), "a receipt is not found by its id"
