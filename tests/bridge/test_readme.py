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

from persistence.embedded import ensure_server
from tests.support.databases import temporary_home

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code of README.md in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_readme_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLR-4, SET-1: alpha wins slot-1 and pays 700, what beta offered; the commands then show it."""
    (program,) = blocks("python")
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


def run(line: str) -> tuple[int, str]:
    """Run a line of the README with the command of this environment."""
    name, *arguments = shlex.split(line, comments=True)
    assert name == "callmarket"
    installed = Path(sys.executable).with_name(name)
    command = [str(installed)] if installed.exists() else [sys.executable, "-m", "bridge"]
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
