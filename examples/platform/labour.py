"""The workers: each sells one slot, in a thread of this process, and does what was won.

Rule of this file: in a platform each of these is a process of its own, with a key that offers for its provider, or an
agent on another machine; nothing here needs them to be together.
"""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from callmarket import Client
from callmarket.bridge.fleet.agent import Assignment, Fallback, Finished, Work, Worker, WorkerSettings, WorkFailed
from callmarket.bridge.fleet.tasks.source import TaskSource
from examples.platform.backlog import is_hopeless, outcome
from examples.platform.opening import MARKET, provider_of

# This one fails each task that nobody has tried before; the next try, by whomever, is a better one.
CLUMSY: Final = 2
CLUMSY_REASON: Final = "the tools were blunt"
FAILED_TOKENS: Final = 5
# With a page of awards at each look, that is less than half of what a key may ask.
POLL_S_EACH: Final = 0.03


@contextmanager
def working(
    market: Client, work: TaskSource, fallback: Fallback, *, workers: int, work_s: float, seed: int
) -> Iterator[list["Future[None]"]]:
    """Let `workers` work within the block; afterwards each ends what it has in hand, and takes its slot away.

    A future that is done within the block is a worker that has failed.
    """
    team = [
        Worker(market, work, _work(number, work_s, seed), _settings(number, workers), fallback=fallback)
        for number in range(1, workers + 1)
    ]
    with ThreadPoolExecutor(len(team), "worker") as pool:
        try:
            yield [pool.submit(worker.run) for worker in team]
        finally:
            for worker in team:
                worker.stop()


def _settings(number: int, workers: int) -> WorkerSettings:
    return WorkerSettings(
        # The same after a restart: by it, it finds what it had in hand.
        worker_id=f"worker-{number}",
        market_id=MARKET,
        slot_ids=(f"slot-{number}",),
        provider_id=provider_of(number),
        # All of them together ask for a part of their key's rate: the rest is for the rounds.
        poll_s=max(0.2, POLL_S_EACH * workers),
    )


def _work(number: int, work_s: float, seed: int) -> Work:
    def do(assignment: Assignment) -> Finished:
        task = assignment.task
        time.sleep(work_s)
        if is_hopeless(task):
            raise WorkFailed("this cannot be done", FAILED_TOKENS, again=False)
        if number == CLUMSY and not task.failed_attempts:
            raise WorkFailed(CLUMSY_REASON, FAILED_TOKENS)
        return outcome(task, seed)

    return do
