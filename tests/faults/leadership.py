"""Faults of two processes of one market: whichever is hurt, one leads, and what either acknowledged is there.

Rule of this file: as `processes` and `sessions`, with a standby beside the leader, which takes over by itself.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.fault import Fault
from tests.faults.processes import freeze_engine, kill_engine, stop_server
from tests.faults.stage import Stage

ENGINE = frozenset({"engine"})


@contextmanager
def kill_standby(stage: Stage, rng: random.Random) -> Iterator[None]:
    stage.follower.kill()
    yield


@contextmanager
def cut_leader_off(stage: Stage, rng: random.Random) -> Iterator[None]:
    """For the register a leader without its session is gone."""
    stage.signal_writer("pg_terminate_backend")
    yield


FAULTS = (
    Fault("leader killed", "SIGKILL of the leader beside a standby", kill_engine, ends=ENGINE, place="with a standby"),
    Fault(
        "leader frozen",
        "SIGSTOP of the leader for longer than its lease (1 s), with a standby; then it goes on",
        freeze_engine,
        (2.5, 4.0),
        ends=ENGINE,
        place="with a standby",
    ),
    Fault(
        "leader cut off",
        "`pg_terminate_backend` of all sessions of the leader, with a standby",
        cut_leader_off,
        ends=ENGINE,
        place="with a standby",
    ),
    Fault("standby killed", "SIGKILL of the standby", kill_standby, ends=ENGINE, place="with a standby"),
    Fault(
        "server reset under two",
        "`pg_ctl stop -m immediate`, then start, with a standby",
        stop_server("immediate"),
        (0.0, 1.0),
        ends=ENGINE,
        place="with a standby",
    ),
)
