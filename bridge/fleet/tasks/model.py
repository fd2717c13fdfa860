"""Work: quests, tasks, claims on tasks, and how they ended.

Rule of this file: plain records with their meaning and units, and the states of a task. Nothing here reads or writes.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from callmarket.engine.ids import AwardId

TaskStatus = Literal["open", "awarded", "done", "failed"]
"""`open` -> `awarded` -> `done | failed`, or back from `awarded` to `open` to be tried again. A task that no slot fits
stays `open`: it waits."""

Payer = Literal["auction", "budget"]
"""The payer of the work: the award of a bid, or the daily budget while the auction cannot be used."""


class Quest(Struct, frozen=True):
    """A goal with a backlog, and the wallet from which its bids are paid.

    `bid_fraction` is how much of a task's worth the quest bids (BRG-1); 1 is the truth.
    """

    quest_id: str
    account_id: str
    bid_fraction: float = 0.6


class Task(Struct, frozen=True):
    """One piece of work of a quest.

    `importance`, `tractability` (None: unknown) and `downstream_impact` are between 0 and 1 as a rule, and never
    negative. `estimated_cost_tokens` is what somebody thinks it will burn (None: ask similar finished work, of the same
    `task_type`). `blocked`: it waits for another task, so nobody bids for it. `artifact_id` is what it is about, for
    budgets of artifacts; empty if that is nothing. `failed_attempts` counts the claims that have failed so far.
    """

    task_id: str
    quest_id: str
    importance: float
    downstream_impact: float
    tractability: float | None = None
    estimated_cost_tokens: int | None = None
    task_type: str = ""
    artifact_id: str = ""
    blocked: bool = False
    status: TaskStatus = "open"
    failed_attempts: int = 0


class Claim(Struct, frozen=True):
    """A worker has a task in hand; with its payer. A task has at most one.

    What pays is the fencing token: `award_id` where `payer` is `auction`, `reservation_id` where it is `budget`; the
    other is None. A reservation of 0 is one of which nothing is known, by a claim from before they were kept.
    """

    task_id: str
    worker_id: str
    payer: Payer
    award_id: AwardId | None
    reservation_id: int | None
    claimed_at: datetime


class Completion(Struct, frozen=True):
    """How a claim ended: one row for each attempt, never changed. `reason` says why one failed."""

    task_id: str
    worker_id: str
    payer: Payer
    award_id: AwardId | None
    reservation_id: int | None
    succeeded: bool
    cost_tokens: int
    impact: float
    finished_at: datetime
    reason: str = ""


class TaskPage(Struct, frozen=True):
    """A part of a list of tasks. `next` is handed back as `after` for what follows; None at the end."""

    items: tuple[Task, ...]
    next: str | None
