"""The agent: a worker that sells its slots, works what was won, and settles; and which gap an agent looks at next.

Rule of this folder: it talks to a market by `bridge.api.market_api` and to a platform by `bridge.fleet.tasks.source`,
so that it works in the market's process and over HTTP alike. What it begins is written down before it begins and ends
once: by award it is claimed, worked, completed, settled, in this order, so that a worker that dies anywhere in between
works nothing twice and leaves nothing unpaid.
"""

from callmarket.bridge.fleet.agent.gaps import Gap, ScoredGap, get_top_gap, score_gaps
from callmarket.bridge.fleet.agent.services import (
    Assignment,
    AuctionHealth,
    Budget,
    Fallback,
    Finished,
    NextTask,
    Work,
    WorkFailed,
)
from callmarket.bridge.fleet.agent.settings import WorkerSettings
from callmarket.bridge.fleet.agent.signals import ended_by_signals
from callmarket.bridge.fleet.agent.status import WorkerStatus
from callmarket.bridge.fleet.agent.worker import Worker

__all__ = [
    "Assignment",
    "AuctionHealth",
    "Budget",
    "Fallback",
    "Finished",
    "Gap",
    "NextTask",
    "ScoredGap",
    "Work",
    "WorkFailed",
    "Worker",
    "WorkerSettings",
    "WorkerStatus",
    "ended_by_signals",
    "get_top_gap",
    "score_gaps",
]
