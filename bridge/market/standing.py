"""The status of a process that leads, or led: whether it can be used, and its figures.

Rule of this file: it looks and never waits. Words that anybody may be told name nothing of the database's inside.
"""

from typing import Final

from callmarket.bridge.api.status import NodeStatus, Readiness, Role
from callmarket.bridge.market.leadership import LeaderSession

_TABLES_FAULTS: Final = {
    "retrying": "the database does not take them for now",
    "stopped": "they are not what the journal says, or a row of it is missing: the log of this process says more",
}


def readiness_of(session: LeaderSession, role: Role, time_fault: str) -> Readiness:
    """Whether it takes commands.

    Tables that stand still are told, and no reason to turn to another process, which would find the same ones: only
    beyond their bound is nothing taken.
    """
    if role == "ended":
        reason = session.loss or ("it leads no longer" if session.lost else "it has stopped: its log says why")
        return Readiness(False, role, session.successor, session.write_behind.durable_seq, 0, 0.0, reason)
    writer, tables = session.write_behind.status(), session.projector.status()
    reason = time_fault or ("" if writer.state == "running" else session.write_behind.congestion())
    reason = reason or session.projector.congestion()
    return Readiness(
        ready=not reason,
        role=role,
        leader="",
        durable_seq=writer.durable_seq,
        queue_rows=writer.queue_rows,
        outage_s=writer.outage_s,
        reason=reason,
        durability=session.durability_fault,
        projected_seq=tables.seq or 0,
        tables_lag_rows=tables.lag_rows,
        tables_lag_s=tables.lag_s,
        tables_fault=_TABLES_FAULTS.get(tables.state, ""),
    )


def status_of(session: LeaderSession, role: Role, now_us: int) -> NodeStatus:
    """The figures of a leading process, at this time."""
    writer, tables = session.write_behind.status(), session.projector.status()
    oldest_us = writer.oldest_at_us
    return NodeStatus(
        role=role,
        epoch=session.epoch,
        applied_seq=session.sequencer.seq,
        durable_seq=writer.durable_seq,
        queue_rows=writer.queue_rows,
        queue_bytes=writer.queue_bytes,
        oldest_s=0.0 if oldest_us is None else max(0, now_us - oldest_us) / 1_000_000,
        outage_s=writer.outage_s,
        projected_seq=tables.seq or 0,
        tables_lag_rows=tables.lag_rows,
        tables_lag_s=tables.lag_s,
        tables_stopped=tables.state == "stopped",
    )
