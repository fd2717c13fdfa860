"""The workload: the files are what their attribution says, and one seed gives one workload.

Goal: nobody can change data, scaling or draws without noticing. Method: counts and sums of the shipped files, and
properties over seeds.
"""

from importlib.resources import files
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.studies.demo.scenario.workload import (
    MINUTES_MAX,
    QUESTS,
    WORKERS_PER_QUEST,
    account_name,
    load_arrivals,
    load_models,
    make_workload,
)

DATA = files("callmarket.bridge.studies.demo").joinpath("data")
SEEDS = st.integers(0, 2**32 - 1)


def test_the_arrivals_are_the_window_that_the_attribution_names():
    arrivals = load_arrivals()
    assert len(arrivals) == 2551
    assert arrivals == tuple(sorted(arrivals, key=lambda arrival: arrival.at_us))
    first, last = arrivals[0], arrivals[-1]
    assert (first.at_us, first.context_tokens, first.generated_tokens) == (1_700_158_623_979_960, 4808, 10)
    assert (last.at_us, last.context_tokens, last.generated_tokens) == (1_700_159_518_440_734, 842, 103)


def test_fewer_minutes_are_the_beginning_of_the_same_arrivals():
    assert load_arrivals(2) == load_arrivals()[: len(load_arrivals(2))]
    assert len(load_arrivals(2)) == 63


def test_the_models_are_all_runs_of_the_file():
    models = load_models()
    assert len(models) == 51
    assert sum(model.solved for model in models) == 6281
    assert round(sum(model.cost_usd for model in models), 4) == 1252.1517
    assert sum(model.tokens_per_case is not None for model in models) == 22


@pytest.mark.parametrize("file_name", ["azure_llm_code_window.csv", "aider_polyglot.csv"])
def test_every_data_file_has_its_attribution(file_name: str):
    text = DATA.joinpath("ATTRIBUTION.md").read_text(encoding="utf-8")
    section = text.partition(f"## {file_name}\n")[2].partition("\n## ")[0]
    for word in ("source", "licence", "changed"):
        assert f"| {word} |" in section, (file_name, word)


def test_no_data_file_is_without_attribution():
    text = DATA.joinpath("ATTRIBUTION.md").read_text(encoding="utf-8")
    found = {entry.name for entry in DATA.iterdir() if entry.name.endswith(".csv")}
    assert found == {line[3:] for line in text.splitlines() if line.startswith("## ")}


def test_every_model_works_for_exactly_one_bidder():
    workload = make_workload(1, 1)
    workers = sorted(worker for bidder in workload.bidders for worker in bidder.workers)
    assert workers == list(range(len(workload.models)))
    quests = [bidder for bidder in workload.bidders if bidder.kind == "quest"]
    assert len(quests) == len(QUESTS)
    assert all(len(quest.workers) == WORKERS_PER_QUEST for quest in quests)
    assert len({bidder.bidder_id for bidder in workload.bidders}) == len(workload.bidders)


@settings(max_examples=10)
@given(SEEDS)
def test_the_seed_decides_everything(seed: int):
    assert make_workload(seed, 1) == make_workload(seed, 1)
    assert make_workload(seed, 1).tasks != make_workload(seed + 1, 1).tasks


@settings(max_examples=10)
@given(SEEDS)
def test_cost_and_time_are_the_models_own_scaled_by_the_tasks_tokens(seed: int):
    workload = make_workload(seed, 1)
    counted = [model.tokens_per_case for model in workload.models if model.tokens_per_case is not None]
    assert workload.exercise_tokens == median(counted)
    for task in workload.tasks:
        model = workload.models[task.worker]
        fraction = task.llm_tokens / workload.exercise_tokens
        assert abs(task.estimated_cost_tokens - model.cost_usd / model.test_cases * 1e6 * fraction) <= 1
        assert abs(task.estimated_service_us - model.seconds_per_case * 1e6 * fraction) <= 1
        assert task.worker in workload.bidders[task.bidder].workers
        assert (task.fate.impact_micros > 0) <= task.fate.solved


def test_the_share_solved_is_the_models_real_share(seed: int):
    workload = make_workload(seed)
    expected = sum(workload.models[task.worker].share_solved for task in workload.tasks)
    variance = sum(
        workload.models[task.worker].share_solved * (1 - workload.models[task.worker].share_solved)
        for task in workload.tasks
    )
    solved = sum(task.fate.solved for task in workload.tasks)
    # Six standard deviations: one seed in a billion.
    assert abs(solved - expected) < 6 * variance**0.5


@pytest.mark.parametrize("minutes", [0, MINUTES_MAX + 1])
def test_minutes_outside_the_window_are_refused(minutes: int):
    with pytest.raises(Invalid, match="minutes: expected 1 to 15"):
        make_workload(1, minutes)


def test_names_of_models_can_be_spelled_in_the_market():
    assert account_name("o1-2024-12-17 (high)") == "o1-2024-12-17-high"
    assert account_name("DeepSeek R1 + claude-3-5-sonnet") == "deepseek-r1-claude-3-5-sonnet"
