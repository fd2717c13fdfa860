"""The bidders of the economy, and what each bids for a task.

Rule of this file: pure. A habit decides from the worth of a task and the hour, and from nothing that a bidder could not
know.
"""

from collections.abc import Sequence
from random import Random
from typing import Final, Literal

from msgspec import Struct

from callmarket.engine.commands import AccountKind

Habit = Literal["careful", "reckless", "quest", "idle"]

INITIAL_TOKENS: Final = 1_000
# What an idle one has put aside.
SAVINGS_TOKENS: Final = 4_000
# How many times a task's worth a reckless one bids at first, and what comes of its work, of what it should be worth.
GREED: Final = 3.0
CARE: Final = 0.4
# The part of both faults that is left each time after it was priced out.
LESSON: Final = 0.85
# BRG-1 in the rules of the scorer: the part of a task's worth that a quest bids.
QUEST_SHARE: Final = 0.6
DAY_BEGINS_H: Final = 7
DAY_ENDS_H: Final = 21
# The chance of having a task in an hour of the day, and of the night.
BUSY_BY_DAY: Final = 0.9
BUSY_BY_NIGHT: Final = 0.15


class Bidder(Struct):
    """A bidder. `greed` is how many times a task's worth it bids, `care` what part of that worth comes of its work."""

    account_id: str
    habit: Habit
    tokens: int
    greed: float = 1.0
    care: float = 1.0

    @property
    def kind(self) -> AccountKind:
        """The kind of its account."""
        return "quest" if self.habit == "quest" else "agent"

    def bid_tokens(self, worth_tokens: int) -> int:
        """What it bids for a task of such worth: all of it, the truth, if it is careful."""
        return max(1, int(worth_tokens * (QUEST_SHARE if self.habit == "quest" else self.greed)))

    def learn(self) -> None:
        """It was priced out: it bids less, and works better."""
        self.greed = 1 + (self.greed - 1) * LESSON
        self.care = 1 - (1 - self.care) * LESSON


class TaskDraw(Struct, frozen=True):
    """A task that somebody has in an hour: what it is worth on average, and its luck."""

    bidder: Bidder
    worth_tokens: int
    luck: float


def make_bidders() -> list[Bidder]:
    """Twelve bidders."""
    names: Sequence[tuple[Habit, Sequence[str]]] = (
        ("careful", ("ada", "ben", "cleo", "dora", "emil")),
        ("reckless", ("rex", "rita", "rolf")),
        ("quest", ("quest:folding", "quest:proofs")),
        ("idle", ("ida", "ivo")),
    )
    found = []
    for habit, group in names:
        tokens = SAVINGS_TOKENS if habit == "idle" else INITIAL_TOKENS
        greed, care = (GREED, CARE) if habit == "reckless" else (1.0, 1.0)
        found += [Bidder(name, habit, tokens, greed, care) for name in group]
    return found


def draw_tasks(rng: Random, everybody: Sequence[Bidder], hour: int) -> list[TaskDraw]:
    """The tasks of an hour. Idle bidders never have one."""
    busy = BUSY_BY_DAY if DAY_BEGINS_H <= hour < DAY_ENDS_H else BUSY_BY_NIGHT
    found = []
    for bidder in everybody:
        # Drawn for everybody, so that one habit does not change another's luck. Half of the tasks are worth more than
        # 81 tokens (the exponential of 4.4), two thirds between 60 and 110; luck has a mean of 1.
        has_one, worth, luck = rng.random() < busy, rng.lognormvariate(4.4, 0.3), rng.lognormvariate(-0.045, 0.3)
        if has_one and bidder.habit != "idle":
            found.append(TaskDraw(bidder, max(1, int(worth)), luck * bidder.care))
    return found
