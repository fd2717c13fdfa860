"""What a journal's writer tells: how it stands, and what has become durable.

Rule of this file: shapes, and how they are filled; `write_behind` does that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from callmarket.engine.codec import SealedRow
from callmarket.persistence.errors import PersistenceError
from callmarket.persistence.writer.outbox import Outbox

State = Literal["running", "retrying", "failed", "closed"]


@dataclass(frozen=True)
class Status:
    """The writer in figures, for a person."""

    state: State
    durable_seq: int
    queue_rows: int
    queue_bytes: int
    outage_s: float
    last_error: str
    oldest_at_us: int | None
    """The time, by the exchange's clock, of the first row that is not durable; None if all are."""


class Listener(Protocol):
    """Is told of every row once it is durable, batch by batch, by the writer: it must not block."""

    def durable(self, rows: Sequence[SealedRow], /) -> None:
        """These rows are on disk now, all of them; the next call brings those that follow."""

    def failed(self, failure: PersistenceError, /) -> None:
        """The writer has stopped for good. From any thread, perhaps more than once: the first time counts."""


def status_of(outbox: Outbox, now_s: float, *, is_closed: bool) -> Status:
    """Where a writer stands that has this outbox."""
    since = outbox.outage_since_s
    state: State = "running" if since is None else "retrying"
    if outbox.failure is not None:
        state = "failed"
    elif is_closed:
        state = "closed"
    return Status(
        state=state,
        durable_seq=outbox.durable.last_seq,
        queue_rows=outbox.queue_rows,
        queue_bytes=outbox.queue_bytes,
        outage_s=0.0 if since is None else now_s - since,
        last_error=outbox.last_error,
        oldest_at_us=outbox.oldest_at_us,
    )
