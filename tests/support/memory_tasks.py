"""A task source in memory as a platform of somebody else's might be: it takes every quest and task as it is told.

Rule of this file: `MemoryWork`, without the checks of what is put into it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from callmarket.bridge.api.clock import Clock, system_clock
from callmarket.bridge.fleet.tasks.memory import MemoryWork
from callmarket.bridge.fleet.tasks.model import Quest, Task

START = datetime(2027, 1, 15, 8, tzinfo=UTC)


class MemoryTasks(MemoryWork):
    """Quests and tasks in any state and with any numbers."""

    def __init__(self, quests: Iterable[Quest] = (), tasks: Iterable[Task] = (), clock: Clock = system_clock) -> None:
        super().__init__(clock)
        self.put(*quests, *tasks)

    def put(self, *things: Quest | Task) -> None:
        """Add quests and tasks, or replace them."""
        for thing in things:
            if isinstance(thing, Quest):
                self._quests[thing.quest_id] = thing
            else:
                self._tasks[thing.task_id] = thing
