"""Plans of one wallet, carried out on a wallet of paper.

Goal: whatever rests and whatever changes, a plan never needs a token that is not there, leaves exactly the bids that
BRG-1 asks for, and has nothing left to do afterwards.
"""

import math
import random
from datetime import timedelta

import msgspec
import pytest

from callmarket.bridge.config import Config
from callmarket.bridge.fleet.ev_scorer.plan import Change, Plan, Resting, Wallet, plan
from callmarket.bridge.fleet.ev_scorer.scoring import score_tasks
from callmarket.bridge.fleet.tasks.model import Task
from tests.support.memory_tasks import START

CONFIG = Config(ev_default_cost_tokens=1_000, ev_tokens_per_impact=1_000)
TTL = timedelta(seconds=CONFIG.ev_bid_ttl_s)


def task(number: int, value: float = 1.0, **more: object) -> Task:
    """A task of the quest `q` whose worth is `value` thousand tokens."""
    return Task(f"t{number}", "q", value, 1.0, 1.0, estimated_cost_tokens=1_000, **more)  # type: ignore[arg-type]


class PaperWallet:
    """What is available and what rests, changed by a plan in its order; it cannot be overdrawn."""

    def __init__(self, available_tokens: int) -> None:
        self.available_tokens = available_tokens
        self.resting: dict[str, Resting] = {}
        self.bids = 0

    def read(self, *awarded: str) -> Wallet:
        return Wallet(self.available_tokens, list(self.resting.values()), frozenset(awarded))

    def do(self, planned: Plan) -> None:
        for change in (*planned.cancels, *planned.lowers, *planned.raises, *planned.places):
            self._do(change)
            assert self.available_tokens >= 0, change

    def _do(self, change: Change) -> None:
        if change.action == "place":
            assert change.task_id not in self.resting
            assert change.price_tokens
            self.bids += 1
            self.resting[change.task_id] = Resting(self.bids, change.task_id, change.price_tokens, change.ttl_at)
            self.available_tokens -= change.price_tokens
            return
        before = self.resting.pop(change.task_id)
        assert before.bid_id == change.bid_id
        if change.action == "amend":
            price = before.price_tokens if change.price_tokens is None else change.price_tokens
            after = msgspec.structs.replace(before, price_tokens=price, ttl_at=change.ttl_at or before.ttl_at)
            assert after != before
            self.resting[change.task_id] = after
            self.available_tokens += before.price_tokens - price
        else:
            self.available_tokens += before.price_tokens


def changes(planned: Plan) -> list[Change]:
    return [*planned.cancels, *planned.lowers, *planned.raises, *planned.places]


def plan_of(tasks: list[Task], wallet: Wallet, now=START, config: Config = CONFIG, fraction: float = 0.6) -> Plan:  # type: ignore[no-untyped-def]
    return plan(score_tasks(tasks, {}, config), {"q": fraction}, wallet, now, config)


def test_bids_of_random_wallets_follow_the_formula(seed: int) -> None:
    """BRG-1, AUC-9: clamp(fraction * EV in tokens, 0, what there is // tasks bid for), or within the threshold of it.

    Tasks come, go, change and are blocked; bids win and lapse; the wallet earns and spends.
    """
    rng = random.Random(seed)
    for _ in range(60):
        config = Config(
            ev_default_cost_tokens=1_000,
            ev_tokens_per_impact=1_000,
            ev_amend_percent=rng.choice([0, 10, 50, 300]),
            ev_bids_per_wallet_max=rng.choice([1, 5, 1_000]),
        )
        wallet, tasks, now = PaperWallet(rng.randrange(20_000)), {}, START
        for step in range(25):
            for number in rng.sample(range(30), 6):
                tasks[number] = task(number, rng.choice([0.0, rng.random() * 3, math.nan]), blocked=rng.random() < 0.2)
            for number in rng.sample(sorted(tasks), min(2, len(tasks))):
                del tasks[number]
            awarded = {f"t{number}" for number in rng.sample(range(30), 3)}
            for task_id in awarded & set(wallet.resting):
                del wallet.resting[task_id]
            wallet.available_tokens = max(0, wallet.available_tokens + rng.randrange(-3_000, 3_000))
            now += timedelta(seconds=rng.randrange(1, 1_200))
            check_step(list(tasks.values()), wallet, awarded, now, config, rng.choice([0.0, 0.6, 1.0, 2.0]), step)


def check_step(
    tasks: list[Task], wallet: PaperWallet, awarded: set[str], now, config, fraction: float, step: int
) -> None:  # type: ignore[no-untyped-def]
    for bid in [bid for bid in wallet.resting.values() if bid.ttl_at <= now]:  # what the sweep would do
        wallet.available_tokens += wallet.resting.pop(bid.task_id).price_tokens
    spendable = wallet.available_tokens + sum(bid.price_tokens for bid in wallet.resting.values())
    before = dict(wallet.resting)
    planned = plan_of(tasks, wallet.read(*awarded), now, config, fraction)
    wallet.do(planned)
    wants = {
        one.task_id: math.floor(fraction * one.importance * 1_000)
        for one in sorted(tasks, key=lambda one: -one.importance if one.importance >= 0 else 0)
        if not one.blocked and one.importance >= 0 and one.task_id not in awarded
    }
    wants = dict([(task_id, want) for task_id, want in wants.items() if want > 0][: config.ev_bids_per_wallet_max])
    cap = spendable // len(wants) if wants else 0
    targets = {task_id: min(want, cap) for task_id, want in wants.items()} if cap else {}
    assert set(wallet.resting) == set(targets), step
    for task_id, bid in wallet.resting.items():
        off = abs(bid.price_tokens - targets[task_id])
        kept = before.get(task_id)
        assert not off or (
            kept and kept.price_tokens == bid.price_tokens and 100 * off < config.ev_amend_percent * bid.price_tokens
        )
        assert bid.ttl_at - now >= TTL / 2
    assert {task_id for task_id, _ in planned.skipped} == {one.task_id for one in tasks} - set(targets) - set(before)
    assert changes(plan_of(tasks, wallet.read(*awarded), now, config, fraction)) == []


