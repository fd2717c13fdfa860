"""The gate: what fails again fails it, what passes alone is named, and many failures are no accident.

Method: the real gate on small folders of tests, in processes of their own.
"""

import subprocess
import sys
from pathlib import Path

from tests import gate
from tests.support.service_process import ROOT, clean

ONCE = """
from pathlib import Path

import pytest


@pytest.mark.parametrize("number", range(2))
def test_fails_the_first_time(number: int) -> None:
    mark = Path(__file__).with_name(f"seen-{number}-{Path(__file__).stem}")
    seen = mark.exists()
    mark.touch()
    assert seen
"""

BY_SEED = """
def test_fails_with_every_seed(seed: int) -> None:
    print("the seed is", seed)
    raise AssertionError


def test_passes() -> None:
    pass
"""


def run(folder: Path, source: str, *arguments: str, files: int = 1) -> subprocess.CompletedProcess[str]:
    """Run the gate in a folder with some files of the same tests, and the fixtures of this project."""
    for number in range(files):
        (folder / f"test_it_{number}.py").write_text(source, encoding="utf-8")
    (folder / "conftest.py").write_text("from tests.conftest import *\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "tests.gate", *arguments],
        cwd=folder,
        env=clean() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_test_that_fails_alone_too_fails_the_gate_with_the_same_seed(tmp_path: Path) -> None:
    done = run(tmp_path, BY_SEED)
    assert done.returncode == gate.TESTS_FAILED, done.stdout + done.stderr
    assert "once more, alone and with the same seed" in done.stdout
    assert "1 passed" not in done.stdout.split("once more")[1], "what passed is not repeated"
    seeds = {line for line in done.stdout.splitlines() if line.startswith("the seed is")}
    assert len(seeds) == 1
    assert "passed alone" not in done.stdout


def test_the_seed_may_be_chosen(tmp_path: Path) -> None:
    done = run(tmp_path, BY_SEED, "--seed=7")
    assert done.returncode == gate.TESTS_FAILED
    assert done.stdout.count("the seed is 7") == 2
    assert gate.seed_of(["-q", "--seed", "7", "-x"]) == ["--seed", "7"]


def test_a_test_that_passes_alone_is_named_and_lets_the_gate_pass(tmp_path: Path) -> None:
    done = run(tmp_path, ONCE, files=gate.FILES_REPEATED_MAX)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("tests.gate: FAILED beside others and passed alone: ")
    assert last.count("test_fails_the_first_time") == gate.NAMED_MAX
    assert last.endswith(" and 1 more")


def test_failures_in_many_files_are_not_repeated(tmp_path: Path) -> None:
    done = run(tmp_path, ONCE, files=gate.FILES_REPEATED_MAX + 1)
    assert done.returncode == gate.TESTS_FAILED
    assert "once more" not in done.stdout


def test_a_run_that_could_not_begin_fails(tmp_path: Path) -> None:
    assert run(tmp_path, "import a_module_that_is_not_there\n").returncode not in (0, gate.TESTS_FAILED)
