"""What a seed chooses: how large the world is, and which things go wrong how often.

Rule of this file: a swarm. Each seed switches some faults off and makes others frequent, for a world in which
everything always fails gets nowhere, and faults that never meet alone hide each other. Bounds are small, so that they
are met. Times are virtual microseconds.
"""

import random
from dataclasses import dataclass, fields

from callmarket.persistence.tables.limits import TableLimits
from callmarket.persistence.writer.limits import Limits
from tests.support.swarms import Swarm, lingering_swarm, small_swarm

# What may happen to one request to the database, beside being carried out and answered.
FATES = ("lost before", "lost after", "late", "twice", "stalled")
# What may happen to a message between a client and a node.
LOSSES = ("request lost", "request doubled", "reply lost")
# What happens now and then of itself, and how many microseconds lie between on average.
CHAOS_EVERY_US = {
    "crash of a leader": 60_000,
    "crash of any node": 80_000,
    "takeover beside a living leader": 70_000,
    "takeover beside a recovery": 5_000,
    "standby promoted": 60_000,
    "restart of the database": 90_000,
    "outage of the database": 250_000,
    "clock jumps": 40_000,
    "clock leaps": 100_000,
    "clock of the database leaps": 150_000,
    "snapshot lost": 60_000,
    "snapshot torn": 60_000,
    "snapshot flipped": 60_000,
    "snapshot misdescribed": 60_000,
    "node closed": 150_000,
    "writer stopped from outside": 150_000,
    "client restarted": 60_000,
    "tables process killed": 30_000,
    "tables brought level by another": 50_000,
    "row hidden from the tables": 80_000,
}


@dataclass(frozen=True)
class Options:
    """The choices of one seed."""

    nodes: int
    clients: int
    commands_per_client: int
    requests_per_batch_max: int
    fault_us: int
    fates: dict[str, float]
    losses: dict[str, float]
    chaos_every_us: dict[str, int]
    # Chances at each step of a recovery, of following and of taking a snapshot.
    crash_in_step: float
    failure_in_step: float
    step_us: tuple[int, int]
    net_us: tuple[int, int]
    store_us: tuple[int, int]
    client_timeout_us: int
    restart_us: int
    outage_us: int
    snapshot_every_us: int
    snapshots_kept: int
    scan_rows: int
    again_chance: float
    limits: Limits
    # How many rows the tables take at once, and how many of the replies wait for them.
    tables_batch_rows: int
    projected_chance: float
    table_limits: TableLimits

    def __str__(self) -> str:
        """One line for each choice."""
        return "\n".join(f"  {field.name} = {getattr(self, field.name)}" for field in fields(self))


def draw(rng: random.Random) -> Options:
    """Choose."""
    calm = rng.random() < 0.1
    chances = {fate: rng.choice((0.02, 0.1, 0.3)) for fate in FATES if rng.random() < 0.5 and not calm}
    losses = {loss: rng.choice((0.02, 0.1, 0.3)) for loss in LOSSES if rng.random() < 0.5 and not calm}
    pace = rng.choice((0.5, 1.0, 2.0))
    chaos = {
        name: max(1, round(every_us * pace * rng.choice((0.5, 1, 2))))
        for name, every_us in CHAOS_EVERY_US.items()
        if rng.random() < 0.5 and not calm
    }
    batch_max = rng.choice((1, 1, 3, 5))
    return Options(
        nodes=rng.randint(2, 4),
        clients=rng.randint(2, 5),
        commands_per_client=rng.choice((15, 30, 60)),
        requests_per_batch_max=batch_max,
        fault_us=rng.choice((200_000, 400_000, 800_000)),
        fates=chances,
        losses=losses,
        chaos_every_us=chaos,
        crash_in_step=0.0 if calm else rng.choice((0.0, 0.01, 0.05)),
        failure_in_step=0.0 if calm else rng.choice((0.0, 0.01, 0.05)),
        step_us=rng.choice(((20, 400), (200, 4_000))),
        net_us=rng.choice(((50, 300), (50, 5_000))),
        store_us=rng.choice(((100, 1_000), (500, 10_000))),
        client_timeout_us=rng.choice((15_000, 50_000)),
        restart_us=rng.choice((2_000, 20_000)),
        outage_us=rng.choice((20_000, 400_000)),
        snapshot_every_us=rng.choice((40_000, 120_000, 10**9)),
        snapshots_kept=rng.randint(1, 3),
        scan_rows=rng.choice((1, 10, 100)),
        again_chance=rng.choice((0.0, 0.1, 0.3)),
        limits=Limits(
            queue_rows_max=batch_max + rng.choice((0, 2, 50)),
            queue_bytes_max=rng.choice((1_500, 2**20)),
            batch_rows_max=rng.choice((1, 3, 100)),
            batch_bytes_max=rng.choice((500, 2**20)),
            backoff_s_min=0.001,
            backoff_s_max=rng.choice((0.002, 0.02)),
            attempt_s_max=0.03,
            outage_s_max=rng.choice((0.1, 0.3)),
        ),
        tables_batch_rows=rng.choice((1, 3, 100)),
        projected_chance=rng.choice((0.0, 0.3)),
        table_limits=TableLimits(
            lag_rows_max=batch_max + rng.choice((10, 1_000_000, 1_000_000)),
            lag_s_max=rng.choice((0.1, 300.0, 300.0)),
            waiting_max=rng.choice((1, 4_096)),
            retry_s=0.002,
            stopped_retry_s=0.01,
            look_s=0.05,
        ),
    )


def choose_swarm(rng: random.Random) -> Swarm:
    """Choose a small market whose deadlines are of the length of this world's delays.

    A day stays a day, and the staff has room to close the market at the end. Where the window of whole replies is
    short, only what moves tokens is known beyond it (IDM-1).
    """
    swarm = rng.choice((small_swarm, lingering_swarm))(rng)
    swarm.ttls_us = rng.choice(((1_000, 20_000), (5_000, 100_000, 500_000), (2_000_000,)))
    swarm.leases_us = rng.choice(((2_000, 20_000), (20_000, 500_000), (100_000_000,)))
    swarm.steps_us = (0,)
    swarm.id_chance = 0.0
    for name in ("RETRIES_PERIOD_US", "RETRIES_PERIODS_KEPT", "RETRIES_PER_STAFF_MAX"):
        swarm.bounds.pop(name, None)
    return swarm
