#!/usr/bin/env python3
"""Run the project from a fresh clone: `python3 dev.py demo`, `python3 dev.py check`.

It makes an environment of its own in `.venv`, installs exactly what constraints.txt pins, and runs one task in it.
Rule: the standard library only, nothing outside this folder is changed, and no other environment, activated or named
by PYTHONPATH, can mix itself in.
"""

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

# Before the first line that an older Python would stumble over.
if sys.version_info < (3, 11):  # noqa: UP036  (this is where an older Python is told so)
    sys.exit(f"dev.py: Python 3.11 or newer is needed, and this is {sys.version.split()[0]}: try python3.11 dev.py")

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "installed.txt"

# Dropped: they would bring in other packages, send ours elsewhere, or switch our asserts off.
DROPPED_VARIABLES = (
    "MYPYPATH",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_TARGET",
    "PYTHONHOME",
    "PYTHONOPTIMIZE",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
)

# Much of the suite waits for other processes, each worker for its own PostgreSQL: one worker more than there are cores
# keeps them busy. A file stays with one worker, because its tests share fixtures; files in the order of
# tests/conftest.py, because those with few tests are not the short ones.
SIDE_BY_SIDE = (
    *("-n", str(min(4, (os.cpu_count() or 1) + 1)), "--dist", "loadfile", "--no-loadscope-reorder"),
    "--benchmark-disable",
)

# Tasks that run the market itself, whose own words about an error are enough.
THE_MARKET = ("demo", "serve")

USAGE = """\
usage: python3 dev.py TASK [ARGS]   (ARGS go to the tool that the task runs)

  demo         show the market at work: callmarket demo ARGS
  serve        the market over HTTP, on a private PostgreSQL: callmarket serve ARGS
  check        the whole gate: format, lint, types, tests (ARGS go to pytest)
  test         pytest ARGS, without the slow tests
  slow         the slow tests only
  soak         two hundred kills of each: engine, database, leader, writer and tables; all replies audited
  faults       real faults on a real PostgreSQL, ten times each, and a table of what happened: about half an hour
  simulate     the whole system in one thread, from seeds: --seeds 5000, or --seed 17 to repeat one
  load         load on a served market: capacity, latency below it, overload, audit; --quick to see that it works
  bench        the market beside what else one might take, in one table: some minutes
  bench-quick  the same in less than a minute: smaller books, fewer rounds
  bench-parts  the benchmarks of single parts: pytest ARGS, all of them where it names no file
  format       format the code and repair what the linter can repair
"""


def main() -> int:
    """Run the task that the command line names, and return its exit code."""
    task, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    names_files = any(argument.startswith("benchmarks") for argument in arguments)
    tasks = {
        "demo": [("demo", [str(BIN / "callmarket"), "demo", *arguments])],
        "serve": [("serve", [str(BIN / "callmarket"), "serve", *arguments])],
        "test": [("pytest", module("pytest", *arguments))],
        "slow": [("pytest", module("pytest", "-m", "slow", *arguments))],
        "simulate": [("simulate", module("tests.simulation.campaign", *arguments))],
        "soak": [
            (
                "pytest",
                module(
                    "pytest",
                    "-s",
                    "-m",
                    "slow",
                    "tests/bridge/test_kill.py",
                    "tests/bridge/test_takeover.py",
                    "tests/bridge/server/test_followed.py",
                    "tests/persistence/tables/test_table_writer.py",
                    *arguments,
                ),
            )
        ],
        "faults": [("faults", module("tests.faults", *arguments))],
        "load": [("load", module("benchmarks.load", *arguments))],
        "bench": [("bench", module("benchmarks.table", *arguments))],
        "bench-quick": [("bench", module("benchmarks.table", "--quick", *arguments))],
        "bench-parts": [
            ("pytest", module("pytest", "--benchmark-only", *([] if names_files else ["benchmarks"]), *arguments))
        ],
        "format": [
            ("ruff format", module("ruff", "format", *arguments)),
            ("ruff check", module("ruff", "check", "--fix", *arguments)),
        ],
        "check": [
            ("ruff format", module("ruff", "format", "--check")),
            ("ruff check", module("ruff", "check")),
            ("mypy", module("mypy")),
            ("pytest", module("tests.gate", *SIDE_BY_SIDE, *arguments)),
        ],
    }
    if task not in tasks:
        print(USAGE, end="", file=sys.stdout if task in ("-h", "--help", "help") else sys.stderr)
        return 0 if task in ("-h", "--help", "help") else 2
    install()
    for name, command in tasks[task]:
        if len(tasks[task]) > 1:
            print(f"dev.py {task}: {name}", flush=True)
        # The market may be given paths relative to the caller's folder; the tools want to be at the root.
        code = run(command, None if task in THE_MARKET else ROOT)
        if code != 0:
            if task not in THE_MARKET:
                print(f"dev.py {task}: FAILED at {name} (exit code {code})", file=sys.stderr, flush=True)
            return code
    if task == "check":
        print("dev.py check: all passed", flush=True)
    return 0


def module(name: str, *arguments: str) -> list[str]:
    """Return the command line of a Python tool of our environment."""
    return [str(PYTHON), "-m", name, *arguments]


def install() -> None:
    """Make `.venv` what pyproject.toml and constraints.txt say, or do nothing if it is that already."""
    # A folder that was moved, or another Python, needs a new environment; a changed pin only an installation.
    identity = f"Python {sys.version_info[0]}.{sys.version_info[1]} at {ROOT}"
    inputs = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    wanted = [identity, hashlib.sha256(inputs).hexdigest()]
    found = STAMP.read_text(encoding="utf-8").splitlines() if STAMP.exists() else []
    if found == wanted and PYTHON.exists():
        return
    print("dev.py: installing into .venv (about a minute, once)", file=sys.stderr, flush=True)
    if found[:1] != [identity] or not PYTHON.exists():
        if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
            fail(f"{sys.executable} cannot make environments. On Debian or Ubuntu: apt-get install python3-venv")
        must([sys.executable, "-m", "venv", "--clear", str(VENV)])
    STAMP.unlink(missing_ok=True)  # an installation that is cut short is begun again
    must(module("pip", "install", "-q", "-c", "constraints.txt", "-e", ".[dev]"))
    STAMP.write_text("\n".join(wanted), encoding="utf-8")


def must(command: list[str]) -> None:
    """Run a step of the installation; end the program if it fails."""
    code = run(command, ROOT)
    if code != 0:
        fail(f"the installation failed (exit code {code}): {' '.join(command)}")


def run(command: list[str], folder: Path | None) -> int:
    """Run a command in a clean environment and return its exit code; signals are the command's to handle."""
    environment = {name: value for name, value in os.environ.items() if name not in DROPPED_VARIABLES}
    environment.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_USER="0", PYTHONNOUSERSITE="1")
    child = subprocess.Popen(command, cwd=folder, env=environment)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while True:
        try:
            code = child.wait()
        except KeyboardInterrupt:
            continue  # the terminal sent it to the child too, which ends in its own time
        return code if code >= 0 else 128 - code


def fail(message: str) -> None:
    """Say what is wrong and end."""
    sys.exit(f"dev.py: {message}")


if __name__ == "__main__":
    sys.exit(main())
