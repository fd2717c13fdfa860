"""The whole of it: a worker paid by the auction, by the daily budget while the market is away, and by the auction.

Goal: bids of the scorer, awards, the switch, the budget and the worker's loop fit together over a real market that ends
and comes back, and each task is paid once.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from callmarket import Exchange, Unavailable, UnknownOutcome, open_exchange
from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.config import Config
from callmarket.bridge.fleet.agent.services import Assignment, Fallback, Finished
from callmarket.bridge.fleet.agent.settings import WorkerSettings
from callmarket.bridge.fleet.agent.worker import Worker
from callmarket.bridge.fleet.ev_scorer import submit_bids_for_tasks
from callmarket.bridge.fleet.fallback.services import FallbackServices
from callmarket.bridge.fleet.fallback.switch import FallbackSwitch
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.bridge.fleet.tasks.memory import MemoryWork
from callmarket.bridge.fleet.tasks.model import Quest, Task

CONFIG = Config(auction_look_s=0.1, auction_failures_max=2, auction_answers_min=2, budget_day_tokens=1_000_000)


class Door:
    """The way to a market that is not always there."""

    def __init__(self) -> None:
        self.exchange: Exchange | None = None

    def __getattr__(self, name: str) -> Any:
        if self.exchange is None:
            raise Unavailable("the market is away")
        return getattr(self.exchange, name)


@contextmanager
def running(worker: Worker) -> Iterator[None]:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(60)
        assert not thread.is_alive()


def until(met: Callable[[], object]) -> None:
    end_s = time.monotonic() + 60
    while not met():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_a_worker_is_paid_by_the_auction_the_budget_and_the_auction_again(database_url: str) -> None:
    """BRG-1, BRG-4, BRG-5, AUC-16: while the market is away the budget pays, and no task is paid twice."""
    work = MemoryWork()
    work.put_quests([Quest("q", "quest")])
    door = Door()
    market = cast(Market, door)
    ended = work._ended

    def add(*names: str) -> None:
        work.put_tasks([Task(name, "q", 0.5, 0.5, estimated_cost_tokens=1_000) for name in names])

    def bid_and_call() -> None:
        try:
            submit_bids_for_tasks(market, work, "m", datetime_of(system_clock()), CONFIG)
            market.clear_round("m")
        except (Unavailable, UnknownOutcome):
            pass

    def do(assignment: Assignment) -> Finished:
        return Finished(700, 1.0)

    settings = WorkerSettings(
        worker_id="w", market_id="m", slot_ids=("s",), provider_id="treasury", poll_s=0.02, wait_s=0.0
    )
    with DailyBudgets(database_url) as budgets, FallbackSwitch(market, "m", config=CONFIG) as switch:
        services = FallbackServices(work, budgets, config=CONFIG)
        worker = Worker(market, work, do, settings, fallback=Fallback(switch, services, services))
        with open_exchange(database_url) as exchange:
            door.exchange = exchange
            exchange.open_market("m")
            exchange.open_account("quest", "quest")
            exchange.mint("quest", 100_000, "grant:initial")
            until(switch.usable)
            add("a1", "a2")
            with running(worker):
                until(lambda: bid_and_call() or len(ended) == 2)
            door.exchange = None
        until(lambda: not switch.usable())
        add("b1", "b2")
        worker = Worker(market, work, do, settings, fallback=Fallback(switch, services, services))
        with running(worker):
            until(lambda: len(ended) == 4)
            with open_exchange(database_url) as exchange:
                door.exchange = exchange
                until(switch.usable)
                add("c1")
                until(lambda: bid_and_call() or len(ended) == 5)
                worker.stop()
                until(lambda: not market.slots("m", "awarded").items)
                door.exchange = None
        payers = {completion.task_id: completion.payer for _, completion in ended}
        assert payers == {"a1": "auction", "a2": "auction", "b1": "budget", "b2": "budget", "c1": "auction"}
        assert Counter(completion.task_id for _, completion in ended).most_common(1)[0][1] == 1
        assert [(one.spent_tokens, one.reserved_tokens) for one in budgets.allocations()] == [(1_400, 0)]
