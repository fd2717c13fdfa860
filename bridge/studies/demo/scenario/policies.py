"""Which tasks get the free slots: the interface of a policy, and the three that the auction replaces.

Rule of this file: pure; a policy sees what a scheduler could know at that moment and never a task's fate. The auction
is a policy too (`auction.py`); it only asks a market instead of sorting.
"""

import heapq
from collections.abc import Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct

Ending = Literal["settled", "voided", "lapsed"]

# The seeds' number for tasks whose tractability is unknown.
TRACTABILITY_UNKNOWN: Final = 0.7
# A bidder keeps at most a minute's worth of the bucket, so that a burst can be paid but no hoard builds up.
BUCKET_CYCLES_KEPT: Final = 12


class Waiting(Struct, frozen=True, gc=False):
    """A task that waits, as a scheduler sees it."""

    index: int
    bidder: int
    arrived_us: int
    ttl_at_us: int
    value_tokens: int
    importance: float
    downstream: float
    tractability: float
    estimated_cost_tokens: int
    estimated_service_us: int

    @property
    def static_ev(self) -> float:
        """EV as the seeds rank it: importance * tractability * downstream impact / estimated cost."""
        return self.importance * self.tractability * self.downstream / self.estimated_cost_tokens


class Finished(Struct, frozen=True, gc=False):
    """How the use of a slot ended. `cost_tokens` of compute were burned, for whatever came out."""

    index: int
    bidder: int
    ending: Ending
    cost_tokens: int
    impact_micros: int


class Policy(Protocol):
    """Chooses at each cycle which waiting tasks get the free slots."""

    def finished(self, now_us: int, results: Sequence[Finished]) -> None:
        """Learn what ended since the last cycle. Called before `choose` at the same instant."""

    def choose(self, now_us: int, waiting: Sequence[Waiting], free_slots: int) -> Sequence[int]:
        """Return the indexes of at most `free_slots` of the waiting tasks."""


class _Forgetful:
    """What a policy that learns nothing does with results."""

    def finished(self, now_us: int, results: Sequence[Finished]) -> None:
        """Ignore the results."""


class FirstComeFirstServed(_Forgetful):
    """The oldest first."""

    def choose(self, now_us: int, waiting: Sequence[Waiting], free_slots: int) -> Sequence[int]:  # noqa: ARG002
        """The tasks that arrived first. O(n log k)."""
        oldest = heapq.nsmallest(free_slots, waiting, key=lambda task: (task.arrived_us, task.index))
        return [task.index for task in oldest]


class ShortestJobFirst(_Forgetful):
    """The one first that is expected to be done soonest."""

    def choose(self, now_us: int, waiting: Sequence[Waiting], free_slots: int) -> Sequence[int]:  # noqa: ARG002
        """The tasks with the shortest expected service. O(n log k)."""
        shortest = heapq.nsmallest(free_slots, waiting, key=lambda task: (task.estimated_service_us, task.index))
        return [task.index for task in shortest]


class ProportionalSplit(_Forgetful):
    """A fixed bucket of tokens per cycle, divided among the bidders in proportion to the static EV of their tasks.

    Each bidder spends its part on its tasks of best EV at their estimated cost. A slot that no budget pays for goes to
    the best EV of all, as the seeds' `services.next_task` would do: no slot stays idle while a task waits.
    """

    def __init__(self, bucket_tokens: int) -> None:
        """Begin with nobody having anything."""
        self._bucket_tokens = bucket_tokens
        self._budgets: dict[int, int] = {}

    def choose(self, now_us: int, waiting: Sequence[Waiting], free_slots: int) -> Sequence[int]:  # noqa: ARG002
        """O(n log n + slots * bidders)."""
        ranked = sorted(waiting, key=lambda task: (-task.static_ev, task.index))
        queues: dict[int, list[Waiting]] = {}
        for task in reversed(ranked):
            queues.setdefault(task.bidder, []).append(task)
        self._refill(ranked)
        chosen: list[int] = []
        while len(chosen) < free_slots:
            payable = [
                bidder
                for bidder, queue in queues.items()
                if queue and queue[-1].estimated_cost_tokens <= self._budgets[bidder]
            ]
            if not payable:
                break
            richest = min(payable, key=lambda bidder: (-self._budgets[bidder], bidder))
            task = queues[richest].pop()
            self._budgets[richest] -= task.estimated_cost_tokens
            chosen.append(task.index)
        taken = set(chosen)
        chosen += [task.index for task in ranked if task.index not in taken][: free_slots - len(chosen)]
        return chosen

    def _refill(self, ranked: Sequence[Waiting]) -> None:
        ev_by_bidder: dict[int, float] = {}
        for task in ranked:
            ev_by_bidder[task.bidder] = ev_by_bidder.get(task.bidder, 0.0) + task.static_ev
        total = sum(ev_by_bidder.values())
        if total == 0:
            # Only models wait that never solved anything: each bidder has the same claim.
            ev_by_bidder = dict.fromkeys(ev_by_bidder, 1.0)
            total = float(len(ev_by_bidder))
        for bidder, ev in ev_by_bidder.items():
            refill = int(self._bucket_tokens * ev / total)
            kept = self._bucket_tokens * BUCKET_CYCLES_KEPT
            self._budgets[bidder] = min(kept, self._budgets.get(bidder, 0) + refill)
