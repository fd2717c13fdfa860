"""What a worker is doing, and what became of what it did, for people and programs.

Rule of this file: it only tells; nothing is decided by it.
"""

import threading
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from callmarket.bridge.fleet.tasks.model import Payer
from callmarket.engine.ids import AwardId

Doing = Literal["starting", "waiting", "working", "ended"]
Counted = Literal["done", "failed", "settled", "voided", "lost", "turned_away"]
"""Work that was done or failed; awards that were settled, voided, or ended by others; tasks that others had."""

COUNTED: Final[tuple[Counted, ...]] = ("done", "failed", "settled", "voided", "lost", "turned_away")


class SlotStatus(Struct, frozen=True):
    """What happens in one slot. `task_id` and `award_id` are those in hand; no award where the budget pays."""

    doing: Doing
    task_id: str = ""
    award_id: AwardId | None = None


class WorkerStatus(Struct, frozen=True):
    """A worker at one moment: the present payer, its slots by id, and its counts since it started."""

    active: Payer
    slots: Mapping[str, SlotStatus]
    counts: Mapping[Counted, int]


class StatusBoard:
    """Where the threads of a worker write down what they do."""

    def __init__(self, slot_ids: tuple[str, ...]) -> None:
        self._lock: Final = threading.Lock()
        self._slots: Final = dict.fromkeys(slot_ids, SlotStatus("starting"))
        self._counts: Final[dict[Counted, int]] = dict.fromkeys(COUNTED, 0)

    def show(self, slot_id: str, status: SlotStatus) -> None:
        """Set what a slot is doing now."""
        with self._lock:
            self._slots[slot_id] = status

    def count(self, what: Counted) -> None:
        """Add one to a count."""
        with self._lock:
            self._counts[what] += 1

    def snapshot(self, active: Payer) -> WorkerStatus:
        """The worker's status at this moment."""
        with self._lock:
            return WorkerStatus(active, dict(self._slots), dict(self._counts))
