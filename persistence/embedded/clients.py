"""Whether a client is connected to a server that would lose something if it stopped now.

Rule of this file: where that cannot be known, there is somebody. libpq takes some settings of a session from the
environment (`PGTZ` and its like), and no connection string takes them back; where the server refuses those, a process
without them asks.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg

# Clients, and a backup that is being taken.
QUERY = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()
"""

# Of a session, sent with each connection.
SESSION_VARIABLES = ("PGTZ", "PGDATESTYLE", "PGGEQO")

# A connection that was just closed is listed until its process has ended, which takes a moment on a busy machine.
LEAVE_S_MAX = 2
POLL_S = 0.05
CONNECT_S_MAX = 5
# From where `python -m` finds this package, also where nothing is installed.
_ROOT = Path(__file__).parents[2]


def has_clients(url: str) -> bool:
    """Say whether a client is connected and stays so; one that stays costs a wait of 2 s."""
    deadline_s = time.monotonic() + LEAVE_S_MAX
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_S_MAX) as connection:
            while connection.execute(QUERY).fetchone() != (0,):
                if time.monotonic() > deadline_s:
                    return True
                time.sleep(POLL_S)
    except psycopg.OperationalError:
        # It lets nobody in: every place is taken by a client, as a rule.
        return _as_others_see(url)
    return False


def refused_variables() -> str:
    """The variables of this environment that a server may refuse a session for, as words; empty if there are none."""
    return ", ".join(name for name in SESSION_VARIABLES if name in os.environ)


def _as_others_see(url: str) -> bool:
    if not refused_variables():
        return True
    environment = {name: value for name, value in os.environ.items() if name not in SESSION_VARIABLES}
    try:
        asked = subprocess.run(  # noqa: S603 -- this Python, and a URL without a password
            [sys.executable, "-m", __name__, url],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LEAVE_S_MAX + 4 * CONNECT_S_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
    return asked.stdout != b"nobody"


if __name__ == "__main__":
    sys.stdout.write("somebody" if has_clients(sys.argv[1]) else "nobody")
