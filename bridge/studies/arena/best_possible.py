"""The most value that a bidder could have made of a game, knowing all values and arrivals beforehand.

Rule of this file: pure and exact, so that efficiency is a share of a true bound.
"""

from collections.abc import Sequence

from callmarket.bridge.studies.arena.scenario import Scenario, Task


def best_possible_tokens(scene: Scenario) -> int:
    """Return the greatest sum of values that fits the slots, deadlines and bids of the scene.

    The sets of tasks that can be served are those that a network links to the slots of the rounds (a gammoid), so
    taking the dearest first, wherever room can be made for it, is optimal (Edmonds 1971). Room is made by augmenting
    paths. O(tasks * slots).
    """
    plan = _Plan(scene)
    added = [task for task in sorted(scene.tasks, key=lambda task: -task.value_tokens) if plan.add(task)]
    plan.check(added)
    return sum(task.value_tokens for task in added)


class _Plan:
    """Which tasks are served in which round, so far."""

    def __init__(self, scene: Scenario) -> None:
        self._slots = scene.slots
        self._one_each = scene.kind == "single"
        self._served: list[dict[str, Task]] = [{} for _ in range(scene.rounds)]
        # What a search has seen in vain stays in vain until a search succeeds: nothing new can leave it.
        self._rounds_seen: set[int] = set()
        self._seats_seen: set[tuple[int, int]] = set()

    def add(self, task: Task) -> bool:
        """Serve a task, moving others if need be; no task is ever dropped. Returns whether there was room."""
        if not self._place(task):
            return False
        self._rounds_seen.clear()
        self._seats_seen.clear()
        return True

    def check(self, added: Sequence[Task]) -> None:
        """Assert that what was added is served, once, in its time, within the slots and bids of each round."""
        for number, served in enumerate(self._served):
            seats = [task.seat for task in served.values()]
            assert len(served) <= self._slots, (number, served)
            assert not self._one_each or len(seats) == len(set(seats)), (number, served)
            assert all(task.begins <= number < task.ends for task in served.values()), (number, served)
        assert sorted(task_id for served in self._served for task_id in served) == sorted(
            task.task_id for task in added
        )

    def _place(self, task: Task) -> bool:
        return any(self._place_in(task, number) for number in range(task.begins, task.ends))

    def _place_in(self, task: Task, number: int) -> bool:
        served = self._served[number]
        if task.task_id in served:
            return False
        if self._one_each:
            if self._seen(number, task.seat):
                return False
            own = next((other for other in served.values() if other.seat == task.seat), None)
            if own is not None:
                return self._take_place(task, own, number)
        if len(served) < self._slots:
            served[task.task_id] = task
            return True
        if number in self._rounds_seen:
            return False
        self._rounds_seen.add(number)
        return any(
            self._take_place(task, other, number)
            for other in list(served.values())
            if not (self._one_each and self._seen(number, other.seat))
        )

    def _seen(self, number: int, seat: int) -> bool:
        """Whether the search was at this bidder's bid of this round before; from now on it was."""
        seen = (number, seat) in self._seats_seen
        self._seats_seen.add((number, seat))
        return seen

    def _take_place(self, task: Task, other: Task, number: int) -> bool:
        """Serve a task where another is served, if there is room for that one in another round."""
        if not self._place(other):
            return False
        del self._served[number][other.task_id]
        self._served[number][task.task_id] = task
        return True
