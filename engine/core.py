"""The engine: one function, `apply`.

Rule of this file: the order of things. A retry is answered first, then a command is decided, then what was decided is
applied; nothing else changes the state. A broken invariant raises `AssertionError`, and the process must stop.
"""

from engine.commands import Command, Entry
from engine.decide import decide
from engine.decide.refusals import refused
from engine.events import Event, Events, Rejected, Repeated
from engine.evolve import evolve
from engine.receipts import Receipt
from engine.reject import Reject
from engine.retries import fingerprint, is_kept
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
            if entry.command_id and is_kept(entry.command) and type(events[0]) is not Rejected:
                events = self._refuse_without_room(entry) or events
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
        if entry.command_id and not _is_recalled(events[0]):
            receipt = Receipt(entry.actor, entry.command_id, entry.seq, entry.at_us, entry.command, events)
            state.receipts.add(receipt)
            if is_kept(entry.command) and type(events[0]) is not Rejected:
                state.retries.add(entry.actor, entry.command_id, entry.seq, entry.at_us, entry.command)

    def _recall(self, entry: Entry) -> Events | None:
        """What a command with a known id is answered (IDM-1)."""
        found = first_use(self.state, entry.actor, entry.command_id, entry.command, entry.at_us)
        if found is None:
            return None
        first_seq, same = found
        if same:
            return (Repeated(first_seq),)
        return refused(Reject.COMMAND_ID_REUSED, "command_id", entry.command_id, first_seq)

    def _refuse_without_room(self, entry: Entry) -> Events | None:
        """The refusal of what could be done, but not be remembered as long as is promised (IDM-1)."""
        bound = self.state.retries.bound_met(entry.actor, entry.at_us)
        return refused(Reject.RETRIES_FULL, "command_id", entry.command_id, bound) if bound else None


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


def _is_recalled(event: Event) -> bool:
    """Whether a command begins with what is no reply of its own: the first use of its id stands."""
    if type(event) is Rejected:
        return event.reason is Reject.COMMAND_ID_REUSED
    return type(event) is Repeated
