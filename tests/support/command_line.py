"""The command line as a person uses it, without the half second in which Python reads the program.

Rule of this file: each command is a process of its own, with its arguments, environment, folder, streams and exit code.
It is forked from one that has read the program and done nothing else, and that sees no other difference: where the
environment has something that Python or a terminal looks at when it starts, a new Python is started as always.
"""

import atexit
import functools
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
WAIT_S_MAX: Final = 60.0
# What the program looks at when it runs, not when it is read.
_READ_LATE: Final = ("CALLMARKET_", "PG")
_REQUEST_BYTES_MAX: Final = 2**20


def callmarket(
    *arguments: str, environment: Mapping[str, str] | None = None, timeout_s: float = WAIT_S_MAX
) -> "subprocess.CompletedProcess[str]":
    """Run `callmarket`, and return what became of it; as `subprocess.run`, also in what it raises."""
    wanted = dict(os.environ if environment is None else environment)
    if _early(wanted) != _early(os.environ):
        command = [sys.executable, "-m", "callmarket", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=wanted, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    return _fork_server(os.getpid()).run(arguments, wanted, timeout_s)


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(_READ_LATE)}


class _ForkServer:
    """A process that has read the program and forks it."""

    def __init__(self) -> None:
        self._sending = threading.Lock()
        self._ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.command_line", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def run(
        self, arguments: tuple[str, ...], environment: Mapping[str, str], timeout_s: float
    ) -> "subprocess.CompletedProcess[str]":
        """Fork it, and wait for its end."""
        ended, tells_end = socket.socketpair()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        request = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode()
        assert len(request) <= _REQUEST_BYTES_MAX
        with self._sending:
            self._ours.sendall(len(request).to_bytes(4, "big"))
            socket.send_fds(self._ours, [b"f"], [out_end, err_end, tells_end.fileno()])
            self._ours.sendall(request)
        os.close(out_end)
        os.close(err_end)
        tells_end.close()
        said: dict[int, bytes] = {}
        readers = [threading.Thread(target=lambda fd=fd: said.update({fd: _all_of(fd)})) for fd in (out, err)]
        for reader in readers:
            reader.start()
        with ended:
            pid = int.from_bytes(_exactly(ended, 4), "big")
            ended.settimeout(timeout_s)
            try:
                code = int.from_bytes(_exactly(ended, 4), "big", signed=True)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, timeout_s) from None
            finally:
                for reader in readers:
                    reader.join()
        return subprocess.CompletedProcess(["callmarket", *arguments], code, said[out].decode(), said[err].decode())

    def close(self) -> None:
        """End it; what it has forked lives on."""
        self._ours.close()
        self._process.wait()


@functools.cache
def _fork_server(_pid: int) -> _ForkServer:
    server = _ForkServer()
    atexit.register(server.close)
    return server


def _all_of(fd: int) -> bytes:
    with open(fd, "rb") as stream:
        return stream.read()


def _exactly(connection: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        more = connection.recv(count - len(got))
        if not more:
            raise EOFError("the fork server has ended")
        got += more
    return got


# --- in the fork server ----------------------------------------------------------------------------------------------


def _serve(connection: socket.socket) -> None:
    """Fork until nobody asks any more; in the forked process, run the program and end as it does."""
    while True:
        try:
            length = int.from_bytes(_exactly(connection, 4), "big")
        except EOFError:
            return
        _, fds, _, _ = socket.recv_fds(connection, 1, 3)
        request: dict[str, Any] = json.loads(_exactly(connection, length))
        watcher = os.fork()
        if watcher == 0:
            connection.close()
            _watch(request, *fds)
            return
        for fd in fds:
            os.close(fd)
        os.waitpid(watcher, 0)


def _watch(request: dict[str, Any], out: int, err: int, tells_end: int) -> None:
    """Tell the process's number and how it ends; a process of its own, whose parent need not wait for it."""
    if os.fork():
        os._exit(0)
    with socket.socket(fileno=tells_end) as telling:
        pid = os.fork()
        if pid:
            os.close(out)
            os.close(err)
            telling.sendall(pid.to_bytes(4, "big"))
            _, status = os.waitpid(pid, 0)
            telling.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
            os._exit(0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    # Those that were opened first know of the fork server's streams.
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["callmarket", *request["arguments"]]
    # Its end is the end of this process, with all that Python does then.
    runpy.run_module("callmarket", run_name="__main__", alter_sys=True)


def _main() -> None:
    from callmarket.bridge.cli import commands  # noqa: F401 -- what all commands need

    assert threading.active_count() == 1, "a process with threads must not be forked"
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    _main()
