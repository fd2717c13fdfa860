"""The engine: one function, `apply`.

Rule of this file: the order of things. A retry is answered first, then a command is decided, then what was decided is
applied; nothing else changes the state. A broken invariant raises `AssertionError`, and the process must stop.
"""

from callmarket.engine.commands import Command, Entry
from callmarket.engine.decide import decide
from callmarket.engine.decide.refusals import refused
from callmarket.engine.events import Events, Rejected, Repeated
from callmarket.engine.evolve import evolve
from callmarket.engine.receipts import Receipt
from callmarket.engine.reject import Reject
from callmarket.engine.retries import fingerprint, is_kept
from callmarket.engine.state import State


class Engine:
    """One shard of the market. Single-threaded by nature: a price needs a total order."""

    __slots__ = ("state",)

    def __init__(self, state: State | None = None) -> None:
        """Continue from a state, or begin before the first command."""
        self.state = state or State()

    def apply(self, entry: Entry) -> Events:
        """Decide a command and change the state by what follows. Returns its events, at least one.

        The entry must be the next one (`after_seq` is the last one's seq, `at_us` not before). Costs some microseconds,
        more for a call by the bids it visits. Never raises for what a caller may ask: refusals are `Rejected` events.
        """
        events = self._decide_once(entry) if entry.command_id else decide(self.state, entry)
        self.fold(entry, events)
        return events

    def fold(self, entry: Entry, events: Events) -> None:
        """Change the state by events that were decided before, perhaps under older rules."""
        state = self.state
        # The first half is that of all rows but those that follow a loss (HST-1).
        assert entry.seq == state.seq + 1 or entry.after_seq == state.seq < entry.seq, (entry.seq, state.seq)
        assert entry.at_us >= state.at_us, (entry.at_us, state.at_us)
        state.seq = entry.seq
        state.at_us = entry.at_us
        for event in events:
            evolve(state, event)
        first = events[0]
        # That an id is known is no reply of its own: the first use of the id stands.
        if not entry.command_id or type(first) is Repeated:
            return
        if isinstance(first, Rejected):
            if first.reason is Reject.COMMAND_ID_REUSED:
                return
        elif is_kept(entry.command):
            state.retries.add(entry.actor, entry.command_id, entry.seq, entry.at_us, entry.command)
        state.receipts.add(Receipt(entry.actor, entry.command_id, entry.seq, entry.at_us, entry.command, events))

    def _decide_once(self, entry: Entry) -> Events:
        """What a command with an id causes, or what it is answered if its id is known (IDM-1)."""
        state, command = self.state, entry.command
        found = first_use(state, entry.actor, entry.command_id, command, entry.at_us)
        if found is not None:
            first_seq, same = found
            if same:
                return (Repeated(first_seq),)
            return refused(Reject.COMMAND_ID_REUSED, "command_id", entry.command_id, first_seq)
        events = decide(state, entry)
        if is_kept(command) and type(events[0]) is not Rejected:
            # It could be done, and not be remembered for as long as is promised.
            bound = state.retries.bound_met(entry.actor, entry.at_us)
            if bound:
                return refused(Reject.RETRIES_FULL, "command_id", entry.command_id, bound)
        return events


def first_use(state: State, actor: str, command_id: str, command: Command, at_us: int) -> tuple[int, bool] | None:
    """The row of this actor's first command under an id, and whether it was this very command; None if none is known.

    About 0.2 us for what is recent, and for bids; up to ten for what moves tokens.
    """
    receipt = state.receipts.get(actor, command_id)
    if receipt is not None:
        return receipt.seq, receipt.command == command
    if not is_kept(command):
        return None
    done = state.retries.find(actor, command_id, at_us)
    return None if done is None else (done[0], done[1] == fingerprint(command))
