"""The engine: one function, `apply`.

Rule of this file: the order of things. A retry is answered first, then a command is decided, then what was decided is
applied; nothing else changes the state. A broken invariant raises `AssertionError`, and the process must stop.
"""

from engine.commands import Entry
from engine.decide import decide
from engine.decide.refusals import refused
from engine.events import Events, Repeated
from engine.evolve import evolve
from engine.receipts import Receipt
from engine.reject import Reject
from engine.state import State


class Engine:
    """One shard of the market. Single-threaded by nature: a price needs a total order."""

    __slots__ = ("state",)

    def __init__(self, state: State | None = None) -> None:
        """Continue from a state, or begin before the first command."""
        self.state = state or State()

    def apply(self, entry: Entry) -> Events:
        """Decide a command and change the state by what follows. Returns its events, at least one.

        The entry must be the next one (`seq` one higher, `at_us` not before). Costs some microseconds, more for a call
        by the bids it visits. Never raises for what a caller may ask: refusals are `Rejected` events.
        """
        events = self._recall(entry) if entry.command_id else None
        if events is None:
            events = decide(self.state, entry)
        self.fold(entry, events)
        return events

    def fold(self, entry: Entry, events: Events) -> None:
        """Change the state by events that were decided before, perhaps under older rules."""
        state = self.state
        assert entry.seq == state.seq + 1, (entry.seq, state.seq)
        assert entry.at_us >= state.at_us, (entry.at_us, state.at_us)
        state.seq = entry.seq
        state.at_us = entry.at_us
        for event in events:
            evolve(state, event)
        if entry.command_id and state.receipts.get(entry.actor, entry.command_id) is None:
            receipt = Receipt(entry.actor, entry.command_id, entry.seq, entry.at_us, entry.command, events)
            state.receipts.add(receipt)

    def _recall(self, entry: Entry) -> Events | None:
        """What a command with a known id is answered (IDM-1)."""
        receipt = self.state.receipts.get(entry.actor, entry.command_id)
        if receipt is None:
            return None
        if receipt.command != entry.command:
            return refused(Reject.COMMAND_ID_REUSED, "command_id", entry.command_id, receipt.seq)
        return (Repeated(receipt.seq),)
