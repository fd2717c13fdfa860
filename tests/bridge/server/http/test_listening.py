"""Whoever says that it is ready is: a connection right after its word is taken. A13.

Method: the word is heard in the process that gives it, which connects before it does anything else.
"""

import json
import subprocess
import sys

import pytest

from tests.support.service_process import ROOT, clean

SERVE = """
import os, signal, socket
from urllib.parse import urlsplit
from callmarket.bridge.config import from_environment
from callmarket.bridge.serve import serve

def ready(told):
    parts = urlsplit(told.url)
    try:
        socket.create_connection((parts.hostname, parts.port), 10).close()
        print("taken", flush=True)
    except OSError as error:
        print("refused", error, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

serve(from_environment(os.environ), ready)
"""
TOOLS = """
import os, signal, socket
from urllib.parse import urlsplit
from callmarket.bridge.mcp_server.http import serve

def ready(url):
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), 10).close()
        print("taken", flush=True)
    except OSError as error:
        print("refused", error, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

serve("http://127.0.0.1:1", 0, ready)
"""


@pytest.mark.parametrize("script", [SERVE, TOOLS], ids=["serve", "mcp"])
def test_a_client_that_connects_when_ready_is_announced_is_served(
    database_url: str, tmp_path: object, script: str
) -> None:
    settings = {"CALLMARKET_DATABASE_URL": database_url, "CALLMARKET_HOME": str(tmp_path), "CALLMARKET_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=clean() | settings | {"CALLMARKET_SNAPSHOT_EVERY_S": "0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("taken\n", 0), done.stderr


def test_a_wrong_proxy_is_refused_before_anything_is_opened(database_url: str, tmp_path: object) -> None:
    settings = {"CALLMARKET_DATABASE_URL": database_url, "CALLMARKET_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "callmarket", "serve", "--json", "--port", "0"],
        cwd=ROOT,
        env=clean() | settings | {"CALLMARKET_PROXY_ADDRESSES": "10.0.0.1, proxy.internal"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    told = json.loads(done.stderr)["error"]
    assert (told["field"], told["value"]) == ("proxy_addresses", "proxy.internal")
    assert "an address or a network" in told["expected"]
