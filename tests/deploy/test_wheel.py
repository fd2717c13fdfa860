"""What a stranger installs: the wheel, in an environment of its own that has nothing but what the wheel asks for.

Goal: one package under one name; an agent's environment has a client and no database driver, no web server, no numpy;
and what is not installed is told with what to install; the source distribution and a zip of the repository make the
same wheel. Method: the wheel is built and installed by pip, and its own interpreter is run, from another folder.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from callmarket import Exchange, ManualClock, open_exchange
from tests.bridge.conftest import START_US
from tests.support.served_market import served

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments), "-q", "-c", str(ROOT / "constraints.txt")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def wheel_of(source: Path, folder: Path) -> Path:
    """The wheel that pip builds of a folder or of a source distribution."""
    pip("wheel", "--no-deps", "-w", folder, source)
    (found,) = folder.glob("callmarket-*.whl")
    return found


def files_of(wheel: Path) -> dict[str, int]:
    """The name and checksum of each file but the list of them, which is in another order."""
    kept = zipfile.ZipFile(wheel).infolist()
    return {one.filename: one.CRC for one in kept if not one.filename.endswith("/RECORD")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    return wheel_of(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel, without any extra."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    found = folder / "bin" / "python"
    command = [str(found), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    return found


def run(python: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(python), *arguments], cwd=python.parent, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def market(database_url: str) -> Iterator[Exchange]:
    with open_exchange(database_url, clock=ManualClock(START_US)) as exchange:
        exchange.open_market("m")
        exchange.open_account("a")
        exchange.mint("a", 1_000, "grant:initial")
        yield exchange


def test_it_has_one_package_and_all_of_its_files(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"callmarket"}
    listed = subprocess.run(
        ["git", "ls-files", "engine", "persistence", "bridge"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    missing = {f"callmarket/{name}" for name in listed.stdout.split() if (ROOT / name).is_file()} - set(names)
    assert missing == set()


def test_the_source_distribution_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    backend, made = tmp_path / "backend", tmp_path / "made"
    pip("install", "--target", backend, "hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(made)]
    environment = {**os.environ, "PYTHONPATH": str(backend)}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (source,) = made.glob("callmarket-*.tar.gz")
    assert files_of(wheel_of(source, tmp_path)) == files_of(wheel)


def test_a_zip_of_the_repository_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """As pip reads one, or a checkout on Windows: the links in `callmarket/` are files that name their folder."""
    copy = tmp_path / "zip"
    for name in ("callmarket", "engine", "persistence", "bridge"):
        links = [link.name for link in (ROOT / name).iterdir() if link.is_symlink()]
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", *links))
        for link in links:
            (copy / name / link).write_text(f"../{link}", encoding="utf-8")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    assert files_of(wheel_of(copy, tmp_path)) == files_of(wheel)


def test_a_client_needs_nothing_of_a_server(python: Path) -> None:
    code = """
import importlib.util as found
from callmarket import AsyncClient, Client, InDoubt, Invalid, Refused, Request, Worker, each
for name in ("psycopg", "starlette", "uvicorn", "numpy", "matplotlib", "typer", "mcp", "Crypto", "engine", "bridge"):
    assert found.find_spec(name) is None, name
"""
    ran = run(python, "-c", code)
    assert ran.returncode == 0, ran.stderr


def test_a_bid_is_placed_from_it(python: Path, market: Exchange) -> None:
    with served(market) as place:
        key = place.key(bid=("a",))
        code = (
            "import sys; from callmarket import Client\n"
            "with Client(sys.argv[1], sys.argv[2]) as market:\n"
            "    placed = market.place_bid('m', 'a', 'task-1', max_price_tokens=120)\n"
            "    print(placed.bid_id, market.wallet('a').held_tokens)"
        )
        ran = run(python, "-c", code, place.url, key)
    assert (ran.returncode, ran.stdout.split()) == (0, ["1", "120"]), ran.stderr


def test_its_command_says_its_version_and_what_is_to_be_installed(python: Path) -> None:
    told = run(python.parent / "callmarket", "--version")
    assert (told.returncode, told.stdout) == (0, run(python, "-m", "callmarket", "--version").stdout)
    assert told.stdout.startswith("callmarket 0.")
    wanted = {"serve": "server", "wallet": "server", "demo": "studies", "economy": "studies", "mcp": "mcp"}
    for command, extra in wanted.items():
        told = run(python.parent / "callmarket", command)
        assert told.returncode == 2, told
        assert f"pip install 'callmarket[{extra}]'" in told.stderr
        assert "Traceback" not in told.stderr
    told = run(python.parent / "callmarket", "wallet", "a", "--json")
    assert "callmarket[server]" in json.loads(told.stderr)["error"]["message"]


def test_a_public_name_that_needs_an_extra_says_which(python: Path) -> None:
    for name in ("open_exchange", "Exchange", "AsyncExchange"):
        told = run(python, "-c", f"from callmarket import {name}")
        last = told.stderr.splitlines()[-1]
        assert last == "ModuleNotFoundError: psycopg is not installed: pip install 'callmarket[server]'"
