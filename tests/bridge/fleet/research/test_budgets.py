"""Tasks by the budgets of their artifacts, in both currencies; and changes whose connection breaks."""

import itertools
import math
import random
from typing import Any

import pytest

from callmarket import Exchange, ManualClock, Unavailable, UnknownOutcome, open_exchange
from callmarket.bridge.api.contract.change import Change, WriteContext
from callmarket.bridge.api.operations.artifacts import put_artifact
from callmarket.bridge.config import Config
from callmarket.bridge.fleet.research import order_by_resource_budget, stake
from callmarket.bridge.fleet.tasks.model import Task
from callmarket.bridge.market.app import open_with
from tests.bridge.conftest import START_US
from tests.support.aged import let_pass
from tests.support.small_market import furnish


def task(task_id: str, artifact_id: str = "") -> Task:
    return Task(task_id=task_id, quest_id="q", importance=1.0, downstream_impact=1.0, artifact_id=artifact_id)


def test_the_task_with_most_left_to_spend_comes_first(seed: int) -> None:
    """RES-4: the queue of tasks stands in the order of what their artifacts have left; ties as promised."""
    rng = random.Random(seed)
    tasks = [task(f"t{number}", rng.choice(["", "a", "b", "c", "d"])) for number in range(40)]
    budgets = {"a": 10, "b": 300, "c": 10}
    values = {f"t{number}": rng.choice([0.0, 1.5, 2.0]) for number in range(30)}
    ordered = order_by_resource_budget(tasks, budgets, values)
    assert sorted(one.task_id for one in ordered) == sorted(one.task_id for one in tasks)
    for before, after in itertools.pairwise(ordered):
        more, less = budgets.get(before.artifact_id, 0), budgets.get(after.artifact_id, 0)
        assert more >= less
        if more == less:
            better, worse = values.get(before.task_id, 0.0), values.get(after.task_id, 0.0)
            assert better > worse or (better == worse and before.task_id < after.task_id)
    rng.shuffle(tasks)
    assert order_by_resource_budget(tasks, budgets, values) == ordered
    assert [one.task_id for one in order_by_resource_budget([task("y"), task("x")], {})] == ["x", "y"]


@pytest.mark.parametrize("wrong", [math.nan, None, "much", 10**400])
def test_an_artifact_without_a_number_counts_as_0_and_moves_no_other(seed: int, wrong: Any) -> None:
    """NaN is neither more nor less than anything, and would leave the others in any order."""
    tasks = [task(f"t{number:02}", f"a{number}") for number in range(30)]
    random.Random(seed).shuffle(tasks)
    budgets = {f"a{number}": number for number in range(30)}
    order = [f"t{number:02}" for number in (*range(29, 15, -1), *range(14, 0, -1), 0, 15)]
    assert [one.task_id for one in order_by_resource_budget(tasks, budgets | {"a15": wrong})] == order
    values = {f"t{number:02}": float(number) for number in range(30)}
    assert [one.task_id for one in order_by_resource_budget(tasks, {}, values | {"t15": wrong})] == order


def test_a_budget_is_told_in_tokens_of_a_model_too(database_url: str) -> None:
    """RES-3: at the rate that is set."""
    config = Config(database_url=database_url, llm_tokens_per_token=250)
    clock = ManualClock(START_US)
    with open_with(config, clock=clock) as market:
        furnish(market, "a")
        market.put_artifact("h1", "hypothesis")
        stake(market, "s1", "a", "h1", 990)
        let_pass(market, clock)
        budget = market.compute_resource_budget("h1")
        (ranked,) = market.get_resource_budget_rankings().items
    for one in (budget, ranked):
        assert (one.left_tokens, one.llm_tokens_per_token, one.left_llm_tokens) == (99, 250, 24_750)


def test_a_change_that_broke_off_may_have_been_made_and_is_made_again(market: Exchange) -> None:
    """Nothing is said to have failed that may be there."""

    def cut(at: WriteContext) -> None:
        put_artifact.plan("h1", "hypothesis").make(at)
        at.connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(UnknownOutcome, match="broke off"):
        market.change(Change(cut))
    assert market.put_artifact("h1", "hypothesis").market_price == 0.5
    assert [one.artifact_id for one in market.artifacts().items] == ["h1"]


def test_the_last_author_of_a_change_is_recorded(market: Exchange) -> None:
    market.put_artifact("h1", "hypothesis")
    assert market.artifact("h1").priced_by.startswith("process ")
    assert market.acting_as("operator").set_market_price("h1", 0.123456).priced_by == "operator"
    assert market.artifact("h1").market_price == 0.123456
    market.put_artifact("h1", "paper", "Another title")
    found = market.artifact("h1")
    assert (found.artifact_type, found.title, found.market_price) == ("paper", "Another title", 0.123456)


def test_a_market_that_is_closed_changes_nothing(database_url: str, clock: ManualClock) -> None:
    with open_exchange(database_url, clock=clock) as market:
        pass
    with pytest.raises(Unavailable, match="closed"):
        market.put_artifact("h1", "hypothesis")
