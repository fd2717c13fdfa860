"""Whether a shard's leader is gone.

Rule of this file: a single look proves nothing. A leader whose session has just been cut connects again at once, so it
is missed for a little while, in one unbroken view of the database, before anybody acts on it. Only a leader that has
released its lease by itself is believed at once.
"""

import time
from typing import Final

import psycopg

from callmarket.persistence.leadership.register import Leader, look

POLL_S: Final = 0.1
# A leader whose session was cut, or whose database was started again, notices and is back within this (`heartbeat`).
GRACE_S: Final = 0.5
# Opening a market waits no longer than this for a leader that neither renews nor is gone.
_PATIENCE_S: Final = 10.0


class LivenessTracker:
    """For how long a leader has been missed. Times are of one monotonic clock, in seconds."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        """Begin without any."""
        self._grace_s: Final = grace_s
        self._since_s: float | None = None

    def is_gone(self, leader: Leader | None, now_s: float) -> bool:
        """Take what the register says now, and judge."""
        if leader is None or leader.sign == "released":
            return True
        if leader.sign == "alive":
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s = now_s
        return now_s - self._since_s >= self._grace_s

    def forget(self) -> None:
        """The view was broken: a process that cannot see the database cannot say who is missing there."""
        self._since_s = None


def living_leader(connection: psycopg.Connection, shard_id: int) -> Leader | None:
    """The leader of the shard, if it has shown that it lives meanwhile; else None. Takes a second or less, as a rule.

    Raises `psycopg.Error`.
    """
    liveness = LivenessTracker()
    began_s = time.monotonic()
    before: Leader | None = None
    while True:
        leader = look(connection, shard_id)
        now_s = time.monotonic()
        if liveness.is_gone(leader, now_s):
            return None
        assert leader is not None, "nobody is gone"
        renewed = before is not None and leader.renewed_s_ago < before.renewed_s_ago
        if (leader.sign == "alive" and renewed) or now_s - began_s > _PATIENCE_S:
            return leader
        before = leader
        time.sleep(POLL_S)
