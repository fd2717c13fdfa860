"""The commands about leadership: `status`, `handover`.

Rule of this file: it reads the register of leaders and requests a handover in it; the leader carries that out.
`commands` gives these functions their arguments and prints what they return.
"""

import time
from datetime import datetime
from typing import Final

import psycopg
from msgspec import Struct

from callmarket.bridge.api.errors import Unavailable
from callmarket.persistence.journal.postgres import read_mark, read_position
from callmarket.persistence.journal.protocol import rows_after
from callmarket.persistence.leadership import register
from callmarket.persistence.leadership.register import Leader, StandbyRow

_POLL_S: Final = 0.05


class LeaderView(Struct, frozen=True):
    """The leader of a shard. `sign` is `alive`, `released`, `expired` or `disconnected`.

    `clock_fault`: why it takes no commands, if the clock of its machine is not trusted; else empty.
    """

    address: str
    process: str
    sign: str
    renewed_s_ago: float
    handover_requested: bool
    clock_fault: str


class StandbyView(Struct, frozen=True):
    """A standby. `clock_fault` and `loss` say why it would not lead: an untrusted clock, or lost acknowledged rows."""

    address: str
    applied_seq: int
    rows_behind: int
    seen_s_ago: float
    clock_fault: str
    loss: str


class ProofView(Struct, frozen=True):
    """The last time that recovery was proved."""

    seq: int
    rows_behind: int
    seconds: float
    proven_at: datetime
    age_s: float
    proven_by: str


class Status(Struct, frozen=True):
    """A shard and its processes."""

    shard_id: int
    epoch: int
    last_seq: int
    projected_seq: int
    leader: LeaderView | None
    standbys: tuple[StandbyView, ...]
    last_proven_restore: ProofView | None

    @property
    def led(self) -> bool:
        """Whether there is a leader that seems to be alive."""
        return self.leader is not None and self.leader.sign == "alive"


class Handover(Struct, frozen=True):
    """The addresses of the leaders before and after, and how long the handover took from the request."""

    shard_id: int
    before: str
    after: str
    epoch: int
    seconds: float


def status(connection: psycopg.Connection, shard_id: int) -> Status:
    """The leader and the standbys of a shard, and when recovery was last proved."""
    position = read_position(connection, shard_id)
    leader = register.look(connection, shard_id)
    proof = register.last_proof(connection, shard_id)
    return Status(
        shard_id=shard_id,
        epoch=position.epoch,
        last_seq=position.last_seq,
        projected_seq=read_mark(connection, shard_id) or 0,
        leader=None if leader is None else _leader(leader),
        standbys=tuple(_standby(row, position.last_seq) for row in register.standbys(connection, shard_id)),
        last_proven_restore=None
        if proof is None
        else ProofView(
            seq=proof.seq,
            rows_behind=rows_after(proof.seq, position.last_seq),
            seconds=round(proof.seconds, 3),
            proven_at=proof.proven_at,
            age_s=round(proof.age_s, 1),
            proven_by=proof.proven_by,
        ),
    )


def hand_over(connection: psycopg.Connection, shard_id: int, timeout_s: float) -> Handover:
    """Ask the leader to drain and let a standby lead, and wait until one does.

    Raises `Unavailable` if there is no leader or no standby, or no new leader within `timeout_s`. In the last case the
    request stays in force.
    """
    began_s = time.monotonic()
    before = register.look(connection, shard_id)
    if before is None or before.sign != "alive":
        raise Unavailable(f"shard {shard_id} has no leader: there is nothing to hand over")
    if not register.request_handover(connection, shard_id):
        raise Unavailable(f"shard {shard_id} has no standby: start one first, else there would be no leader")
    while time.monotonic() - began_s < timeout_s:
        after = register.look(connection, shard_id)
        if after is not None and after.epoch > before.epoch and after.sign == "alive":
            seconds = round(time.monotonic() - began_s, 2)
            return Handover(shard_id, before.address, after.address, after.epoch, seconds)
        time.sleep(_POLL_S)
    raise Unavailable(f"shard {shard_id} was not handed over within {timeout_s:g} s: see `callmarket status`")


def _leader(leader: Leader) -> LeaderView:
    return LeaderView(
        leader.address,
        leader.process,
        leader.sign,
        round(leader.renewed_s_ago, 2),
        leader.handover_requested,
        leader.clock_fault,
    )


def _standby(row: StandbyRow, last_seq: int) -> StandbyView:
    rows_behind = rows_after(row.applied_seq, last_seq)
    return StandbyView(row.address, row.applied_seq, rows_behind, round(row.seen_s_ago, 2), row.clock_fault, row.loss)
