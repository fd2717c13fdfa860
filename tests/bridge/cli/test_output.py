"""How results and the first words of a service are written: in order, and so that a shell reads them right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from callmarket.bridge.cli.serve import _welcome
from callmarket.bridge.serve import Ready
from tests.support.victim import ROOT


def test_a_result_stands_behind_what_was_written_before_it() -> None:
    """Into a pipe, where text waits in a buffer of its own."""
    code = (
        "import sys; from callmarket.bridge.cli.output import print_json\n"
        "sys.stdout.write('before\\n'); print_json({'a': 1})"
    )
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=buffered)
    assert done.stdout == 'before\n{\n  "a": 1\n}\n'


def test_what_is_to_be_pasted_gives_a_shell_the_address_and_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever the key lies."""
    folder = tmp_path / "a folder's $HOME; exit 1"
    folder.mkdir()
    path = folder / "admin key"
    path.write_text("cmk_secret\n")
    _welcome(Ready("http://127.0.0.1:8321", str(path)))
    lines = capsys.readouterr().out.splitlines()
    (line,) = [one for one in lines if one.startswith("export CALLMARKET_URL=")]
    asked = f'{line}\nprintf "%s %s" "$CALLMARKET_URL" "$CALLMARKET_KEY"'
    done = subprocess.run(["sh", "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "http://127.0.0.1:8321 cmk_secret"
    assert "cmk_secret" not in "".join(lines), "it is in the file alone"


def test_where_no_key_was_made_it_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    _welcome(Ready("http://127.0.0.1:8321", ""))
    told = capsys.readouterr().out
    assert "callmarket keys create --admin" in told
    assert "export" not in told
