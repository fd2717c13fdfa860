"""One PostgreSQL server process: is it there, does it answer, start it, stop it.

Rule of this file: a process id from a file is believed only when that process really is a server of that data folder,
because after a power loss or in a new container the number belongs to somebody else. And the old `postmaster.pid` is
never deleted: PostgreSQL reads from it whether orphans of a killed server still write to the data.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from psycopg import pq

from callmarket.persistence.embedded.account import Account
from callmarket.persistence.embedded.home import PORT, SOCKET_NAME, SUPERUSER, Home
from callmarket.persistence.errors import Unavailable

StopMode = Literal["smart", "fast", "immediate"]

# What PostgreSQL's documentation says of its signals: smart waits for the clients, fast disconnects them, immediate
# leaves the work of a clean shutdown to the recovery of the next start.
STOP_SIGNALS: dict[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}

POLL_S = 0.01
PING_S_MAX = 5
# A start includes recovery: replaying 2 GiB of WAL (max_wal_size) takes up to a minute on a slow disk.
START_S_MAX = 180
STOP_S_MAX = 120
# A server that says "ready" in its file and still does not answer has lost its socket.
SILENCE_S_MAX = 10
# The change from one program to the next takes microseconds; the kernel's own threads never have arguments.
EXEC_S_MAX = 1
# Orphans of a killed server end as soon as they notice; a statement that is running ends first.
ORPHANS_S_MAX = 30
ORPHANS_POLL_S = 0.3

# Enough of a log to show a cause with its hint; a message is read on one screen.
TAIL_LINES = 15
TAIL_BYTES = 4096


@dataclass(frozen=True)
class Postmaster:
    """What `postmaster.pid` says of the server of one home."""

    home: Home
    pid: int
    status: str

    @classmethod
    def read(cls, home: Home) -> "Postmaster | None":
        """Read the file; None if there is none or its writer got no further than creating it."""
        try:
            lines = home.pid_file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except FileNotFoundError:
            return None
        # Lines: pid, data folder, start time, port, socket folder, TCP host, shared memory, status.
        if not lines or not lines[0].strip().isdecimal():
            return None
        return cls(home, int(lines[0]), lines[7].strip() if len(lines) > 7 else "starting")

    def is_alive(self) -> bool:
        """Say whether the process exists and is a server of this data folder (a zombie is not)."""
        return _is_server_of(self.pid, self.home.data)

    def answers(self) -> bool:
        """Say whether a connection through the socket is answered, even by "too many clients".

        Raises `Unavailable` where libpq cannot even try.
        """
        conninfo = f"{self.home.url(SUPERUSER)}&connect_timeout={PING_S_MAX}"
        found = pq.PGconn.ping(conninfo.encode())
        if found == pq.Ping.NO_ATTEMPT:
            refused = pq.PGconn.connect(conninfo.encode())
            words = refused.get_error_message()
            refused.finish()
            raise Unavailable(
                f"No connection to the private PostgreSQL can be tried: {words.strip()}. Is a variable PG... of the "
                "environment wrong, such as PGSERVICE? Unset it."
            )
        return found == pq.Ping.OK

    def stop(self, mode: StopMode) -> None:
        """Send the signal for `mode` and wait until the process is gone."""
        deadline_s = time.monotonic() + STOP_S_MAX
        if self.is_alive():
            os.kill(self.pid, STOP_SIGNALS[mode])
        while self.is_alive():
            if time.monotonic() > deadline_s:
                raise Unavailable(f"PostgreSQL (process {self.pid}) did not stop within {STOP_S_MAX} s ({mode})")
            time.sleep(POLL_S)


def find_running(home: Home) -> Postmaster | None:
    """Return the server of this home once it answers, or None if it does not run. Hold the gate.

    One that is starting or stopping is waited for. One that answers from a process we cannot see (another container
    with the same folder) counts as running.
    """
    deadline_s = time.monotonic() + START_S_MAX
    silence_deadline_s = time.monotonic() + SILENCE_S_MAX
    while True:
        found = Postmaster.read(home)
        if found is None:
            return None
        if found.answers():
            return found
        if not found.is_alive():
            return None
        now_s = time.monotonic()
        if now_s > deadline_s or (found.status == "ready" and now_s > silence_deadline_s):
            raise Unavailable(
                f"PostgreSQL runs (process {found.pid}, {found.status}) but does not answer at "
                f"{home.socket_folder}. If it does not finish by itself, stop it with: kill -INT {found.pid}"
            )
        time.sleep(POLL_S)


def start(home: Home, account: Account, program: Path) -> Postmaster:
    """Start a server that outlives this process; return when it answers. Hold the gate, with no server running."""
    settings = {
        # On the command line and not in the file, so that no ALTER SYSTEM opens the server to the network.
        "config_file": str(home.configuration),
        "listen_addresses": "",
        "unix_socket_directories": str(home.socket_folder),
        "unix_socket_permissions": "0700",
        "port": str(PORT),
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    deadline_s = time.monotonic() + START_S_MAX
    orphans_deadline_s = time.monotonic() + ORPHANS_S_MAX
    _clear_locks(home)
    while not _launch(home, account, [program, "-D", home.data, *options], deadline_s):
        printed = home.console.read_text(encoding="utf-8", errors="replace")
        # PostgreSQL's own guard: processes of a killed server are still attached to its memory. They end soon.
        if "shared memory block" not in printed or time.monotonic() > orphans_deadline_s:
            raise Unavailable(f"PostgreSQL did not start: {tail(printed)}{log_tail(home)}")
        time.sleep(ORPHANS_POLL_S)
    running = find_running(home)
    if running is None:
        raise Unavailable(f"PostgreSQL stopped right after its start.{log_tail(home)}")
    return running


def _launch(home: Home, account: Account, command: list[str | Path], deadline_s: float) -> bool:
    """Start the process and wait until it says "ready" (True) or ends (False)."""
    stale = Postmaster.read(home)
    # PostgreSQL refuses to start while the process of the old pid file is alive, whatever that process is. Its way to
    # say "that one is not a server" is this variable (pg_ctl uses it for its own parent); we have just checked that.
    environment = {"PG_GRANDPARENT_PID": str(stale.pid)} if stale else {}
    # The shell puts the server in the background and ends, so the server is nobody's child and leaves no zombie in a
    # caller that lives on. Its session is its own (`Account.run`), so no terminal's signals reach it.
    command = ["/bin/sh", "-c", '"$@" >&2 & echo "$!"', "sh", *command]
    descriptor = os.open(home.console, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        answer = account.run(command, environment=environment, errors_to=descriptor)
    finally:
        os.close(descriptor)
    if not answer.stdout.strip().isdecimal():
        raise Unavailable(f"No process for PostgreSQL could be started (exit code {answer.returncode})")
    started = Postmaster(home, int(answer.stdout), "starting")
    while True:
        found = Postmaster.read(home)
        if found is not None and found.pid == started.pid and found.status == "ready":
            return True
        if not started.is_alive():
            return False
        if time.monotonic() > deadline_s:
            raise Unavailable(
                f"PostgreSQL (process {started.pid}) is not ready after {START_S_MAX} s; it may still be recovering, "
                f"so try again later.{log_tail(home)}"
            )
        time.sleep(POLL_S)


def _clear_locks(home: Home) -> None:
    """Remove what would make PostgreSQL ask a person for help. Hold the gate, with no server of this home running."""
    # The socket belongs to this home alone. Its lock may name a zombie, or the process that has the number now.
    (home.socket_folder / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
    # Left by a crash or a full disk before anything was written into it. One with a number in it stays: see above.
    if home.pid_file.exists() and home.pid_file.stat().st_size == 0:
        home.pid_file.unlink()


def _is_server_of(pid: int, data: Path) -> bool:
    if Path("/proc/self/cmdline").exists():
        return b"\0-D\0" + os.fsencode(data) + b"\0" in _command_line(pid)
    # macOS has no /proc.
    shown = subprocess.run(  # noqa: S603  (an argument list, of constants and a number)
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return f" -D {data} " in shown.stdout


def _command_line(pid: int) -> bytes:
    """Read the arguments of a process; nothing if it has ended.

    Between two programs (execve) a process that lives has none for a moment, just as a zombie has none for good. A
    server that was looked at in that moment was taken for one that had ended. So an empty answer is asked again.
    """
    process = Path(f"/proc/{pid}")
    deadline_s = time.monotonic() + EXEC_S_MAX
    while True:
        try:
            command = (process / "cmdline").read_bytes()
            state = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2][:1]
        except (FileNotFoundError, ProcessLookupError):
            return b""
        if command or state in "ZX" or time.monotonic() > deadline_s:
            return command
        time.sleep(POLL_S / 10)


def tail(text: str) -> str:
    """Return the last lines of what a program printed, indented below the message that it explains."""
    lines = text.strip().splitlines()[-TAIL_LINES:]
    return "".join(f"\n    {line}" for line in lines)


def log_tail(home: Home) -> str:
    """Return the last lines of the server's newest log file, with its path; nothing if there is none."""
    logs = sorted((home.data / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return ""
    with logs[-1].open("rb") as file:
        file.seek(max(0, logs[-1].stat().st_size - TAIL_BYTES))
        return f"\n    The end of {logs[-1]}:" + tail(file.read().decode("utf-8", "replace"))
