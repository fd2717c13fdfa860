"""The status of a process that leads, or led: whether it can be used, and its figures.

Rule of this file: it looks and never waits. Words that anybody may be told name nothing of the database's inside.
"""

from typing import Final

from callmarket.bridge.api.vitals import Readiness, Role, Vitals
from callmarket.bridge.market.leadership import Reign

_TABLES_FAULTS: Final = {
    "retrying": "the database does not take them for now",
    "stopped": "they are not what the journal says, or a row of it is missing: the log of this process says more",
}


def readiness_of(reign: Reign, role: Role, time_fault: str) -> Readiness:
    """Whether it takes commands.

    Tables that stand still are told, and no reason to turn to another process, which would find the same ones: only
    beyond their bound is nothing taken.
    """
    if role == "ended":
        reason = reign.loss or ("it leads no longer" if reign.lost else "it has stopped: its log says why")
        return Readiness(False, role, reign.successor, reign.write_behind.durable_seq, 0, 0.0, reason)
    writer, tables = reign.write_behind.status(), reign.projector.status()
    reason = time_fault or ("" if writer.state == "running" else reign.write_behind.congestion())
    reason = reason or reign.projector.congestion()
    return Readiness(
        ready=not reason,
        role=role,
        leader="",
        durable_seq=writer.durable_seq,
        queue_rows=writer.queue_rows,
        outage_s=writer.outage_s,
        reason=reason,
        durability=reign.durability_fault,
        projected_seq=tables.seq or 0,
        tables_lag_rows=tables.lag_rows,
        tables_lag_s=tables.lag_s,
        tables_fault=_TABLES_FAULTS.get(tables.state, ""),
    )


def vitals_of(reign: Reign, role: Role, now_us: int) -> Vitals:
    """The figures of a leading process, at this time."""
    writer, tables = reign.write_behind.status(), reign.projector.status()
    oldest_us = writer.oldest_at_us
    return Vitals(
        role=role,
        epoch=reign.epoch,
        applied_seq=reign.sequencer.seq,
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
