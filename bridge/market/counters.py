"""Counts of commands: what was asked, how it ended, how long it took.

Rule of this file: it is on the way of every command, so it adds whole numbers and does nothing else; a microsecond a
command, and less in batches.
"""

import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.messages import Request
from callmarket.bridge.market.histogram import Histogram
from callmarket.bridge.market.sequencer import Applied
from callmarket.engine.commands import ClearRound, Command, ExpireDue
from callmarket.engine.events import Events, Rejected, RoundCleared, SweepFinished

DONE: Final = "done"
REPEATED: Final = "repeated"
"""How a command ended that was not refused; a refusal's outcome is its reason."""

# From a command's own cost to a call of ten thousand slots, or a thread that waits for its turn.
APPLY_BOUNDS_S: Final = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0)
# From one commit on a fast disk to the bound of every wait.
ACK_BOUNDS_S: Final = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class RoundCounters(Struct):
    """What the calls of one market came to since this process leads."""

    rounds: int = 0
    slots_available: int = 0
    bids_open: int = 0
    awards_granted: int = 0
    clearing_price_tokens: int | None = None
    """Of the last round that had one."""


class CommandCounters:
    """For one process, whether it leads or not. Safe for many threads."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._lock: Final = threading.Lock()
        self.commands: Final[defaultdict[tuple[type[Command], str], int]] = defaultdict(int)
        self.apply: Final = Histogram(APPLY_BOUNDS_S)
        self.ack: Final = Histogram(ACK_BOUNDS_S)
        self.not_taken = 0
        self.unknown_outcomes = 0
        # By market, of which a shard has a thousand at most.
        self.rounds: Final[dict[str, RoundCounters]] = {}
        self.bids_lost = 0
        self.bids_expired = 0
        self.awards_lapsed = 0
        self.holds_expired = 0

    def applied(self, requests: Sequence[Request], applied: Sequence[Applied], seconds: float) -> None:
        """Count requests that were applied together in `seconds`: each took its share."""
        commands = self.commands
        with self._lock:
            for request, one in zip(requests, applied):  # noqa: B905 -- it costs, and the caller has just made one of the other
                kind = type(request.command)
                if one.repeated:
                    outcome = REPEATED
                elif type(first := one.events[0]) is Rejected:
                    outcome = first.reason.value
                else:
                    outcome = DONE
                    if kind is ClearRound or kind is ExpireDue:
                        self._count_ends(one.events)
                commands[kind, outcome] += 1
            self.apply.add(seconds / len(applied), len(applied))

    def refused(self, requests: int) -> None:
        """Count requests that were not taken: the queue is full, the process stops, or their shape is wrong."""
        with self._lock:
            self.not_taken += requests

    def acknowledged(self, commands: int, seconds: float) -> None:
        """Count commands that were durable `seconds` after they were asked."""
        with self._lock:
            self.ack.add(seconds, commands)

    def unknown(self, commands: int) -> None:
        """Count commands whose outcome is unknown."""
        with self._lock:
            self.unknown_outcomes += commands

    def _count_ends(self, events: Events) -> None:
        for event in events:
            if type(event) is RoundCleared:
                counters = self.rounds.setdefault(event.market_id, RoundCounters())
                counters.rounds += 1
                counters.slots_available += event.slots_available
                counters.bids_open += event.bids_open
                counters.awards_granted += event.awards_granted
                if event.clearing_price_tokens is not None:
                    counters.clearing_price_tokens = event.clearing_price_tokens
            elif type(event) is SweepFinished:
                self.bids_lost += event.bids_lost
                self.bids_expired += event.bids_expired
                self.awards_lapsed += event.awards_lapsed
                self.holds_expired += event.holds_expired