def test_the_cap_does_not_shrink_because_of_own_bids() -> None:
    """BRG-1, Precisely: what the wallet's open bids hold is its to spend, so a second look says the same."""
    wallet = PaperWallet(1_000)
    tasks = [task(number) for number in range(4)]
    wallet.do(plan_of(tasks, wallet.read()))
    assert (wallet.available_tokens, [bid.price_tokens for bid in wallet.resting.values()]) == (0, [250] * 4)
    again = plan_of(tasks, wallet.read())
    assert changes(again) == []
    assert len(again.kept) == 4


def test_small_changes_of_price_keep_the_place_in_time() -> None:
    """BRG-1, Precisely: below `ev_amend_percent` a bid stays as it is, at it, it is amended."""
    wallet = PaperWallet(10_000)
    wallet.do(plan_of([task(1, 1.0)], wallet.read(), fraction=1.0))
    assert changes(plan_of([task(1, 1.099)], wallet.read(), fraction=1.0)) == []
    assert changes(plan_of([task(1, 0.901)], wallet.read(), fraction=1.0)) == []
    (change,) = changes(plan_of([task(1, 1.1)], wallet.read(), fraction=1.0))
    assert (change.action, change.reason, change.price_tokens, change.ttl_at) == ("amend", "price", 1_100, None)


def test_small_changes_are_made_where_others_need_the_tokens() -> None:
    """BRG-1, Precisely: twenty bids of 50 are two tokens too high each once there are 21 tasks; that is the new bid."""
    wallet = PaperWallet(1_000)
    tasks = [task(number) for number in range(20)]
    wallet.do(plan_of(tasks, wallet.read()))
    assert {bid.price_tokens for bid in wallet.resting.values()} == {50}
    wallet.do(plan_of([*tasks, task(20)], wallet.read()))
    assert [bid.price_tokens for bid in wallet.resting.values()] == [47] * 21


def test_a_deadline_is_moved_when_half_of_it_is_over() -> None:
    """BRG-1, Precisely: without a price, so the bid keeps its place (BID-5)."""
    wallet = PaperWallet(10_000)
    wallet.do(plan_of([task(1)], wallet.read()))
    assert changes(plan_of([task(1)], wallet.read(), START + TTL / 2)) == []
    now = START + TTL / 2 + timedelta(microseconds=1)
    (change,) = changes(plan_of([task(1)], wallet.read(), now))
    assert (change.action, change.reason, change.price_tokens, change.ttl_at) == ("amend", "deadline", None, now + TTL)
    (change,) = changes(plan_of([task(1, 2.0)], wallet.read(), now))
    assert (change.action, change.reason, change.ttl_at) == ("amend", "price", now + TTL), "the price is why it moves"
    assert change.price_tokens is not None


def test_a_bid_past_its_deadline_counts_for_nothing() -> None:
    """BID-3, BRG-1: it does not stand in the way of a new one, and its tokens are not there before the sweep."""
    over = Resting(7, "t1", 400, START)
    planned = plan_of([task(1)], Wallet(100, [over], frozenset()))
    assert [(change.action, change.price_tokens) for change in changes(planned)] == [("place", 100)]


@pytest.mark.parametrize(
    ("tasks", "tokens", "reasons"),
    [
        ([task(1, blocked=True)], 100, {"blocked"}),
        ([task(1, math.nan)], 100, {"unsound"}),
        ([task(9)], 100, {"awarded"}),
        ([task(1, 0.001)], 100, {"zero"}),
        ([task(1), task(2)], 1, {"funds"}),
    ],
)
def test_each_task_without_a_bid_is_reported_with_its_reason(tasks: list[Task], tokens: int, reasons: set[str]) -> None:
    """BRG-1: a zero bid is not placed; each task without a bid is named with its reason, and so is a cancellation."""
    planned = plan_of(tasks, Wallet(tokens, [], frozenset({"t9"})))
    assert changes(planned) == []
    assert {reason for _, reason in planned.skipped} == reasons
    resting = [Resting(1, tasks[0].task_id, 1, None)]
    (cancel,) = plan_of(tasks, Wallet(tokens - 1, resting, frozenset({"t9"}))).cancels
    assert (cancel.bid_id, {cancel.reason}) == (1, reasons)


def test_only_the_best_are_bid_for_and_counted() -> None:
    """BRG-1, Precisely: of more tasks than `ev_bids_per_wallet_max` the best; the wallet is split among those."""
    config = msgspec.structs.replace(CONFIG, ev_bids_per_wallet_max=2)
    tasks = [task(1, 0.5), task(2, 0.9), task(3, 0.7)]
    planned = plan_of(tasks, Wallet(300, [], frozenset()), config=config)
    assert [(change.task_id, change.price_tokens) for change in planned.places] == [("t2", 150), ("t3", 150)]
    assert planned.skipped == [("t1", "outranked")]


def test_a_wallet_cancels_what_it_knows_nothing_of() -> None:
    """BRG-1, Precisely: each open bid of the wallet is for an open task, or it is cancelled."""
    (cancel,) = changes(plan_of([], Wallet(0, [Resting(3, "gone", 5, None)], frozenset())))
    assert (cancel.action, cancel.bid_id, cancel.reason) == ("cancel", 3, "not open")
