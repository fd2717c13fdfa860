"""The simulation can fail: each planted bug is found, and within how many seeds.

Goal: a simulation that finds nothing has to show that it would. What each canary needed stands beside it in
`canaries.py`; here it gets three times as many seeds, for any change of the world deals the seeds anew.
"""

import pytest

from tests.simulation.canaries import CANARIES, Canary
from tests.simulation.run import SimulationFailed, simulate

SEEDS_MIN = 20


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_a_planted_bug_is_found(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    canary.plant(monkeypatch)
    for seed in range(max(SEEDS_MIN, 3 * canary.seeds)):
        try:
            simulate(seed)
        except SimulationFailed as found:
            print(f"found by seed {seed}: {str(found).splitlines()[0]}")  # noqa: T201 -- pytest -s shows it
            return
    pytest.fail(f"{canary.name} was not found")
