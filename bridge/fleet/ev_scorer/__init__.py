"""What tasks are worth, in which order they are best done, and what quests bid for them.

Rule of this folder: it reads a `TaskSource` and bids through a `Market`; it pays for nothing and starts no work.
"""

from callmarket.bridge.fleet.ev_scorer.ranking import get_priority_queue, get_quest_budget_allocation, score_all
from callmarket.bridge.fleet.ev_scorer.report import BidReport, Case
from callmarket.bridge.fleet.ev_scorer.scoring import ScoredTask, Scores, score_tasks
from callmarket.bridge.fleet.ev_scorer.submission import submit_bids_for_tasks
from callmarket.bridge.fleet.quest_budgets.daily import persist_allocations

__all__ = [
    "BidReport",
    "Case",
    "ScoredTask",
    "Scores",
    "get_priority_queue",
    "get_quest_budget_allocation",
    "persist_allocations",
    "score_all",
    "score_tasks",
    "submit_bids_for_tasks",
]
