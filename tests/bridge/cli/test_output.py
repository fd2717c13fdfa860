"""How results and the first words of a service are written: in order, and so that a shell reads them right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from callmarket.bridge.cli.serve import _welcome
from callmarket.bridge.serve import Ready
from tests.support.victim import ROOT


def test_a_result_is_written_after_earlier_output() -> None:
    """Into a pipe, where text waits in a buffer of its own."""
    code = (
        "import sys; from callmarket.bridge.cli.output import print_json\n"
        "sys.stdout.write('before\\n'); print_json({'a': 1})"
    )
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=buffered)
    assert done.stdout == 'before\n{\n  "a": 1\n}\n'


def test_the_printed_export_line_sets_the_url_and_the_key_in_a_shell(
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


def test_serve_without_a_key_file_says_how_to_create_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    _welcome(Ready("http://127.0.0.1:8321", ""))
    told = capsys.readouterr().out
    assert "callmarket keys create --admin" in told
    assert "export" not in told
