"""Faults that other sessions of the same database cause: who ends, locks, holds back, sets or takes all places.

Rule of this file: plain SQL that anybody with the rights could send; sessions of ours that a setting has spoilt are not
ended here to help them.
"""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
from psycopg import sql

from callmarket.persistence.journal.lease import writer_name
from callmarket.persistence.leadership.register import session_name
from tests.faults.fault import Fault, Strike
from tests.faults.stage import Stage

SIGNALS_MAX = 8
EVICTIONS_MAX = 50
# What every batch, or nearly every one, changes.
HOT_TABLES = ("engine_writer", "projections", "token_accounts", "compute_auction_slots")
RATE_S = 0.5
# Settings of a database with values that cut whatever they may.
CUTTING = {
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "transaction_timeout": "1ms",
    "idle_session_timeout": "1ms",
}


def signal_writer(function: str) -> Strike:
    @contextmanager
    def strike(stage: Stage, rng: random.Random) -> Iterator[None]:
        for _ in range(rng.randint(1, SIGNALS_MAX)):
            stage.signal_writer(function)
            time.sleep(rng.uniform(0, 0.15))
        yield

    return strike


def signal_projector(function: str) -> Strike:
    @contextmanager
    def strike(stage: Stage, rng: random.Random) -> Iterator[None]:
        for _ in range(rng.randint(1, SIGNALS_MAX)):
            stage.signal_projector(function)
            time.sleep(rng.uniform(0, 0.15))
        yield

    return strike


@contextmanager
def hold_xmin(stage: Stage, rng: random.Random) -> Iterator[None]:
    """No version of a row that is newer than this transaction's view can be removed while it is open."""
    sizes_before = sizes(stage)
    with stage.connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM engine_writer")
        time.sleep(RATE_S)
        first_rate = stage.answers_per_s(RATE_S)
        yield
        last_rate, sizes_after = stage.answers_per_s(RATE_S), sizes(stage)
    time.sleep(RATE_S)
    grown = ", ".join(f"{name} {sizes_before[name]} -> {sizes_after[name]} KiB" for name in HOT_TABLES)
    rates = " / ".join(f"{rate:.0f}" for rate in (first_rate, last_rate, stage.answers_per_s(RATE_S)))
    stage.note(f"{grown}; answers a second at its begin / at its end / after it {rates}")


def sizes(stage: Stage) -> dict[str, int]:
    """What the tables that every batch updates take on disk, in KiB, with their indexes."""
    with stage.connect() as connection:
        return {
            name: connection.execute("SELECT pg_total_relation_size(%s) / 1024", (name,)).fetchall()[0][0]
            for name in HOT_TABLES
        }


def locking(statement: sql.SQL) -> Strike:
    @contextmanager
    def strike(stage: Stage, rng: random.Random) -> Iterator[None]:
        with stage.connect() as connection:
            connection.execute(statement)
            yield
            connection.rollback()

    return strike


def setting(settings: dict[str, str], *, count: int) -> Strike:
    """Some of the settings are set for the whole database, and the writer has to connect anew."""

    @contextmanager
    def strike(stage: Stage, rng: random.Random) -> Iterator[None]:
        chosen = rng.sample(sorted(settings), rng.randint(1, count))
        for name in chosen:
            stage.alter_database(name, settings[name])
        stage.signal_writer("pg_terminate_backend")
        try:
            yield
        finally:
            for name in chosen:
                stage.alter_database(name, None)

    return strike


@contextmanager
def take_all_places(stage: Stage, rng: random.Random) -> Iterator[None]:
    """Every connection that the server allows is taken, until the writer has none left to come back by."""
    with ExitStack() as hogs, stage.connect_elsewhere() as watcher:
        for _ in range(EVICTIONS_MAX):
            while take_a_place(stage, hogs):
                pass
            ended = watcher.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ANY(%s)",
                ([writer_name(0), session_name(0)],),
            ).rowcount
            if not ended:
                break
        yield


def take_a_place(stage: Stage, hogs: ExitStack) -> bool:
    """One more connection, or False if the server lets nobody in."""
    try:
        hogs.enter_context(stage.connect())
    except psycopg.OperationalError as error:
        if "too many clients" in str(error) or "remaining connection slots" in str(error):
            return False
        raise
    return True


FAULTS = (
    Fault(
        "writer terminated",
        "`pg_terminate_backend` of the writer, up to 8 times",
        signal_writer("pg_terminate_backend"),
    ),
    Fault("writer cancelled", "`pg_cancel_backend` of the writer, up to 8 times", signal_writer("pg_cancel_backend")),
    Fault(
        "journal locked",
        "a foreign `LOCK TABLE journal`",
        locking(sql.SQL("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE")),
        (0.5, 3.0),
    ),
    Fault(
        "journal locked long",
        "the same for longer than the writer waits for a lock (15 s)",
        locking(sql.SQL("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE")),
        (16.0, 20.0),
        long=True,
    ),
    Fault(
        "fence locked",
        "a foreign `SELECT ... FROM engine_writer FOR UPDATE`",
        locking(sql.SQL("SELECT * FROM engine_writer FOR UPDATE")),
        (0.5, 3.0),
    ),
    Fault(
        "tables held back",
        "a foreign `SELECT ... FROM projections FOR UPDATE`",
        locking(sql.SQL("SELECT * FROM projections FOR UPDATE")),
        (0.5, 3.0),
    ),
    Fault(
        "projector ended",
        "`pg_terminate_backend` of who brings the tables along, up to 8 times",
        signal_projector("pg_terminate_backend"),
    ),
    Fault(
        "time-outs cut",
        "the database sets some of its five time-outs to 1 ms, and the writer has to connect anew",
        setting(CUTTING, count=len(CUTTING)),
        (0.5, 2.0),
    ),
    Fault(
        "read-only",
        "the database sets `default_transaction_read_only`, and the writer has to connect anew",
        setting({"default_transaction_read_only": "on"}, count=1),
        (0.5, 2.0),
    ),
    Fault("no place left", "all `max_connections` are taken, the writer's too", take_all_places, (0.5, 2.0)),
    # Last, because it lets the load run freely, and each audit reads all that was done before.
    Fault("xmin held", "a foreign session idle in a REPEATABLE READ transaction", hold_xmin, (1.0, 1.5)),
    Fault("xmin held long", "the same for a minute", hold_xmin, (60.0, 60.0), long=True),
)
