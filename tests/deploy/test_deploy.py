"""The files in deploy/ say what is: their command lines run, their settings exist, what they copy is there.

Goal: a file that nobody runs here does not rot. Method: each is read as its program reads it, as far as that goes
without it; `systemd-analyze` has the last word where it is installed. No container is built.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from callmarket.bridge import systemd as supervisor
from callmarket.bridge.config import FILE_VARIABLE, PREFIX, Config, from_environment
from callmarket.bridge.server.http.connection_table import CONNECTIONS_MAX
from callmarket.bridge.server.http.http_server import DRAIN_S_MAX
from tests.support.service_process import clean, served

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "callmarket.service"
CONTAINER = ROOT / "deploy" / "Containerfile"
COMMAND = Path(sys.executable).parent / "callmarket"
NAMES = {PREFIX + name.upper() for name in Config.__struct_fields__} | {FILE_VARIABLE}


def unit() -> dict[str, list[str]]:
    """The values of each name of the unit, in order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def instructions() -> Iterator[tuple[str, str]]:
    """The instructions of the container file, with continued lines joined."""
    text = re.sub(r"^#.*\n", "", CONTAINER.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest.strip()


def values(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def container_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in values("ENV") for pair in shlex.split(line))


@pytest.mark.parametrize("path", sorted((ROOT / "deploy").iterdir()), ids=lambda path: path.name)
def test_every_name_of_a_setting_is_one(path: Path) -> None:
    named = set(re.findall(r"CALLMARKET_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8")))
    assert named <= NAMES
    assert named


def test_the_values_of_the_settings_are_good() -> None:
    from_unit = dict(pair.split("=", 1) for pair in unit()["Environment"])
    del from_unit[FILE_VARIABLE]  # a file of that machine
    assert from_environment(from_unit).log_format == "json"
    ours = {name: value for name, value in container_environment().items() if name.startswith(PREFIX)}
    assert from_environment(ours).host == "0.0.0.0"
    assert f"EXPOSE {from_environment(ours).port}" in CONTAINER.read_text(encoding="utf-8")


@pytest.mark.parametrize("line", [unit()["ExecStart"][0], " ".join(json.loads(values("ENTRYPOINT")[0] + ""))])
def test_the_command_lines_run(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert Path(program).name == COMMAND.name
    arguments = arguments or json.loads(values("CMD")[0])
    told = subprocess.run(
        [COMMAND, *arguments, "--help"], capture_output=True, text=True, env=clean(), check=False, timeout=60
    )
    assert told.returncode == 0, told.stderr
    assert "Serve the market over HTTP" in told.stdout


def test_the_unit_waits_longer_than_an_end_in_order_takes() -> None:
    one = unit()
    assert int(one["TimeoutStopSec"][0]) > DRAIN_S_MAX + Config().ack_timeout_s
    assert int(one["LimitNOFILE"][0]) > CONNECTIONS_MAX + 1_000
    assert one["Type"] == ["notify"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd's own checker")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """With the command where it is here: elsewhere it is not installed."""
    text = UNIT.read_text(encoding="utf-8").replace("/opt/callmarket/.venv/bin/callmarket", str(COMMAND))
    path = tmp_path / UNIT.name
    path.write_text(text, encoding="utf-8")
    told = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (told.returncode, told.stderr) == (0, "")


def test_what_is_copied_is_there_and_is_all_that_is_installed() -> None:
    sources = [source for line in values("COPY") if "--from" not in line for source in line.split()[:-1]]
    assert [one for one in sources if not (ROOT / one).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    # The links in the package lead to the other folders.
    linked = {link.resolve().name for link in (ROOT / "callmarket").iterdir() if link.is_symlink()}
    assert linked == {*folders} - {"callmarket"}
    needed = {*folders, project["project"]["readme"]}
    assert needed | {*project["project"]["license-files"], "pyproject.toml", "constraints.txt"} == set(sources)


def test_what_the_readme_installs_can_serve() -> None:
    """The base installation is a client: `callmarket serve` needs the extra."""
    readme = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    installs = re.findall(r"pip install .*", readme)
    assert installs
    assert all("[server]" in one for one in installs)


def test_the_container_is_pinned_not_root_and_has_the_python_of_the_pins() -> None:
    assert "-c constraints.txt" in values("RUN")[0]
    assert values("USER") == ["callmarket"]
    pinned = re.search(r"CPython (3\.\d+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert pinned is not None
    images = [line.split()[0] for line in values("FROM")]
    assert {re.search(r"python:(3\.\d+)", image)[1] for image in images} == {pinned[1]}  # type: ignore[index]


def test_the_health_check_says_what_is(database_url: str) -> None:
    line = values("HEALTHCHECK")[0]
    check = json.loads(line[line.index("CMD") + 3 :])
    with served(database_url) as service:
        environment = os.environ | {"CALLMARKET_PORT": service.url.rpartition(":")[2]}
        program = [sys.executable, *check[1:]]
        assert subprocess.run(program, env=environment, check=False, timeout=30).returncode == 0
    assert subprocess.run(program, env=environment, capture_output=True, check=False, timeout=30).returncode == 1


def test_a_process_manager_is_told(database_url: str, tmp_path: Path) -> None:
    """As systemd is: a datagram when it listens, another when it ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        with served(database_url, environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as service:
            assert manager.recv(100) == b"READY=1"
            service.process.terminate()
            assert service.wait() == 0
            assert manager.recv(100) == b"STOPPING=1"


def test_where_nobody_listens_nothing_fails(tmp_path: Path) -> None:
    supervisor.notify(supervisor.READY, {})
    supervisor.notify(supervisor.READY, {"NOTIFY_SOCKET": str(tmp_path / "none")})
    supervisor.notify(supervisor.READY, {"NOTIFY_SOCKET": "@none-of-ours"})
