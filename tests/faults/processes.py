"""Faults of processes: the engine and the server are killed, stopped or frozen.

Rule of this file: signals and PostgreSQL's own ways of stopping, nothing else.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from tests.faults.fault import Fault, Strike
from tests.faults.stage import Stage
from tests.support.own_server import StopMode, stopped_still

RESET_S_MAX = 20.0


@contextmanager
def kill_engine(stage: Stage, rng: random.Random) -> Iterator[None]:
    stage.leader.kill()
    yield


@contextmanager
def freeze_engine(stage: Stage, rng: random.Random) -> Iterator[None]:
    with stage.leader.frozen():
        yield


@contextmanager
def kill_postmaster(stage: Stage, rng: random.Random) -> Iterator[None]:
    stage.server.kill()
    yield


@contextmanager
def kill_backend(stage: Stage, rng: random.Random) -> Iterator[None]:
    """PostgreSQL then ends all its processes and recovers, by itself: shared memory may be broken.

    Healed is this when the witness has been thrown out: from then on nobody is let in until the recovery is over.
    """
    with stage.connect_elsewhere() as witness:
        for pid in stage.writer_pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline_s = time.monotonic() + RESET_S_MAX
        with suppress(psycopg.OperationalError):
            while time.monotonic() < deadline_s:
                witness.execute("SELECT 1")
            raise AssertionError("the server does not notice")
    yield


@contextmanager
def freeze_server(stage: Stage, rng: random.Random) -> Iterator[None]:
    with stage.server.frozen():
        yield


@contextmanager
def freeze_backend(stage: Stage, rng: random.Random) -> Iterator[None]:
    with stopped_still(stage.writer_pids()):
        yield


@contextmanager
def kill_both(stage: Stage, rng: random.Random) -> Iterator[None]:
    leader = stage.leader
    stage.server.kill()
    leader.kill()
    yield


def stop_server(mode: StopMode) -> Strike:
    @contextmanager
    def strike(stage: Stage, rng: random.Random) -> Iterator[None]:
        with stage.server.away(mode):
            yield

    return strike


FAULTS = (
    Fault("engine killed", "SIGKILL of the engine's process", kill_engine, ends=frozenset({"engine"})),
    Fault("engine frozen", "SIGSTOP of the engine's process", freeze_engine, (0.5, 3.0)),
    Fault("postmaster killed", "SIGKILL of the postmaster", kill_postmaster, (0.0, 0.5), ends=frozenset({"server"})),
    Fault("backend killed", "SIGKILL of the writer's backend: the server resets itself", kill_backend),
    Fault("server reset", "`pg_ctl stop -m immediate`, then start", stop_server("immediate"), (0.0, 1.0)),
    Fault("server restarted", "`pg_ctl stop -m fast`, then start", stop_server("fast"), (0.0, 1.0)),
    Fault("server frozen", "SIGSTOP of all processes of the server", freeze_server, (1.0, 4.0)),
    Fault(
        "server frozen long",
        "the same for longer than a batch may take (40 s)",
        freeze_server,
        (44.0, 50.0),
        long=True,
    ),
    Fault("backend frozen", "SIGSTOP of the writer's backend", freeze_backend, (1.0, 4.0)),
    Fault("both killed", "SIGKILL of postmaster and engine", kill_both, ends=frozenset({"server", "engine"})),
    Fault(
        "engine frozen long",
        "SIGSTOP of the engine for longer than a transaction may be idle (60 s)",
        freeze_engine,
        (62.0, 66.0),
        long=True,
    ),
)
