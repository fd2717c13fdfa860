"""The gate's tests: all side by side, then those that failed in a few files once more, alone and with the same seed.

    python3 -m tests.gate ARGS     (ARGS go to the first run of pytest)

Rule of this file: a broken rule fails the second time too; what passes then depends on the pace of a busy machine. It
is named on the last line, to be mended like any other bug. Failures in more than a few files fail the gate.
"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import SEED_LIMIT

FILES_REPEATED_MAX = 3
NAMED_MAX = 5
# As pytest returns it: some tests failed, and nothing else was wrong.
TESTS_FAILED = 1


def main(arguments: list[str]) -> int:
    """Run the tests; return the exit code of pytest, or 0 where what failed passed when it was repeated."""
    seed = [] if any(argument.startswith("--seed") for argument in arguments) else ["--seed", str(new_seed())]
    with tempfile.TemporaryDirectory() as folder:
        # A cache of its own names the failures of this run only.
        code = pytest(*arguments, *seed, "-o", f"cache_dir={folder}")
        failed = failed_tests(Path(folder))
    if code != TESTS_FAILED or not 0 < len({test.partition("::")[0] for test in failed}) <= FILES_REPEATED_MAX:
        return code
    print(f"\ntests.gate: once more, alone and with the same seed: {named(failed)}", flush=True)
    code = pytest(*failed, *(seed or seed_of(arguments)), "-m", "", "-p", "no:cacheprovider", "--benchmark-disable")
    if code == 0:
        print(f"tests.gate: FAILED beside others and passed alone: {named(failed)}", flush=True)
    return code


def named(tests: list[str]) -> str:
    """Their names, and of many the first and how many more."""
    more = f" and {len(tests) - NAMED_MAX} more" if len(tests) > NAMED_MAX else ""
    return ", ".join(tests[:NAMED_MAX]) + more


def new_seed() -> int:
    """A seed, for both runs."""
    return random.SystemRandom().randrange(SEED_LIMIT)


def seed_of(arguments: list[str]) -> list[str]:
    """The seed that the caller chose, as arguments."""
    first = next(index for index, argument in enumerate(arguments) if argument.startswith("--seed"))
    return arguments[first : first + (1 if "=" in arguments[first] else 2)]


def failed_tests(cache: Path) -> list[str]:
    """The node ids of what failed in the run that had this cache."""
    found = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(found.read_text(encoding="utf-8"))) if found.exists() else []


def pytest(*arguments: str) -> int:
    """Run pytest in a process of its own; return its exit code."""
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
