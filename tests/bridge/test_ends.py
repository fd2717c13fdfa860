"""How processes end: by a signal, or with their input, they leave log lines and an exit code, and nothing else.

Goal: no process dies while the interpreter is taken down under a thread that still reads (`Fatal Python error`), and
none is told of where nobody asked. Method: real processes, pipes that stay open, and the signals of a service manager.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callmarket import open_exchange
from tests.bridge.cli.test_commands import ROOT
from tests.support.service_process import clean, served
from tests.support.small_market import furnish, until


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A command whose standard input stays open, and which is gone when the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "callmarket", *arguments],
        cwd=ROOT,
        env=clean() | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def check_log(text: str) -> None:
    """Every line is an object with a level and words."""
    for line in text.splitlines():
        found = json.loads(line)
        assert found["level"] and found["event"], line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_service_leaves_log_lines_only(database_url: str, number: signal.Signals) -> None:
    """The signal goes to its process alone; those that take snapshots and write the journal end because it does."""
    with served(database_url, environment={"CALLMARKET_SNAPSHOT_EVERY_S": "0.2"}) as service:
        service.until(lambda told: told.status_code == 200)
        until(lambda: bool(service.children("snapshot")))
        with service.client() as client:
            assert client.post("/api/v1/markets", json={"market_id": "m"}).status_code == 201
        children = [*service.children("snapshot"), *service.children("writer.process")]
        assert len(children) >= 2
        service.tell(number)
        assert service.wait() == 0
        check_log(service.log)
        assert service.lines(event="ended in order")
        assert not [
            line for line in service.lines() if line["level"] in ("warning", "error") and "ended" in line["event"]
        ]
    until(lambda: not [pid for pid in children if alive(pid)])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "its input"])
def test_a_snapshot_process_that_is_attached(database_url: str, end: str) -> None:
    with open_exchange(database_url) as market:
        furnish(market, "a")
    with started("snapshot", "--every", "300", "--attached", "--json", CALLMARKET_DATABASE_URL=database_url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "{\n"
        if end == "its input":
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        else:
            process.send_signal(signal.Signals[end])
        assert process.wait(60) == 0
        assert process.stderr is not None
        check_log(process.stderr.read())


def test_the_process_that_takes_snapshots_is_told_its_shard_and_all_else(database_url: str, tmp_path: Path) -> None:
    """By argument, whatever the environment says; what the service was given by other ways is given on."""
    with open_exchange(database_url, shard_id=3) as market:
        furnish(market, "a")
    with started(
        "snapshot", "--shard", "3", "--json", CALLMARKET_DATABASE_URL=database_url, CALLMARKET_SHARD_ID="1"
    ) as process:
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["snapshot"]["seq"]) == (0, 3)
    settings = tmp_path / "market.toml"
    settings.write_text(f'shard_id = 3\nsnapshot_every_s = 0.2\nsnapshots_folder = "{tmp_path}/kept"\n')
    environment = {"CALLMARKET_CONFIG": str(settings), "CALLMARKET_SNAPSHOT_EVERY_S": "0.2"}
    with served(database_url, environment=environment) as service:
        service.until(lambda told: told.status_code == 200)
        until(lambda: bool(service.children("--shard 3")))
        until(lambda: bool(list((tmp_path / "kept").glob("*"))))


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "its input"])
def test_tools_over_standard_input(end: str) -> None:
    """A client kills them, a person ends them, or the input does: never in the middle of Python's own end."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    with started(
        "mcp", CALLMARKET_URL="http://127.0.0.1:9", CALLMARKET_KEY="cmk_" + "x" * 12 + "_" + "y" * 43
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        if end == "its input":
            process.stdin.close()
            process.stdin = None
        else:
            process.send_signal(signal.Signals[end])
        code = process.wait(60)
        assert code == (0 if end == "its input" else -signal.Signals[end])
        assert process.stderr is not None
        assert "Fatal" not in process.stderr.read()


def test_tools_over_http() -> None:
    with started("mcp", "--http", "--port", "0", CALLMARKET_URL="http://127.0.0.1:9") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("tools on http://127.0.0.1:")
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        assert process.stderr is not None
        assert "Fatal" not in process.stderr.read()


def test_a_service_that_others_can_reach_warns_of_plain_text(database_url: str, tmp_path: Path) -> None:
    """A key is a secret, and without TLS whoever is on the way reads it. On this machine nobody is."""
    for host, warned in (("0.0.0.0", 1), ("127.0.0.1", 0), ("::1", 0)):
        try:
            with served(database_url, tmp_path / "home", {"CALLMARKET_HOST": host}) as service:
                found = [line for line in service.lines(level="warning") if "in plain text" in line["event"]]
                assert len(found) == warned, service.log
        except AssertionError:
            if ":" not in host:
                raise
            pytest.skip("this machine has no IPv6")
