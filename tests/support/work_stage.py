"""A market with bidders, slots and tasks, for tests of workers: one market in a shared exchange for each test.

Rule of this file: what operators, quests and platforms do around a worker, through the public verbs.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import Any

from callmarket import Exchange, ManualClock
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.awards import AwardRow
from callmarket.bridge.fleet.agent import Assignment, Finished, Worker, WorkerSettings
from callmarket.bridge.fleet.tasks.model import Quest, Task
from callmarket.bridge.fleet.tasks.source import Backlog
from tests.support.small_market import WAIT_S_MAX, until

LEASE = timedelta(minutes=10)
TOKENS = 10_000


class Stage:
    """One market `m`, one quest that bids, one provider that is paid, all under names of this test's own."""

    def __init__(self, owner: Exchange, market: Market, source: Backlog, name: str, clock: ManualClock) -> None:
        """`market` is the way by which workers come."""
        # What the owner has done, others find in the tables.
        owner = owner.acknowledging("projected")
        self.owner, self.market, self.source, self.clock = owner, market, source, clock
        self.market_id, self.quest_id, self.provider_id = f"m-{name}", f"q-{name}", f"p-{name}"
        self.slot_id = f"s-{name}"
        self._name = name
        owner.open_market(self.market_id, lease=LEASE, lapse_policy="refund")
        owner.open_account(self.quest_id, "quest")
        owner.open_account(self.provider_id, "provider")
        owner.mint(self.quest_id, TOKENS, "grant:initial")
        source.put_quests([Quest(self.quest_id, self.quest_id)])

    def task(self, number: int = 1) -> str:
        """An open task."""
        task_id = f"t{number}-{self._name}"
        self.source.put_tasks([Task(task_id, self.quest_id, 0.5, 0.5)])
        return task_id

    def settings(self, worker_id: str = "w", **said: Any) -> WorkerSettings:
        """A worker of the one slot, who looks often."""
        given = {"slot_ids": (self.slot_id,), "poll_s": 0.02} | said
        return WorkerSettings(
            worker_id=f"{worker_id}-{self._name}", market_id=self.market_id, provider_id=self.provider_id, **given
        )

    def bid(self, task_id: str, price_tokens: int = 100) -> int:
        """A bid for a task that rests until it wins."""
        return self.owner.place_bid(
            self.market_id,
            self.quest_id,
            task_id,
            price_tokens,
            time_in_force="gtd",
            ttl_at=self.owner.node.now() + timedelta(days=300),
        ).bid_id

    def award(self, task_id: str, slot_id: str = "", price_tokens: int = 100) -> int:
        """Let a task win the slot, at the price of a bid that loses; returns the award's id."""
        slot_id = slot_id or self.slot_id
        self.owner.offer_slot(
            self.market_id, slot_id, provider_id=self.provider_id, reserve_price_tokens=price_tokens // 2
        )
        self.bid(task_id, price_tokens)
        (award,) = self.owner.clear_round(self.market_id).awards
        return award.award_id

    def call_until_won(self, bid_id: int) -> None:
        """Call the market, as its operator does every cycle, until this bid wins."""

        def won() -> bool:
            self.owner.clear_round(self.market_id)
            return self.owner.bid(bid_id).status != "open"

        until(won)

    def catch_up(self) -> None:
        """Hear how far all is durable, whoever has done it: the tables are asked for no less then."""
        self.owner.wallet(self.quest_id)

    def award_row(self, award_id: int) -> AwardRow:
        """An award as it stands."""
        self.catch_up()
        (row,) = [row for row in self.owner.awards(self.market_id).items if row.award_id == award_id]
        return row

    def until_award(self, award_id: int, status: str) -> AwardRow:
        """Wait until an award has this status."""
        until(lambda: self.award_row(award_id).status == status)
        return self.award_row(award_id)

    def slot_status(self) -> str:
        """Of the one slot; empty if it was never offered."""
        self.catch_up()
        rows = [row for row in self.owner.slots(self.market_id).items if row.slot_id == self.slot_id]
        return rows[0].status if rows else ""

    def expire_leases(self) -> None:
        """Let the leases of all awards so far run out. They stay awarded until a sweep."""
        self.clock.set_us(self.clock() + LEASE // timedelta(microseconds=1))

    @property
    def available_tokens(self) -> int:
        """Of the quest."""
        return self.owner.wallet(self.quest_id).available_tokens

    @property
    def paid_tokens(self) -> int:
        """What the provider was paid."""
        return self.owner.wallet(self.provider_id).balance_tokens


class Labour:
    """Work that a test watches: what was begun, and, where it is `gated`, what may end."""

    def __init__(self, *, gated: bool = False, result: Callable[[Assignment], Any] | None = None) -> None:
        self.begun: list[Assignment] = []
        self.gate = threading.Event()
        if not gated:
            self.gate.set()
        self._result = result or (lambda _: Finished(60, 1.5))

    def __call__(self, assignment: Assignment) -> Any:
        """Do it."""
        self.begun.append(assignment)
        assert self.gate.wait(WAIT_S_MAX)
        return self._result(assignment)

    @property
    def award_ids(self) -> list[int | None]:
        """The awards that were worked, in order."""
        return [assignment.claim.award_id for assignment in self.begun]

    def until_begun(self, count: int = 1) -> None:
        """Wait until so many tasks were begun."""
        until(lambda: len(self.begun) >= count)


class Between:
    """A market or a source with a test between it and its callers: calls are counted, and may be made to fail.

    `before` and `after` are what is done then, by the name of the method; what they raise is what the caller gets.
    """

    def __init__(self, real: object) -> None:
        self._real = real
        self.calls: Counter[str] = Counter()
        self.before: dict[str, Callable[[], None]] = {}
        self.after: dict[str, Callable[[], None]] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """The method, with the test around it."""
        method = getattr(self._real, name)

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.before.get(name, _nothing)()
            result = method(*args, **kwargs)
            self.calls[name] += 1
            self.after.get(name, _nothing)()
            return result

        return call


def _nothing() -> None:
    """What is done where nothing is ordered."""


def raising(error: Exception, times: int) -> Callable[[], None]:
    """What raises an error so often, and nothing later."""
    left = iter(range(times))

    def fail() -> None:
        if next(left, None) is not None:
            raise error

    return fail


@contextmanager
def running(*workers: Worker) -> Iterator[list[BaseException]]:
    """Run workers within the block, each in a thread; what they raise is in the list when it has ended."""
    raised: list[BaseException] = []

    def run(worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:  # noqa: BLE001 -- for the test to judge
            raised.append(error)

    threads = [threading.Thread(target=run, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield raised
    finally:
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join(WAIT_S_MAX)
            assert not thread.is_alive(), "a worker hangs"
