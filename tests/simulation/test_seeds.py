"""The whole system under faults: no seed may lose, double, reorder or forge anything, and each must heal.

Goal: what README promises, over everything that can go wrong at once. Method: `tests/simulation/run.py`; some seeds are
the same in each run, so that what they cover is known, and some are new.
"""

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest

from callmarket.persistence.tables.limits import TableLimits
from tests.simulation.campaign import EVERY_FAULT, Coverage, campaign
from tests.simulation.options import Options
from tests.simulation.run import Result, SimulationFailed, simulate

# Enough for every refusal and every fault to occur; the test of the coverage says if it is not.
SEEDS = 100
NEW_SEEDS = 20
PER_TEST = 20
SLOW_SEEDS = int(os.environ.get("CALLMARKET_TEST_SIMULATION_SEEDS", "2000"))
# A seed takes about a tenth of a second; a campaign that takes so many times longer hangs.
SECONDS_PER_SEED_MAX = 5

pytestmark = pytest.mark.timeout(600)

result = cache(simulate)


@pytest.mark.parametrize("first", range(0, SEEDS, PER_TEST))
def test_the_seeds_that_are_always_run(first: int) -> None:
    for seed in range(first, first + PER_TEST):
        result(seed)


def test_new_seeds(seed: int) -> None:
    """The first of them is the seed of this run, so `--seed` with the number in the failure repeats it at once."""
    for new in range(seed, seed + NEW_SEEDS):
        simulate(new)


def test_each_fault_and_each_refusal_occurs() -> None:
    """Else what was simulated is not what we think."""
    coverage = Coverage()
    for seed in range(SEEDS):
        coverage.add(result(seed))
    assert coverage.missing() == [], coverage
    assert set(coverage.counts) == set(EVERY_FAULT), set(coverage.counts) ^ set(EVERY_FAULT)


def test_a_world_without_faults_has_none() -> None:
    """What is switched off does not happen, and then every client is done before the world has to heal."""

    def without_faults(options: Options) -> Options:
        limits = replace(options.limits, queue_rows_max=1_000, queue_bytes_max=2**20, batch_rows_max=100)
        return replace(
            options, fates={}, losses={}, chaos_every_us={}, crash_in_step=0, failure_in_step=0, again_chance=0,
            store_us=(100, 1_000), client_timeout_us=1_000_000, fault_us=5_000_000, limits=limits,
            table_limits=TableLimits(look_s=0.05),
        )  # fmt: skip

    for seed in range(5):
        calm = simulate(seed, without_faults)
        # The last is the crash after the end of all that is asked.
        tables = {"reply when the tables have it", "tables went back in a crash"}
        usual = {"snapshot taken", "recovery from a snapshot", *tables}
        assert set(calm.counts) <= usual, calm.counts
        assert calm.commands > 20


# --- the same seed is the same run ---------------------------------------------------------------------------------

REPEATED = range(4)


def test_a_seed_repeats_bit_for_bit() -> None:
    for seed in REPEATED:
        assert _what_it_was(simulate(seed)) == _what_it_was(result(seed))
    assert len({result(seed).digest for seed in REPEATED}) == len(REPEATED)


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_a_seed_repeats_in_another_process_with_another_order_of_hashes(hash_seed: str) -> None:
    command = [sys.executable, "-m", "tests.simulation.campaign", "--digests", "--seed", "0", "--seeds"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    ran = subprocess.run([*command, str(len(REPEATED))], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [f"{seed} {result(seed).digest}" for seed in REPEATED]


def _what_it_was(run: Result) -> tuple[object, ...]:
    return run.digest, run.rows, run.commands, sorted(run.counts.items())


def test_a_failure_says_all_that_is_needed_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed, the command, what the seed chose, and the last steps; and twice the same."""
    monkeypatch.setattr("tests.simulation.run.HEAL_US_MAX", 1)
    texts = []
    for _ in range(2):
        with pytest.raises(SimulationFailed) as caught:
            simulate(7)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    for part in ("seed 7:", "dev.py simulate --seed 7", "  nodes = ", "Limits(", "Swarm(", "the faults end"):
        assert part in texts[0]


def test_a_failing_seed_ends_the_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.simulation.run.HEAL_US_MAX", 1)
    with pytest.raises(SimulationFailed, match="repeat it with: python3"):
        list(campaign(range(7, 12)))


# --- many ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(max(600, SLOW_SEEDS * SECONDS_PER_SEED_MAX))
def test_a_campaign(seed: int) -> None:
    """Thousands of new seeds; CALLMARKET_TEST_SIMULATION_SEEDS says how many."""
    coverage = Coverage()
    for one in campaign((seed + 1_000_000 + number for number in range(SLOW_SEEDS)), processes=2):
        coverage.add(one)
    assert coverage.seeds == SLOW_SEEDS
    assert coverage.missing() == [] or SLOW_SEEDS < SEEDS, coverage
