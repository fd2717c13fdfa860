"""What is stored is damaged, bit by bit: recovery finds it, passes it over, or it has no effect; never a wrong state.

Goal: decisions 1, 4 and 11 of docs/decisions against a disk that lies. Method: `tests.faults.stored_bytes` damages
each column of the journal, the fence and the snapshots and each part of a snapshot's file, at places drawn from the
seed; each damage is verified, recovered from, written after, recovered from again, and undone.
"""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.stored_bytes import (
    FILE_DAMAGES,
    JOURNAL_DAMAGES,
    SNAPSHOT_DAMAGES,
    Damage,
    History,
    Verdict,
    cut_row,
    try_damage,
    write_history,
)

TIMES = 2
TIMES_SLOW = 60
# What the digest does not cover, because nothing that was decided depends on it: who wrote a row, as long as epochs
# do not fall; and the fence's own epoch, as long as it is not below that of the rows.
WITHOUT_EFFECT = {"journal.epoch", "engine_writer.epoch"}


@pytest.fixture
def history(database_url: str, tmp_path: Path, seed: int) -> History:
    return write_history(database_url, tmp_path, seed)


def try_all(history: History, damages: dict[str, Damage], times: int, seed: int, snapshots: str = "") -> None:
    """Each of them, so many times."""
    verdicts: Counter[tuple[str, Verdict]] = Counter()
    for name, damage in damages.items():
        rng = random.Random(f"{seed}/{name}")
        for _ in range(times):
            place, verdict = try_damage(history, damage, rng, snapshots)
            verdicts[name, verdict] += 1
            assert verdict != "without effect" or name in WITHOUT_EFFECT, f"{place}: nobody noticed"
            if not snapshots:
                assert verdict != "passed over", place
    print(*(f"{name}: {verdict} x {count}" for (name, verdict), count in verdicts.items()), sep="\n")  # noqa: T201


@pytest.mark.parametrize("times", [TIMES, pytest.param(TIMES_SLOW, marks=pytest.mark.slow)])
def test_damage_of_the_journal(history: History, seed: int, times: int) -> None:
    try_all(history, JOURNAL_DAMAGES, times, seed)


@pytest.mark.parametrize("times", [TIMES, pytest.param(TIMES_SLOW, marks=pytest.mark.slow)])
def test_damage_of_snapshots_in_the_database(history: History, seed: int, times: int) -> None:
    try_all(history, SNAPSHOT_DAMAGES, times, seed, "database")


@pytest.mark.parametrize("times", [4 * TIMES, pytest.param(4 * TIMES_SLOW, marks=pytest.mark.slow)])
def test_damage_of_snapshots_in_a_folder(history: History, seed: int, times: int) -> None:
    try_all(history, FILE_DAMAGES, times, seed, "folder")


def test_a_history_without_damage_is_without_damage(history: History, seed: int) -> None:
    """The judge can say both: nothing is found where nothing was done, and what was undone is undone."""
    rng = random.Random(seed)
    for snapshots in ("", "database", "folder"):
        assert try_damage(history, lambda _history, _rng: "nowhere", rng, snapshots)[1] == "without effect"
    assert try_damage(history, cut_row, rng)[1] == "found"
    assert try_damage(history, lambda _history, _rng: "nowhere", rng)[1] == "without effect"
