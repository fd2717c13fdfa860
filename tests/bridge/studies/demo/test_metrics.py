"""The numbers and the verdicts: by hand on small arrays.

Goal: no measure flatters the auction, and what it loses is said. Method: examples with known answers.
"""

import msgspec
import numpy as np
import pytest

from callmarket.bridge.studies.demo.compare import MEASURES_COMPARED, best, verdicts
from callmarket.bridge.studies.demo.metrics import MEASURES, Metrics, jain, measure, served_share_by_bidder, waits_s
from callmarket.bridge.studies.demo.scenario.policies import FirstComeFirstServed
from callmarket.bridge.studies.demo.scenario.simulation import Simulation
from callmarket.bridge.studies.demo.scenario.workload import make_workload

ROW = Metrics(
    policy="auction", value_per_token=2.0, total_value_usd=10.0, compute_usd=5.0, net_value_usd=5.0, tasks_solved=3,
    fill_rate=0.5, utilisation=0.9, wait_p50_s=1.0, wait_p99_s=2.0, jain_quests=0.8, quests_never_served_share=0.0,
    revenue_tokens=7,
)  # fmt: skip


@pytest.mark.parametrize(
    ("shares", "expected"), [([1, 1, 1, 1], 1.0), ([1, 0, 0, 0], 0.25), ([0, 0], 1.0), ([1, 3], 0.8)]
)
def test_jain(shares: list[float], expected: float):
    assert jain(np.array(shares, float)) == pytest.approx(expected)


def test_the_row_of_a_policy_adds_up():
    workload = make_workload(5, 1)
    run = Simulation(workload, FirstComeFirstServed(), "first come", 10).run()
    row = measure(workload, run)
    served = [task for task in workload.tasks if run.started_us[task.index] >= 0]
    assert row.fill_rate == len(served) / len(workload.tasks)
    assert row.total_value_usd == sum(int(impact) for impact in run.impact_micros) / 1e6
    assert row.net_value_usd == pytest.approx(row.total_value_usd - row.compute_usd)
    assert row.value_per_token == pytest.approx(row.total_value_usd / row.compute_usd)
    solved = [task for task in workload.tasks if task.fate.solved and run.endings[task.index] == "settled"]
    assert row.tasks_solved == len(solved)
    assert 0 < row.utilisation <= 1
    assert len(waits_s(workload, run)) == len(served)
    shares = served_share_by_bidder(workload, run)
    asked = np.bincount([task.bidder for task in workload.tasks], minlength=len(shares))
    assert float((shares * asked).sum()) == pytest.approx(len(served))


def test_every_measure_but_revenue_is_judged_once():
    judged = verdicts(ROW, [msgspec.structs.replace(ROW, policy="first come")])
    assert [verdict.field for verdict in judged] == [one.field for one in MEASURES if one.field != "revenue_tokens"]
    assert {verdict.outcome for verdict in judged} == {"equal"}


@pytest.mark.parametrize("one", MEASURES_COMPARED, ids=lambda one: one.field)
def test_what_another_policy_does_better_is_said(one):
    step = 1 if one.better == "higher" else -0.5
    better = msgspec.structs.replace(ROW, policy="shortest job", **{one.field: getattr(ROW, one.field) + step})
    same = msgspec.structs.replace(ROW, policy="first come")
    outcome = {verdict.field: verdict for verdict in verdicts(ROW, [same, better])}
    assert outcome[one.field].outcome == "worse"
    assert "shortest job first" in outcome[one.field].sentence
    assert best(one, [same, better]) is better
    assert {verdict.field: verdict for verdict in verdicts(better, [same])}[one.field].outcome == "better"
