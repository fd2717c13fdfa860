"""What README.md shows is what happens: its Python is run as printed, and then its commands.

Method: with the private PostgreSQL, as a reader would, in a home that is thrown away.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmarket.persistence.embedded import ensure_server
from tests.support.databases import temporary_home

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code of README.md in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_readme_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLR-4, SET-1: alpha wins slot-1 and pays 700, what beta offered; the commands then show it."""
    program, _ = blocks("python")
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("callmarket ")]
    assert len(commands) >= 5
    with temporary_home() as home:
        monkeypatch.setenv("CALLMARKET_HOME", str(home))
        shown: dict[str, Any] = {}
        exec(compile(program, "README.md", "exec"), shown)
        award, market = shown["award"], shown["market"]
        assert (award.bidder_id, award.slot_id, award.price_tokens) == ("alpha", "slot-1", 700)
        with pytest.raises(psycopg.OperationalError):
            # The server has ended with its last user.
            psycopg.connect(market.node.url).close()
        with ensure_server(home):
            output = {line: run(line) for line in commands}
    for line, (code, printed) in output.items():
        assert code == 0, (line, printed)
    by_name = {line.split()[1]: printed for line, (_, printed) in output.items()}
    # Ten thousand, less the price, and the reward: 50 tokens for each of 1.5 impact.
    assert "9,375" in by_name["wallet"]
    assert "700" in by_name["rounds"]
    assert "outbid" in by_name["why"]
    assert "all right" in by_name["verify"]


def test_the_agent_in_ten_lines_works_from_nothing() -> None:
    """SET-1: as printed, after the line that `callmarket serve` prints; and once more, when there is something."""
    _, agent = blocks("python")
    with temporary_home() as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLMARKET_")}
        serve = [sys.executable, "-m", "callmarket", "serve", "--port", "0"]
        with subprocess.Popen(
            serve, cwd=ROOT, env=environment | {"CALLMARKET_HOME": str(home)}, stdout=subprocess.PIPE, text=True
        ) as service:
            try:
                assert service.stdout is not None
                export = next(line for line in service.stdout if line.startswith("export CALLMARKET_URL="))
                terminal = f"{export}exec {shlex.quote(sys.executable)} -c {shlex.quote(agent)}"
                runs = [in_a_terminal(terminal, environment) for _ in range(2)]
            finally:
                service.terminate()
    # One bidder for one slot pays the reserve price, which is nothing.
    assert [ran.stdout for ran in runs] == ["settled 1000\n"] * 2, runs


def in_a_terminal(text: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run what somebody has pasted into a shell."""
    return subprocess.run(
        ["sh", "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def run(line: str) -> tuple[int, str]:
    """Run a line of the README with the command of this environment."""
    name, *arguments = shlex.split(line, comments=True)
    assert name == "callmarket"
    installed = Path(sys.executable).with_name(name)
    command = [str(installed)] if installed.exists() else [sys.executable, "-m", "callmarket"]
    ran = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=60, check=False
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_readme_names_what_there_is() -> None:
    """Files that it links to exist, and so do the tasks of dev.py that it shows."""
    tasks = (ROOT / "dev.py").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    for task in re.findall(r"python3 dev\.py (\w+)", README):
        assert f'"{task}":' in tasks, task
