"""The replies of recent commands, so that a retry is answered and not done again.

Rule of this file: a window bounded by count, in order of commands, so it is the same after every replay. It keeps the
command itself and not a hash of it: comparing is then exact, and what the client first heard can be said again.
"""

from collections import OrderedDict
from collections.abc import Iterator

from msgspec import Struct

from engine import limits
from engine.commands import Command
from engine.events import Events


class Receipt(Struct, frozen=True, gc=False):
    """What a command with an id was, and what it caused."""

    actor: str
    command_id: str
    seq: int
    at_us: int
    command: Command
    events: Events


class Receipts:
    """The last `limits.RECEIPTS_MAX` receipts by actor and command id. O(1) everywhere."""

    __slots__ = ("_by_id",)

    def __init__(self) -> None:
        """Begin empty."""
        self._by_id: OrderedDict[tuple[str, str], Receipt] = OrderedDict()

    def __len__(self) -> int:
        """The number of receipts kept."""
        return len(self._by_id)

    def __iter__(self) -> Iterator[Receipt]:
        """All receipts, oldest first."""
        return iter(self._by_id.values())

    def get(self, actor: str, command_id: str) -> Receipt | None:
        """The receipt of this actor's command, if it is still in the window."""
        return self._by_id.get((actor, command_id))

    def add(self, receipt: Receipt) -> None:
        """Remember a receipt and forget the oldest beyond the bound."""
        self._by_id[receipt.actor, receipt.command_id] = receipt
        while len(self._by_id) > limits.RECEIPTS_MAX:
            self._by_id.popitem(last=False)

    def check(self) -> None:
        """Assert that the window is in order and within its bound."""
        sequence = [receipt.seq for receipt in self]
        assert sequence == sorted(set(sequence)), "receipts out of order"
        assert len(sequence) <= limits.RECEIPTS_MAX, len(sequence)
