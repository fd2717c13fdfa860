"""The services that a worker uses: the work itself, and its fallback while the auction cannot be used.

Rule of this file: signatures and plain records; the platform has the implementations.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from callmarket.bridge.fleet.tasks.model import Claim, Task


class Finished(Struct, frozen=True):
    """What work has burned, and what it brought."""

    cost_tokens: int
    impact: float


class WorkFailed(Exception):
    """Raised by work that failed and knows what it has burned; `again=False` says that another try would not help."""

    def __init__(self, reason: str, cost_tokens: int = 0, *, again: bool = True) -> None:
        super().__init__(reason)
        self.cost_tokens = cost_tokens
        self.again = again


class Assignment(Struct, frozen=True):
    """A claimed task, as the work function gets it.

    `price_tokens` and `lease_until` are the award's, None where the daily budget pays. Work that is not settled by
    `lease_until` is not paid. `ending()` says that the worker was told to end at once: work done after that is not
    counted.
    """

    task: Task
    claim: Claim
    price_tokens: int | None
    lease_until: datetime | None
    ending: Callable[[], bool]


Work = Callable[[Assignment], Finished]
"""Does the work, in a thread of its own, and returns what came of it. Whatever it raises means that it has failed."""


class NextTask(Protocol):
    """Which task is next where no auction decides (the seeds' `services`)."""

    def next_task(self, worker_id: str) -> str | None:
        """The id of a task for this worker, open and not blocked; None if there is none. May raise `Unavailable`."""


class Budget(Protocol):
    """The daily budget, which pays while the auction cannot. Both may raise `Unavailable`."""

    def reserve(self, task: Task, worker_id: str) -> int | None:
        """Set aside what this task may burn of what its quest has today; None if too little is left, or it is taken.

        Returns the reservation's id, from 1, which is that of no other attempt and larger than that of any before it at
        this task: the claim carries it, as one by award carries the award's. One that is never ended counts as spent.
        """

    def spend(self, reservation_id: int, cost_tokens: int) -> None:
        """End a reservation with the tokens burned, whether or not the work succeeded. Idempotent."""


class AuctionHealth(Protocol):
    """The one switch between the auction and the budget."""

    def usable(self) -> bool:
        """Whether the auction can be used now. Cheap, and raises nothing."""


class Fallback(Struct, frozen=True):
    """What a worker does while the auction is not usable."""

    health: AuctionHealth
    services: NextTask
    budget: Budget
