"""Every bound of the tables that follow the journal. Rule of this file: each number stands beside its reason."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TableLimits:
    """Every bound of the tables that follow the journal, with its reason."""

    # Half a minute of catching up. More would be bursts that the tables never recover from.
    lag_rows_max: int = 1_000_000
    # As long as the database may be unavailable: then an operator should decide.
    lag_s_max: float = 300.0
    # Waiters for a row at a time: some kB each.
    waiting_max: int = 4_096
    # Between looks while nothing becomes durable: tables are written without waiting for the disk, so a server that
    # crashed may have them as they were some rows ago.
    look_s: float = 1.0
    # Between tries while the database is unavailable, and while an operator has to mend something.
    retry_s: float = 0.25
    stopped_retry_s: float = 2.0
