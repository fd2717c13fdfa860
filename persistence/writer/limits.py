"""Every bound of the journal's background writer. Rule of this file: each number stands beside its reason."""

from dataclasses import dataclass

from callmarket.persistence.journal.db_writes import BATCH_ROWS_MAX


@dataclass(frozen=True)
class Limits:
    """Every bound of the writer, with its reason."""

    # Rows that may wait: five seconds of everybody's commands at the full rate, about 400 MB of objects at the bound.
    queue_rows_max: int = 200_000
    # The same in journal bytes, for rows that carry much (a call of 10,000 slots is 5 MB).
    queue_bytes_max: int = 256 * 2**20
    # One transaction: a tenth of a second of work, so that nobody's reply waits longer for those of others.
    batch_rows_max: int = 10_000
    batch_bytes_max: int = 16 * 2**20
    # Between attempts while the database is unavailable.
    backoff_s_min: float = 0.05
    backoff_s_max: float = 2.0
    # An attempt that takes longer than this is cut: above statement_timeout, so that the server speaks first.
    attempt_s_max: float = 40.0
    # After this long without the database an operator should decide; the process stops and its successor recovers.
    outage_s_max: float = 300.0

    def __post_init__(self) -> None:
        """Refuse limits that make no sense."""
        assert 0 < self.batch_rows_max <= BATCH_ROWS_MAX, self
        assert self.queue_rows_max > 0 and self.queue_bytes_max > 0 and self.batch_bytes_max > 0, self
